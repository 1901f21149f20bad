//! A rollback restores an older state as a new commit, whatever happens on the way there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_api::{ChangeKind, Expected, Failure, Keys, Op, ProposedOp};
use headwater_log::{FaultPlan, Faulty};
use headwater_publisher::{Kind, Refusal, Rollback, Settings, Write, Written};
use headwater_replica::History;
use headwater_schemas::State;
use proptest::prelude::*;

use crate::chain::{audit, states};
use crate::dry_run::preview;
use crate::harness::{
    Gated, Publisher, change, commits_in, delete, eventually, founded, keyed, namespace, publisher,
    put, rollback, text, write,
};
use crate::past::Past;

fn of_key(key: &str, to_revision: u64) -> Write {
    let keys = Keys::One(key.parse().unwrap());
    let rollback_to = Rollback { namespace: namespace(), keys, to_revision };
    Write { rollback: Some(rollback_to), ..rollback("", to_revision) }
}

fn based(base: u64, write: Write) -> Write {
    let mut write = write;
    write.proposal.base_revision = Some(base);
    write
}

fn json(value: &str) -> ProposedOp {
    ProposedOp::Put { content_type: "application/json".into(), value: value.to_owned().into() }
}

/// What is restored: media types and bytes under some keys.
fn content(state: &State, prefix: &str) -> BTreeMap<String, (String, Vec<u8>)> {
    let namespace = namespace();
    let entries = state.prefix(&namespace, prefix);
    let content = entries.map(|(key, entry)| {
        (key.to_string(), (entry.content_type.to_string(), entry.value.to_vec()))
    });
    content.collect()
}

fn failure(index: Option<usize>, key: &str, base: u64, current_revision: u64) -> Failure {
    let expected = Expected::BaseRevision(base);
    Failure { index, namespace: namespace(), key: key.parse().unwrap(), expected, current_revision }
}

#[tokio::test]
async fn values_types_and_deletions_come_back_and_nothing_else_is_touched() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    let first = vec![
        change("db/a", text("1")),
        change("db/typed", text("7")),
        change("db/gone", text("here")),
        change("db/same", text("s")),
        change("other", text("o")),
    ];
    publisher.receipt(write(Kind::Commit, first)).await.unwrap();
    let second = vec![
        change("db/a", text("2")),
        change("db/typed", json("7")),
        change("db/gone", ProposedOp::Delete),
        change("db/same", text("s")),
        change("db/new", text("n")),
        change("other", text("changed")),
    ];
    publisher.receipt(write(Kind::Commit, second)).await.unwrap();
    let receipt = publisher.receipt(rollback("db/", 1)).await.unwrap();
    assert_eq!(receipt.revision, 3);
    let done: Vec<_> =
        receipt.changes.iter().map(|it| (it.key.as_str(), it.op, it.version)).collect();
    assert_eq!(
        done,
        [
            ("db/a", Op::Put, Some(3)),
            ("db/gone", Op::Put, Some(1)),
            ("db/new", Op::Delete, None),
            ("db/typed", Op::Put, Some(3)),
        ]
    );
    let states = states(&log);
    assert_eq!(content(&states[3], "db/"), content(&states[1], "db/"));
    assert_eq!(publisher.value("other").as_deref(), Some("changed"));
    let (_, commit) = audit(&log).commits.pop().unwrap();
    assert_eq!(commit.attributes["rollback_to"], "1");
    // It is rolled back like any other commit.
    publisher.receipt(rollback("db/", 2)).await.unwrap();
    assert_eq!(content(&audit(&log).state, ""), content(&states[2], ""));
}

#[tokio::test]
async fn one_key_or_the_whole_namespace_can_be_meant_and_genesis_was_empty() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    for value in ["1", "2"] {
        publisher.put("k", value).await.unwrap();
        publisher.put("k/below", value).await.unwrap();
    }
    let receipt = publisher.receipt(of_key("k", 2)).await.unwrap();
    assert_eq!(receipt.changes.len(), 1);
    assert_eq!(
        (publisher.value("k"), publisher.value("k/below")),
        (Some("1".into()), Some("2".into()))
    );
    assert_eq!(publisher.receipt(rollback("", 0)).await.unwrap().changes.len(), 2);
    assert_eq!(content(&audit(&log).state, ""), BTreeMap::new());
}

