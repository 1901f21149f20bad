//! Many values → few atomic commits within the limits of one.

use headwater_schemas::Namespace;

use super::source::{Change, Item};

/// The most changes one commit may hold.
const MAX_CHANGES: usize = 1_000;
/// The most bytes of one encoded commit, less room for who, why and the digest.
const MAX_BYTES: usize = 512 * 1024 - 8 * 1024;
/// What one change costs beside its texts: lengths, the version, the branch.
const CHANGE_BYTES: usize = 32;

/// Splits the items, in order; each batch holds at least one.
pub(super) fn batches<'a>(namespace: &Namespace, items: &'a [Item]) -> Vec<&'a [Item]> {
    let mut batches = Vec::new();
    let mut rest = items;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(fitting(namespace, rest).max(1));
        batches.push(batch);
        rest = after;
    }
    batches
}

/// How many of the first items fit into one commit.
fn fitting(namespace: &Namespace, items: &[Item]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Item| {
        bytes += cost(namespace, item);
        bytes <= MAX_BYTES
    };
    items.iter().take(MAX_CHANGES).take_while(fits).count()
}

fn cost(namespace: &Namespace, item: &Item) -> usize {
    let texts = namespace.as_str().len() + item.key.as_str().len();
    let value = match &item.change {
        Change::Put { content_type, value } => content_type.len() + value.len(),
        // Its name stands in the precondition, too.
        Change::Delete { .. } => texts + CHANGE_BYTES,
    };
    CHANGE_BYTES + texts + value
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_schemas::Key;
    use proptest::prelude::*;

    fn item(index: usize, size: usize) -> Item {
        let key = Key::parse(&format!("k{index}")).unwrap();
        let change = match size % 5 {
            0 => Change::Delete { mod_revision: 1 },
            _ => Change::Put {
                content_type: "application/json".into(),
                value: vec![b'1'; size].into(),
            },
        };
        Item { key, change }
    }

    proptest! {
        // Each case holds up to thousands of items.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn batches_hold_everything_in_order_and_keep_the_limits(
            sizes in prop::collection::vec(prop_oneof![0usize..64, 100_000usize..300_000], 0..2_500)
        ) {
            let namespace = Namespace::parse("demo").unwrap();
            let items: Vec<Item> = sizes.iter().take(2_500).enumerate().map(|(i, size)| item(i, *size % 262_144)).collect();
            let batches = batches(&namespace, &items);
            for batch in &batches {
                let bytes: usize = batch.iter().map(|item| cost(&namespace, item)).sum();
                prop_assert!(!batch.is_empty() && batch.len() <= MAX_CHANGES);
                prop_assert!(bytes <= MAX_BYTES);
            }
            prop_assert_eq!(batches.concat(), items);
        }
    }

    #[test]
    fn a_value_larger_than_a_commit_goes_alone_and_is_the_servers_to_refuse() {
        let namespace = Namespace::parse("demo").unwrap();
        let items = [item(0, 1), item(1, MAX_BYTES + 1), item(2, 1)];
        let batches = batches(&namespace, &items);
        assert_eq!(batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
