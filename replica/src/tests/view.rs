//! view == `schemas::State`, after any commits, folds and reopenings.

use std::sync::Arc;

use headwater_image::{Keep, Mapped, MappedBuilder, Trust};
use headwater_schemas::{
    Change, Commit, CommitId, Digest, FORMAT, Genesis, Hash, Key, Namespace, Position, State,
    StreamId, commit_schema, fold,
};
use proptest::prelude::*;

use crate::View;
use crate::layers::Layers;

/// One thing that happens to a view.
#[derive(Debug, Clone)]
enum Act {
    Commit(Vec<(u8, u8, Option<Vec<u8>>)>),
    /// Fold what changed into a new base, with so many commits arriving meanwhile unfolded.
    Fold,
    /// Write the base, and start again from the file.
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    let change = (
        0..3u8,
        0..20u8,
        proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..24)),
    );
    prop_oneof![
        6 => proptest::collection::vec(change, 0..8).prop_map(Act::Commit),
        1 => Just(Act::Fold),
        1 => Just(Act::Reopen),
    ]
}

pub(crate) fn genesis() -> (Genesis, Commit) {
    let genesis = Genesis {
        stream_id: StreamId([9; 16]),
        format: FORMAT,
        created_at_ms: 1_000,
        schema: commit_schema().into(),
        cluster_id: None,
        supersedes: None,
    };
    let commit = genesis.commit().unwrap();
    (genesis, commit)
}

fn commit(state: &State, changes: &[(u8, u8, Option<Vec<u8>>)]) -> Commit {
    let head = state.head();
    let mut seen = std::collections::BTreeSet::new();
    let changes =
        changes.iter().filter(|(ns, key, _)| seen.insert((*ns, *key))).map(|(ns, key, value)| {
            let namespace = format!("ns{ns}").parse().unwrap();
            let key = format!("k/{key}").parse().unwrap();
            match value {
                Some(value) => Change::Put {
                    namespace,
                    key,
                    content_type: "application/octet-stream".into(),
                    value: value.clone().into(),
                    version: 1,
                },
                None => Change::Delete { namespace, key },
            }
        });
    Commit {
        stream_id: head.stream_id,
        format: FORMAT,
        revision: head.revision + 1,
        parent: head.hash,
        commit_id: CommitId::nil(),
        at_ms: head.at_ms + 1,
        actor: "tester".into(),
        reason: None,
        idempotency: None,
        expects: Vec::new(),
        changes: changes.collect(),
        digest: Digest::default(),
        attributes: Default::default(),
    }
}

fn image(view: &View) -> Mapped {
    let mut builder = MappedBuilder::default();
    for (namespace, key, entry) in view.iter() {
        builder.push(namespace, key, entry).unwrap();
    }
    builder.finish(view.head(), view.totals(), view.position(), None).unwrap()
}

/// What the layers show of each key, the later one first, whether or not the view was marked for them.
fn assert_layered(view: &View, state: &State, namespaces: &Arc<[Namespace]>) {
    let others: Arc<[Namespace]> = namespaces.iter().cloned().collect();
    for key in 0..20 {
        let key: Key = format!("k/{key}").parse().unwrap();
        let model = namespaces.iter().enumerate().rev();
        let model = model.filter_map(|(at, ns)| Some((at, state.get(ns, &key)?.as_ref()))).next();
        assert_eq!(view.find(namespaces, key.as_str()), model);
        assert_eq!(view.find(&others, key.as_str()), model);
        assert_eq!(view.get_over(namespaces, key.as_str()), model.map(|(_, entry)| entry));
    }
}

fn assert_same(view: &View, state: &State) {
    assert_eq!(view.head(), state.head());
    assert_eq!(view.totals(), state.totals());
    let ours: Vec<_> =
        view.iter().map(|(ns, key, e)| (ns.to_owned(), key.to_owned(), e.to_entry())).collect();
    let model: Vec<_> =
        state.iter().map(|(ns, key, e)| (ns.to_string(), key.to_string(), e.clone())).collect();
    assert_eq!(ours, model);
    for ns in ["ns0", "ns1", "ns2"] {
        let namespace = ns.parse().unwrap();
        for prefix in ["", "k/", "k/1", "zzz"] {
            let ours: Vec<_> =
                view.entries(ns, prefix, None).map(|(key, _)| key.to_owned()).collect();
            let model: Vec<_> =
                state.prefix(&namespace, prefix).map(|(key, _)| key.to_string()).collect();
            assert_eq!(ours, model);
            let after: Vec<_> =
                view.entries(ns, prefix, Some("k/13")).map(|(key, _)| key.to_owned()).collect();
            let model: Vec<_> = model.into_iter().filter(|key| key.as_str() > "k/13").collect();
            assert_eq!(after, model);
        }
        for key in 0..20 {
            let key = format!("k/{key}");
            let entry = view.get(ns, &key).map(|entry| entry.to_entry());
            assert_eq!(entry.as_ref(), state.get(&namespace, &key.parse().unwrap()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_view_is_the_state_after_any_commits_folds_and_reopenings(
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (_, founding) = genesis();
        let hash = Hash::of(b"genesis");
        let mut state = State::found(&founding, hash);
        let folded = fold(&founding, hash, &Default::default(), |_, _| None);
        let layers: Arc<[Namespace]> = ["ns1", "ns0", "ns2"].map(|ns| ns.parse().unwrap()).into();
        let mut view = View::founded(&folded, Position(0)).layered(&layers);
        let mut behind: Option<View> = None;
        for (step, act) in acts.iter().enumerate() {
            match act {
                Act::Commit(changes) => {
                    let commit = commit(&state, changes);
                    let hash = Hash::of(&step.to_le_bytes());
                    let folded = fold(&commit, hash, view.totals(), |ns, key| {
                        view.get(ns.as_str(), key.as_str()).map(|entry| entry.to_entry())
                    });
                    state.apply(&commit, hash);
                    view = view.apply(&folded, Position(step as u64));
                }
                // A fold ends some commits after it began: the base is of an older view.
                Act::Fold => match behind.take() {
                    Some(older) => {
                        let marked = Layers::of(&layers, &older);
                        view = view.rebased(Arc::new(image(&older)), marked);
                    }
                    None => behind = Some(view.clone()),
                },
                Act::Reopen => {
                    let written = image(&view).persist(dir.path(), Keep::Mapped).unwrap();
                    let path = written.path().unwrap().to_owned();
                    let base = Mapped::open(&path, Trust::Verify, Keep::Mapped).unwrap();
                    view = View::of_image(Arc::new(base)).layered(&layers);
                    behind = None;
                }
            }
            assert_same(&view, &state);
            assert_layered(&view, &state, &layers);
        }
    }
}