#[tokio::test]
async fn where_nothing_differs_there_is_no_commit() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    publisher.put("a", "1").await.unwrap();
    publisher.put("a", "2").await.unwrap();
    publisher.put("a", "1").await.unwrap();
    for (write, base) in [(rollback("", 1), 3), (rollback("", 3), 3), (of_key("never", 1), 0)] {
        let unchanged = publisher.receipt(based(base, keyed("k", write))).await.unwrap();
        let head = *publisher.replica.view().unwrap().head();
        assert_eq!((unchanged.revision, unchanged.hash), (3, head.hash));
        assert!(unchanged.commit_id.is_none() && unchanged.changes.is_empty());
    }
    assert_eq!(commits_in(&log), 4, "the genesis and three puts");
    // Its key was not used up.
    assert_eq!(publisher.receipt(keyed("k", put("b", "1"))).await.unwrap().revision, 4);
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_restored_and_writes_nothing() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    publisher.put("a", "1").await.unwrap();
    publisher.put("b", "1").await.unwrap();
    publisher.put("a", "2").await.unwrap();
    let shown = preview(&publisher, based(2, rollback("", 1))).await;
    assert!(!shown.would_succeed);
    assert_eq!(shown.failures, [failure(Some(0), "a", 2, 3)]);
    let kinds: Vec<_> = shown.changes.iter().map(|it| (it.key.as_str(), it.kind)).collect();
    assert_eq!(kinds, [("a", ChangeKind::Changed), ("b", ChangeKind::Removed)]);
    let nothing = preview(&publisher, rollback("", 3)).await;
    assert!(nothing.would_succeed && nothing.changes.is_empty());
    assert_eq!(commits_in(&log), 4);
}

#[tokio::test]
async fn more_than_one_commit_holds_is_refused_with_a_count_and_can_be_done_in_steps() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    for side in ["a", "b", "c"] {
        let changes = (0..700).map(|i| change(&format!("{side}/{i:03}"), text("1"))).collect();
        publisher.receipt(write(Kind::Commit, changes)).await.unwrap();
    }
    let too_many = Refusal::TooManyChanges { limit: 1_000, actual: 2_100 };
    assert_eq!(publisher.receipt(rollback("", 0)).await, Err(too_many.clone()));
    let dry = Write { dry_run: true, ..rollback("", 0) };
    assert_eq!(publisher.writer.write(dry).await.unwrap_err(), too_many);
    assert_eq!(
        publisher.receipt(rollback("", 1)).await,
        Err(Refusal::TooManyChanges { limit: 1_000, actual: 1_400 })
    );
    assert_eq!(commits_in(&log), 4, "never half done");
    for side in ["a", "b", "c"] {
        publisher.receipt(rollback(side, 0)).await.unwrap();
    }
    assert_eq!(content(&audit(&log).state, ""), BTreeMap::new());
}

#[tokio::test]
async fn more_bytes_than_a_record_holds_are_refused_and_writing_goes_on() {
    let log = founded().await;
    let settings = Settings { max_record_bytes: 2_000, ..Settings::default() };
    let publisher = Publisher::start(log.clone(), settings, None).await;
    for i in 0..9 {
        publisher.put(&format!("k{i}"), &"x".repeat(600)).await.unwrap();
    }
    for i in 0..9 {
        publisher.receipt(delete(&format!("k{i}"))).await.unwrap();
    }
    for to_revision in [3, 9] {
        let told = publisher.receipt(rollback("", to_revision)).await;
        assert!(
            matches!(told, Err(Refusal::CommitTooLarge { limit: 2_000, actual }) if actual > 2_000),
            "{told:?}"
        );
    }
    assert_eq!(publisher.receipt(rollback("", 2)).await.unwrap().changes.len(), 2);
}

#[tokio::test]
async fn base_revision_guards_every_key_that_would_change_and_the_one_that_is_named() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    for (key, value) in [("a", "1"), ("b", "1"), ("c", "1"), ("a", "2"), ("b", "2")] {
        publisher.put(key, value).await.unwrap();
    }
    publisher.receipt(delete("c")).await.unwrap();
    let told = publisher.receipt(based(4, rollback("", 3))).await;
    let failures = vec![failure(Some(1), "b", 4, 5), failure(Some(2), "c", 4, 0)];
    assert_eq!(told, Err(Refusal::Conflict(failures)));
    // What was put back already is nobody's conflict, unless it is what was asked for.
    publisher.put("a", "1").await.unwrap();
    let told = publisher.receipt(based(6, of_key("a", 3))).await;
    assert_eq!(told, Err(Refusal::Conflict(vec![failure(None, "a", 6, 7)])));
    assert_eq!(publisher.receipt(based(6, rollback("", 3))).await.unwrap().changes.len(), 2);
    let future = based(99, rollback("", 1));
    assert_eq!(
        publisher.receipt(future).await,
        Err(Refusal::RevisionInFuture { asked: 99, head: 8 })
    );
}

