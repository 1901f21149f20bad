//! Rows against the plain model.

use headwater_schemas::{Change, Position};
use proptest::prelude::*;

use super::chain::{Chain, delete, json};
use super::*;

pub(crate) fn record(position: u64, bytes: bytes::Bytes) -> Record {
    Record { position: Position(position), appended_at_ms: 1, bytes }
}

/// A store that took in a chain's records in batches of `size`.
pub(crate) fn materialised(records: &[Record], size: usize) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut work = CatchUp::new(&store).unwrap();
    for batch in records.chunks(size) {
        work.take(&store, batch, &Steps::default()).unwrap();
    }
    (dir, store)
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Names that are prefixes of each other, and few enough to meet again.
    let name = (
        prop::sample::select(vec!["a", "a.b", "aa", "b"]),
        prop::sample::select(vec!["k", "k/1", "kk", "z"]),
    );
    let change = (name, any::<bool>(), 0..100u32).prop_map(|((namespace, key), puts, value)| {
        if puts { json(namespace, key, &value.to_string()) } else { delete(namespace, key) }
    });
    prop::collection::vec(change, 0..5).prop_map(|mut changes| {
        // A key appears once in a commit.
        changes.sort_by_key(|change| (change.namespace().clone(), change.key().clone()));
        changes.dedup_by_key(|change| (change.namespace().clone(), change.key().clone()));
        changes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_are_the_fold_of_the_chain_whatever_the_batches(commits in prop::collection::vec(changes(), 1..30), size in 1..9usize) {
        let (mut chain, genesis) = Chain::begin(1);
        let mut records = vec![record(0, genesis)];
        let mut last_change = std::collections::BTreeMap::new();
        for changes in commits {
            let bytes = chain.next("ann", changes.clone());
            let revision = chain.state.head().revision;
            for change in &changes {
                let name = (change.namespace().clone(), change.key().clone());
                // Deleting what was absent changes nothing.
                let puts = matches!(change, Change::Put { .. });
                if puts || last_change.get(&name).is_some_and(|(_, there)| *there) {
                    last_change.insert(name, (revision, puts));
                }
            }
            records.push(record(records.len() as u64, bytes));
        }
        let (_dir, store) = materialised(&records, size);
        let rows = store.rows();
        let place = rows.place().unwrap().unwrap();
        prop_assert_eq!((&place.head, place.position.0), (chain.state.head(), records.len() as u64 - 1));
        prop_assert_eq!(&rows.totals().unwrap(), chain.state.totals());
        let mut entries = Vec::new();
        for (namespace, _) in chain.state.totals().namespaces() {
            rows.each(namespace.as_str(), |key, entry| {
                entries.push((namespace.to_string(), key.to_owned(), entry.to_entry()));
                Ok::<_, StoreError>(())
            }).unwrap();
        }
        let model: Vec<_> = chain.state.iter().map(|(n, k, entry)| (n.to_string(), k.to_string(), entry.clone())).collect();
        prop_assert_eq!(entries, model);
        for ((namespace, key), (revision, _)) in last_change {
            prop_assert_eq!(rows.change_at(namespace.as_str(), key.as_str(), u64::MAX).unwrap().map_or(0, |change| change.revision), revision);
        }
        for stored in rows.records(0, u64::MAX).unwrap() {
            let (revision, _, stored) = stored.unwrap();
            prop_assert_eq!(&stored, &records[usize::try_from(revision).unwrap()]);
        }
        let chain_of_rows = rows.chain().unwrap().unwrap();
        prop_assert_eq!(chain_of_rows.head(), chain.state.head());
    }
}

#[test]
fn what_precedes_a_record_that_cannot_be_read_is_kept_and_what_follows_waits_for_an_operator() {
    let (mut chain, genesis) = Chain::begin(1);
    let good = chain.next("ann", vec![json("n", "k", "1")]);
    let hash = chain.state.head().hash;
    let mut bad = chain.next("ann", vec![json("n", "k", "2")]).to_vec();
    bad.push(0);
    let follows = chain.next("ann", vec![json("n", "k", "3")]);
    let records = [record(0, genesis), record(1, good), record(2, bad.into()), record(3, follows)];
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let taken = CatchUp::new(&store).unwrap().take(&store, &records, &Steps::default()).unwrap();
    assert!(taken.unreadable.is_some_and(|why| why.contains("revision 2")));
    assert_eq!(store.rows().place().unwrap().unwrap().head.hash, hash);
}
