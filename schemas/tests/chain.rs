//! One rule decides which records count, and one fold says what they do.

mod support;

use bytes::Bytes;
use headwater_schemas::{
    Change, Divergence, Expect, Frozen, Genesis, Hash, Head, MUST_UNDERSTAND, State, StreamId,
    accept, encode_commit, encode_genesis, encode_marker,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use support::{delete, few_changes, founded, genesis, next, put, read};

/// A tree of commits: forks are siblings, and each node knows the state its own chain leads to.
struct Tree {
    parents: Vec<Option<usize>>,
    states: Vec<State>,
    records: Vec<Bytes>,
}

impl Tree {
    /// Grows one node per (parent, changes) pair on a node that is there already.
    fn grow(nodes: &[(Index, Vec<Change>)]) -> Self {
        let root = encode_genesis(&genesis());
        let mut tree = Self { parents: vec![None], states: vec![founded()], records: vec![root] };
        for (at, (parent, changes)) in nodes.iter().enumerate() {
            let parent = parent.index(tree.states.len());
            let mut state = tree.states[parent].clone();
            let commit = next(&state, at as u128, changes.clone());
            let record = encode_commit(&commit);
            assert_eq!(state.apply(&commit, Hash::of(&record)).divergence, None);
            tree.parents.push(Some(parent));
            tree.states.push(state);
            tree.records.push(record);
        }
        tree
    }
}

/// What stands in a log: a node of the tree, as it is or with something wrong.
#[derive(Debug, Clone)]
enum Item {
    Node(Index),
    Foreign(Index),
    Marker(u128),
    Garbage(Vec<u8>),
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        12 => any::<Index>().prop_map(Item::Node),
        1 => any::<Index>().prop_map(Item::Foreign),
        1 => any::<u128>().prop_map(Item::Marker),
        1 => vec(any::<u8>(), 0..90).prop_map(Item::Garbage),
    ]
}

proptest! {
    #[test]
    fn any_log_gives_exactly_the_state_of_the_accepted_chain(
        nodes in vec((any::<Index>(), few_changes()), 1..12),
        items in vec(item(), 0..60),
    ) {
        let tree = Tree::grow(&nodes);
        let mut log = Vec::new();
        let (mut at, mut ignored) = (0, 0);
        for item in &items {
            let (record, accepted) = match item {
                Item::Node(index) => {
                    let node = index.index(tree.records.len());
                    let accepted = tree.parents[node] == Some(at);
                    at = if accepted { node } else { at };
                    (tree.records[node].clone(), accepted)
                }
                Item::Foreign(index) => {
                    let mut record = tree.records[index.index(tree.records.len())].to_vec();
                    record[10] ^= 1;
                    (record.into(), false)
                }
                Item::Marker(nonce) => (encode_marker(*nonce), false),
                Item::Garbage(bytes) => (bytes.clone().into(), false),
            };
            ignored += usize::from(!accepted);
            log.push(record);
        }
        let (state, skipped) = read(founded(), &log);
        prop_assert_eq!(&state, &tree.states[at]);
        prop_assert_eq!(skipped, ignored);
        // What was ignored changed nothing: reading the log again from there ignores all of it, or goes on.
        let again = log.iter().filter(|record| Hash::of(record) == state.head().hash);
        prop_assert_eq!(read(state.clone(), again).0, state);
    }

    #[test]
    fn a_chain_in_order_is_accepted_whole(chain in vec(few_changes(), 1..20)) {
        let mut state = founded();
        let mut log = Vec::new();
        for (at, changes) in chain.into_iter().enumerate() {
            let commit = next(&state, at as u128, changes);
            log.push(encode_commit(&commit));
            state.apply(&commit, Hash::of(&log[at]));
        }
        prop_assert_eq!(read(founded(), &log), (state, 0));
    }

    #[test]
    fn folding_gives_what_a_map_would(chain in vec(few_changes(), 1..20)) {
        let mut state = founded();
        let mut model = std::collections::BTreeMap::new();
        for (at, changes) in chain.into_iter().enumerate() {
            for change in &changes {
                let place = (change.namespace().to_string(), change.key().to_string());
                match change {
                    Change::Put { value, .. } => {
                        let version = model.get(&place).map_or(1, |(_, version)| version + 1);
                        model.insert(place, (value.clone(), version));
                    }
                    Change::Delete { .. } => {
                        model.remove(&place);
                    }
                }
            }
            let commit = next(&state, at as u128, changes);
            state.apply(&commit, Hash::of(&encode_commit(&commit)));
        }
        let held: std::collections::BTreeMap<_, _> = state
            .iter()
            .filter(|(namespace, ..)| !namespace.is_system())
            .map(|(namespace, key, entry)| {
                ((namespace.to_string(), key.to_string()), (entry.value.clone(), entry.version))
            })
            .collect();
        prop_assert_eq!(held, model);
    }
}

fn head() -> Head {
    Head { stream_id: StreamId([1; 16]), revision: 4, hash: Hash([2; 32]), at_ms: 0 }
}

fn follower() -> Frozen {
    Frozen {
        fingerprint: headwater_schemas::commit_fingerprint(),
        stream_id: head().stream_id,
        format: 1,
        revision: 5,
        parent: head().hash,
    }
}