#[tokio::test]
async fn a_revision_above_the_head_is_in_the_future_unless_another_publisher_has_written_it() {
    let log = founded().await;
    let (here, there) = (publisher(log.clone()).await, publisher(log.clone()).await);
    here.put("a", "1").await.unwrap();
    assert_eq!(
        here.receipt(rollback("", 2)).await,
        Err(Refusal::RevisionInFuture { asked: 2, head: 1 })
    );
    for i in 0..20 {
        let made = there.put("a", &i.to_string()).await.unwrap().revision;
        let unchanged = here.receipt(rollback("", made)).await.unwrap();
        assert_eq!((unchanged.revision, unchanged.commit_id), (made, None));
    }
}

#[tokio::test]
async fn what_others_change_before_it_is_appended_is_restored_too() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let (slow, fast) = (publisher(gated.clone()).await, publisher(log.clone()).await);
    fast.put("a", "old").await.unwrap();
    fast.put("a", "new").await.unwrap();
    eventually("both have it", || slow.revision() == 2).await;
    gated.close();
    let writer = slow.writer.clone();
    let going = tokio::spawn(async move { writer.write(rollback("", 1)).await });
    eventually("it is handed over", || gated.held() == 1).await;
    fast.put("b", "meanwhile").await.unwrap();
    fast.put("a", "newer").await.unwrap();
    gated.open().await;
    let Written::Committed { receipt, .. } = going.await.unwrap().unwrap() else {
        panic!("a commit")
    };
    assert_eq!(receipt.body.revision, 5, "the first try was ignored");
    assert_eq!((slow.value("a").as_deref(), slow.value("b")), (Some("old"), None));
}

#[tokio::test]
async fn a_rollback_behind_writes_that_are_not_read_back_yet_counts_them() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let publisher = publisher(gated.clone()).await;
    publisher.put("a", "1").await.unwrap();
    gated.close();
    let spawn = |write| {
        let writer = publisher.writer.clone();
        tokio::spawn(async move { writer.write(write).await })
    };
    let pending = spawn(put("b", "2"));
    eventually("the put is handed over", || gated.held() == 1).await;
    let going = spawn(rollback("", 1));
    let nothing = spawn(rollback("a", 1));
    eventually("the rollback is handed over", || gated.held() == 2).await;
    assert!(!nothing.is_finished(), "that nothing differs would rest on what may still die");
    gated.open().await;
    pending.await.unwrap().unwrap();
    let Written::Committed { receipt, .. } = going.await.unwrap().unwrap() else {
        panic!("a commit")
    };
    assert_eq!((receipt.body.revision, publisher.value("b")), (3, None));
    assert!(matches!(nothing.await.unwrap(), Ok(Written::Unchanged(_))));
}

#[tokio::test]
async fn a_retry_gets_the_same_receipt_here_and_on_any_publisher() {
    let log = founded().await;
    let history = Arc::new(Past::of(&log));
    let first = Publisher::forgetful(log.clone(), Some(history.clone())).await;
    for value in ["1", "2", "3"] {
        first.put("a", value).await.unwrap();
    }
    let asked = keyed("once", rollback("", 1));
    let receipt = first.receipt(asked.clone()).await.unwrap();
    first.put("a", "4").await.unwrap();
    // A retry asks nobody for history.
    history.go_away();
    assert_eq!(first.receipt(asked.clone()).await.unwrap(), receipt);
    let second = Publisher::forgetful(log.clone(), None).await;
    match second.writer.write(asked).await.unwrap() {
        Written::Committed { receipt: again, replayed: true } => {
            assert_eq!((&again.body, again.kind), (&receipt, Kind::Rollback));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(second.value("a").as_deref(), Some("4"), "nothing was written again");
    let other = keyed("once", rollback("", 2));
    assert_eq!(second.receipt(other).await, Err(Refusal::KeyReused));
}

#[tokio::test]
async fn what_is_no_longer_remembered_here_is_asked_of_the_history() {
    let log = founded().await;
    let first = publisher(log.clone()).await;
    for key in ["a", "b", "c", "d"] {
        first.put(key, "old").await.unwrap();
    }
    for key in ["a", "b", "c"] {
        first.put(key, "new").await.unwrap();
    }
    first.receipt(delete("d")).await.unwrap();
    let history = Arc::new(Past::of(&log));
    let publisher = Publisher::forgetful(log.clone(), Some(history.clone())).await;
    let told = publisher.receipt(based(6, rollback("", 4))).await;
    let failures = vec![failure(Some(2), "c", 6, 7), failure(Some(3), "d", 6, 0)];
    assert_eq!(told, Err(Refusal::Conflict(failures)));
    assert_eq!(publisher.receipt(of_key("b", 4)).await.unwrap().changes.len(), 1);
    // History that is a commit behind is enough; what came since is looked at here.
    history.stand_still(8);
    let receipt = publisher.receipt(rollback("", 4)).await.unwrap();
    assert_eq!((receipt.revision, receipt.changes.len()), (10, 3));
    assert_eq!(content(&audit(&log).state, ""), content(&states(&log)[4], ""));
    // Further behind it does not count, and nobody guesses.
    for _ in 0..3 {
        publisher.put("a", "newer").await.unwrap();
    }
    assert!(matches!(publisher.receipt(rollback("", 4)).await, Err(Refusal::NotReady(_))));
    history.go_away();
    assert!(matches!(publisher.receipt(rollback("", 4)).await, Err(Refusal::NotReady(_))));
}

#[tokio::test]
async fn a_revision_that_nobody_keeps_is_refused_and_the_way_to_history_is_named() {
    let log = founded().await;
    let first = publisher(log.clone()).await;
    for value in ["1", "2", "3", "4"] {
        first.put("a", value).await.unwrap();
    }
    let lonely = Publisher::forgetful(log.clone(), None).await;
    let told = lonely.receipt(rollback("", 1)).await.unwrap_err();
    assert_eq!(told, Refusal::NoHistory { asked: 1, oldest: 3 });
    let problem = headwater_api::Problem::from(told);
    assert_eq!((problem.status, problem.number("oldest_revision")), (410, Some(3)));
    assert!(problem.detail.contains("--history-url"), "{problem}");
    assert_eq!(lonely.receipt(rollback("", 3)).await.unwrap().revision, 5);
    let compacted = Arc::new(Past::compacted(&log, 2));
    let publisher = Publisher::forgetful(log.clone(), Some(compacted)).await;
    for rollback in [rollback("", 1), of_key("a", 1)] {
        let told = publisher.receipt(rollback).await;
        assert_eq!(told, Err(Refusal::RevisionCompacted { asked: 1, oldest: 2 }));
    }
    assert_eq!(publisher.receipt(rollback("", 2)).await.unwrap().revision, 6);
}

#[tokio::test]
async fn far_too_many_are_counted_by_history_and_not_kept() {
    let log = founded().await;
    let first = publisher(log.clone()).await;
    for i in 0..40 {
        first.put(&format!("k{i:02}"), "1").await.unwrap();
    }
    let history: Arc<dyn History> = Arc::new(Past::of(&log));
    let settings = Settings { max_changes: 4, ..Settings::default() };
    let reading = headwater_replica::Settings { tail_bytes: 1, ..Default::default() };
    let publisher = Publisher::spawn_reading(log.clone(), reading, settings, Some(history));
    eventually("the writer is ready", || publisher.writer.is_ready()).await;
    for (to_revision, actual) in [(0, 40), (30, 10), (35, 5)] {
        let told = publisher.receipt(rollback("", to_revision)).await;
        assert_eq!(told, Err(Refusal::TooManyChanges { limit: 4, actual }));
    }
    assert_eq!(publisher.receipt(rollback("", 36)).await.unwrap().changes.len(), 4);
}

/// Where random histories are written. A rollback is of one of them.
const NAMESPACES: [&str; 2] = ["app", "beside"];

/// What random histories put: the same bytes as several media types, too.
const VALUES: [(&str, &[u8]); 6] = [
    ("text/plain", b"1"),
    ("text/plain", b"two"),
    ("application/json", b"1"),
    ("application/json", br#"{"two": 2}"#),
    ("application/octet-stream", b"1"),
    ("application/octet-stream", &[0, 0xFF]),
];

/// One step of a random history, in a namespace.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, (&'static str, &'static [u8])),
    Delete(u8),
    /// A prefix or key, and how far back of what there is.
    Rollback(bool, u8, u16),
}

/// Few keys: most are deleted and put again.
fn step() -> impl Strategy<Value = (&'static str, Step)> {
    let value = prop::sample::select(VALUES.to_vec());
    let step = prop_oneof![
        4 => (0..4u8, value).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0..4u8).prop_map(Step::Delete),
        2 => (any::<bool>(), 0..4u8, any::<u16>()).prop_map(|(one, key, back)| Step::Rollback(one, key, back)),
    ];
    (prop::sample::select(NAMESPACES.to_vec()), step)
}

fn key(key: u8) -> String {
    format!("{}/{}", if key < 3 { "a" } else { "b" }, key)
}

/// The same write in another namespace.
fn within(namespace: &str, mut write: Write) -> Write {
    for change in &mut write.proposal.changes {
        change.namespace = namespace.parse().unwrap();
    }
    if let Some(rollback) = &mut write.rollback {
        rollback.namespace = namespace.parse().unwrap();
    }
    write
}

/// Media types and bytes of every namespace, by namespace and key.
fn everything(state: &State) -> BTreeMap<(String, String), (String, Vec<u8>)> {
    let entries = state.iter().map(|(namespace, key, entry)| {
        let value = (entry.content_type.to_string(), entry.value.to_vec());
        ((namespace.to_string(), key.to_string()), value)
    });
    entries.collect()
}

/// Takes a step, and compares what came of it with what the model of all earlier states says.
async fn take(
    publisher: &Publisher,
    states: &mut Vec<State>,
    log: &headwater_log::MemoryLog,
    (namespace, step): &(&'static str, Step),
) {
    let last = states.last().unwrap().clone();
    let (asked, aim) = match step {
        Step::Put(k, (content_type, value)) => {
            let (content_type, value) = ((*content_type).into(), (*value).into());
            let put = change(&key(*k), ProposedOp::Put { content_type, value });
            (write(Kind::Put, vec![put]), None)
        }
        Step::Delete(k) => (delete(&key(*k)), None),
        Step::Rollback(one, k, back) => {
            let to = u64::from(*back) % (last.head().revision + 1);
            let name =
                if *one { key(*k) } else { ["", "a/", "b/"][usize::from(*k) % 3].to_owned() };
            let asked = if *one { of_key(&name, to) } else { rollback(&name, to) };
            (asked, Some((to, name, *one)))
        }
    };
    let told = publisher.receipt(within(namespace, asked)).await;
    *states = crate::chain::states(log);
    let Some((to, name, one)) = aim else { return };
    let meant = |(of, key): &(String, String)| {
        of.as_str() == *namespace && if one { *key == name } else { key.starts_with(&name) }
    };
    let then = everything(&states[usize::try_from(to).unwrap()]);
    let (before, after) = (everything(&last), everything(states.last().unwrap()));
    let keys: BTreeSet<&(String, String)> =
        then.keys().chain(before.keys()).chain(after.keys()).collect();
    for key in &keys {
        let wanted = if meant(key) { &then } else { &before };
        assert_eq!(after.get(*key), wanted.get(*key), "{key:?}, {namespace} back to {to}");
    }
    let differed: Vec<&(String, String)> =
        keys.into_iter().filter(|key| meant(key) && then.get(*key) != before.get(*key)).collect();
    let receipt = told.unwrap();
    let changed: Vec<(String, String)> = receipt
        .changes
        .iter()
        .map(|change| (change.namespace.to_string(), change.key.to_string()))
        .collect();
    assert_eq!(changed.iter().collect::<Vec<_>>(), differed, "no more and no less");
    assert_eq!(receipt.commit_id.is_none(), differed.is_empty());
    let committed = states.last().unwrap().head().revision - last.head().revision;
    assert_eq!(committed, u64::from(!differed.is_empty()));
    for (of, key, entry) in states.last().unwrap().iter() {
        if !changed.contains(&(of.to_string(), key.to_string())) {
            assert_eq!(Some(entry), last.get(of, key), "an entry that was not touched");
        }
    }
}

async fn random(steps: &[(&'static str, Step)], forgetful: bool) {
    let log = founded().await;
    let history: Arc<dyn History> = Arc::new(Past::of(&log));
    let publisher = if forgetful {
        Publisher::forgetful(log.clone(), Some(history)).await
    } else {
        publisher(log.clone()).await
    };
    let mut states = states(&log);
    for step in steps {
        take(&publisher, &mut states, &log, step).await;
    }
    // A rollback, and the rollback of it, leave what was there.
    let (head, there) =
        (states.last().unwrap().head().revision, everything(states.last().unwrap()));
    for to in [head / 2, head] {
        for namespace in NAMESPACES {
            publisher.receipt(within(namespace, rollback("", to))).await.unwrap();
        }
    }
    assert_eq!(everything(&audit(&log).state), there);
}

proptest! {
    // Every case runs two publishers.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_state_of_any_history_comes_back_exactly(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            random(&steps, false).await;
            random(&steps, true).await;
        });
    }
}

/// Writes of one client: puts, deletions, and rollbacks of everything to where it has seen the head lately.
async fn restless(publisher: Arc<Publisher>, seed: u64) {
    for i in 0..40 {
        let mixed = (seed * 7_919 + i) * 2_654_435_761 % 1_000_003;
        let name = key((mixed % 6) as u8);
        let asked = match mixed % 5 {
            0 => delete(&name),
            1 => rollback("", publisher.revision().saturating_sub(mixed % 9)),
            _ => put(&name, &(mixed % 3).to_string()),
        };
        // Deleting what is absent is refused, as it should be.
        let _ = publisher.receipt(asked).await;
    }
}

/// How many rollbacks stand on the chain; each leads to exactly the state that it names, and touches nothing else.
fn exact_rollbacks(log: &headwater_log::MemoryLog) -> usize {
    let (states, commits) = (states(log), audit(log).commits);
    let mut rollbacks = 0;
    for (_, commit) in &commits {
        let Some(to) = commit.attributes.get("rollback_to") else { continue };
        let content = |revision: u64| content(&states[usize::try_from(revision).unwrap()], "");
        let (then, before, after) =
            (content(to.parse().unwrap()), content(commit.revision - 1), content(commit.revision));
        assert_eq!(after, then, "revision {} goes back to {to}", commit.revision);
        let keys: BTreeSet<&String> = then.keys().chain(before.keys()).collect();
        let differed = keys.into_iter().filter(|key| then.get(*key) != before.get(*key)).count();
        assert_eq!(commit.changes.len(), differed, "revision {}", commit.revision);
        rollbacks += 1;
    }
    rollbacks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rollback_on_the_chain_is_exact_whoever_wrote_meanwhile() {
    let log = founded().await;
    let history: Arc<dyn History> = Arc::new(Past::of(&log));
    let publishers = [
        Arc::new(publisher(log.clone()).await),
        Arc::new(Publisher::forgetful(log.clone(), Some(history)).await),
    ];
    let clients = (0..8).map(|seed| restless(publishers[seed as usize % 2].clone(), seed));
    futures::future::join_all(clients).await;
    assert!(exact_rollbacks(&log) > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rollback_on_the_chain_is_exact_whatever_the_log_does() {
    let mut rollbacks = 0;
    for seed in 0..4 {
        println!("seed {seed}");
        let log = founded().await;
        let settings = Settings { outcome_timeout_ms: 300, ..Settings::default() };
        let mut publishers = Vec::new();
        for side in 0..2 {
            let faulty = Arc::new(Faulty::new(log.clone(), FaultPlan::NONE, seed * 2 + side));
            let started = Publisher::start(faulty.clone(), settings.clone(), None).await;
            faulty.set_plan(FaultPlan::every(40));
            publishers.push((faulty, Arc::new(started)));
        }
        let clients = (0..6).map(|i| restless(publishers[i as usize % 2].1.clone(), seed * 6 + i));
        futures::future::join_all(clients).await;
        for (faulty, _) in &publishers {
            faulty.set_plan(FaultPlan::NONE);
            faulty.release().await;
        }
        rollbacks += exact_rollbacks(&log);
    }
    assert!(rollbacks > 10, "{rollbacks}");
}