#[test]
fn a_record_counts_only_with_stream_revision_and_parent_of_the_head() {
    assert!(accept(&head(), &follower()));
    assert!(!accept(&head(), &Frozen { stream_id: StreamId([9; 16]), ..follower() }));
    assert!(!accept(&head(), &Frozen { revision: 4, ..follower() }));
    assert!(!accept(&head(), &Frozen { revision: 6, ..follower() }));
    assert!(!accept(&head(), &Frozen { parent: Hash([3; 32]), ..follower() }));
    // The format and the schema are not the rule's business: a chain goes on through what we cannot read.
    assert!(accept(&head(), &Frozen { format: MUST_UNDERSTAND | 2, ..follower() }));
}

#[test]
fn nothing_follows_the_last_revision_there_is() {
    let head = Head { revision: u64::MAX, ..head() };
    assert!(!accept(&head, &Frozen { revision: 0, ..follower() }));
}

#[test]
fn genesis_is_revision_0_and_its_schema_the_first_entry() {
    let state = founded();
    let schema = genesis().commit().unwrap();
    assert_eq!(state.head().revision, 0);
    assert_eq!(state.head().hash, Hash::of(&encode_genesis(&genesis())));
    assert_eq!(state.totals().digest(), schema.digest);
    let (namespace, key, entry) = state.iter().next().unwrap();
    assert_eq!(namespace.as_str(), "_schemas");
    assert_eq!(key.as_str(), headwater_schemas::commit_fingerprint().to_string());
    assert_eq!(entry.value, headwater_schemas::commit_schema());
    assert!(Genesis::decode(&encode_commit(&schema)).is_err());
}

#[test]
fn versions_count_from_each_creation_and_create_revisions_stay() {
    let mut state = founded();
    for (at, change) in [
        put("a", "k", b"1"),
        put("a", "k", b"2"),
        delete("a", "k"),
        put("a", "k", b"3"),
        put("a", "k", b"3"),
    ]
    .into_iter()
    .enumerate()
    {
        let commit = next(&state, at as u128, vec![change]);
        state.apply(&commit, Hash::of(&encode_commit(&commit)));
    }
    let entry = state.get(&"a".parse().unwrap(), &"k".parse().unwrap()).unwrap();
    assert_eq!((entry.version, entry.create_revision, entry.mod_revision), (2, 4, 5));
}

#[test]
fn deleting_an_absent_key_has_no_effect_and_a_barrier_none_at_all() {
    let mut state = founded();
    for changes in [vec![delete("a", "k")], vec![]] {
        let commit = next(&state, 0, changes);
        let digest = state.totals().digest();
        let folded = state.apply(&commit, Hash::of(&encode_commit(&commit)));
        assert_eq!((folded.effects.len(), folded.divergence), (0, None));
        assert_eq!(state.totals().digest(), digest);
    }
    assert_eq!(state.head().revision, 2);
}

#[test]
fn a_key_written_twice_in_one_commit_counts_once_and_last() {
    let mut state = founded();
    let first = next(&state, 0, vec![put("a", "k", b"0")]);
    state.apply(&first, Hash::of(&encode_commit(&first)));
    let twice = vec![put("a", "k", b"1"), put("b", "k", b"1"), put("a", "k", b"2")];
    let mut once = state.clone();
    let commit = next(&state, 1, twice);
    let folded = state.apply(&commit, Hash([5; 32]));
    once.apply(&next(&once, 1, vec![put("b", "k", b"1"), put("a", "k", b"2")]), Hash([5; 32]));
    assert_eq!(state, once);
    assert_eq!(folded.effects.len(), 2);
}

#[test]
fn a_commit_that_does_not_fit_says_so_and_is_applied_all_the_same() {
    let mut state = founded();
    let mut wrong = next(&state, 0, vec![put("a", "k", b"1")]);
    wrong.digest.0[0] ^= 1;
    let folded = state.apply(&wrong, Hash([1; 32]));
    assert!(matches!(folded.divergence, Some(Divergence::Digest { revision: 1, .. })));
    assert!(state.get(&"a".parse().unwrap(), &"k".parse().unwrap()).is_some());

    let mut unmet = next(&state, 1, vec![put("a", "l", b"1")]);
    unmet.expects = vec![Expect {
        namespace: "a".parse().unwrap(),
        key: "k".parse().unwrap(),
        mod_revision: 0,
    }];
    let folded = state.apply(&unmet, Hash([2; 32]));
    let Some(Divergence::Expect { revision, actual, .. }) = folded.divergence else {
        panic!("{:?}", folded.divergence)
    };
    assert_eq!((revision, actual), (2, 1));
}

#[test]
fn a_filtered_commit_keeps_the_chain_and_only_the_subscribed_changes() {
    let commit = support::full_commit();
    let part = commit.filtered(headwater_schemas::Digest([4; 32]), |n| n.as_str() == "nobody");
    assert!(part.is_barrier() && part.expects.is_empty() && part.idempotency.is_none());
    assert_eq!((part.revision, part.parent), (commit.revision, commit.parent));
    assert_eq!(part.digest, headwater_schemas::Digest([4; 32]));
    let whole = commit.filtered(commit.digest, |n| n.as_str() == "payments.prod");
    assert_eq!(whole.changes, commit.changes);
}
