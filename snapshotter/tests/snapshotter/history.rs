//! History over the rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use headwater_log::MemoryLog;
use headwater_replica::history_conformance::{Dice, Model, conforms};
use headwater_replica::{CommitsQuery, DiffQuery, HistoryError, KeyDiff, Order};
use headwater_schemas::{Hash, Key, Point, State, StreamId};

use crate::chain::{Chain, delete, json};
use crate::world::{Plan, Running, World, temporary};

/// Six commits by two actors; bob's last deletes.
async fn sample() -> (tempfile::TempDir, World, Running) {
    let (dir, mut world) = (temporary(), World::new(1).await);
    for n in 1..=5u64 {
        let actor = if n % 2 == 0 { "bob" } else { "ann" };
        world.chain.commit(actor, vec![json("n", &format!("k{}", n % 3), &n.to_string())]).await;
    }
    world
        .chain
        .commit("bob", vec![delete("n", "k1"), json("nn", "k1", "1"), delete("n", "never")])
        .await;
    let running = Plan::at(dir.path()).run(&world.log);
    running.reaches(&world.chain).await;
    (dir, world, running)
}

/// The commits of an actor, or of everybody.
pub(crate) fn wanted(
    after: u64,
    upto: u64,
    actor: &str,
    limit: usize,
    max_bytes: usize,
) -> CommitsQuery {
    let actor = (!actor.is_empty()).then(|| actor.to_owned());
    CommitsQuery { after, upto, actor, limit, max_bytes, ..CommitsQuery::default() }
}

#[tokio::test]
async fn commits_come_in_order_with_their_hashes_and_limits_hold() {
    let (_dir, world, running) = sample().await;
    let history = running.snapshotter.history();
    assert_eq!(history.head().await.unwrap(), *world.chain.state.head());
    let all = history.commits(wanted(0, 6, "", 100, 1 << 20)).await.unwrap();
    let revisions: Vec<_> = all.commits.iter().map(|(_, commit)| commit.revision).collect();
    assert_eq!((revisions, all.scanned_to), (vec![1, 2, 3, 4, 5, 6], 6));
    for pair in all.commits.windows(2) {
        assert_eq!(pair[1].1.parent, pair[0].0);
    }
    let some = history.commits(wanted(1, 5, "", 2, 1 << 20)).await.unwrap();
    assert_eq!((some.commits.len(), some.scanned_to), (2, 3));
    let small = history.commits(wanted(0, 6, "", 100, 1)).await.unwrap();
    assert_eq!((small.commits.len(), small.scanned_to), (1, 1));
    running.stop().await;
}

#[tokio::test]
async fn an_actors_commits_are_found_by_index_and_the_scan_says_how_far_it_went() {
    let (_dir, _world, running) = sample().await;
    let history = running.snapshotter.history();
    let bob = history.commits(wanted(0, 6, "bob", 2, 1 << 20)).await.unwrap();
    let revisions: Vec<_> = bob.commits.iter().map(|(_, commit)| commit.revision).collect();
    // The index knows that 5 is not theirs.
    assert_eq!((revisions, bob.scanned_to), (vec![2, 4], 5));
    let rest = history.commits(wanted(bob.scanned_to, 6, "bob", 2, 1 << 20)).await.unwrap();
    assert_eq!((rest.commits.len(), rest.scanned_to), (1, 6));
    let nobody = history.commits(wanted(0, 6, "bo", 9, 1 << 20)).await.unwrap();
    assert_eq!((nobody.commits.len(), nobody.scanned_to), (0, 6));
    running.stop().await;
}

#[tokio::test]
async fn the_last_change_of_a_key_counts_deletions_and_stops_at_a_revision() {
    let (_dir, _world, running) = sample().await;
    let history = running.snapshotter.history();
    for (namespace, key, upto, wanted) in [
        ("n", "k1", 6, 6),
        ("n", "k1", 5, 4),
        ("n", "k1", 3, 1),
        ("n", "k1", 0, 0),
        ("n", "k2", u64::MAX, 5),
        ("nn", "k1", 6, 6),
        // Deleting what is not there changes nothing.
        ("n", "never", 6, 0),
        ("n", "k", 6, 0),
        ("", "nk1", 6, 0),
    ] {
        let found = history.last_change(namespace, Some(key), upto).await.unwrap();
        assert_eq!(found, wanted, "{namespace}/{key} up to {upto}");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_the_rows_have_not_reached_is_unavailable_never_empty() {
    let (_dir, _world, running) = sample().await;
    let history = running.snapshotter.history();
    let ahead = history.commits(wanted(0, 7, "", 100, 1 << 20)).await;
    assert!(matches!(ahead, Err(HistoryError::Unavailable(_))), "{ahead:?}");
    running.stop().await;
}

#[tokio::test]
async fn every_question_is_answered_as_a_naive_model_of_the_log_answers_it() {
    for seed in 0..6 {
        let (dir, mut world, mut dice) = (temporary(), World::new(1).await, Dice::new(seed));
        world.chain.step_ms = [0, 1, 1_000][dice.roll(3)];
        for (actor, changes) in dice.commits(10 + dice.clone().roll(60)) {
            world.chain.commit(actor, changes).await;
        }
        let running = Plan::at(dir.path()).run(&world.log);
        running.reaches(&world.chain).await;
        let records = world.log.records().into_iter().map(|record| record.bytes).collect();
        println!("seed {seed}");
        conforms(running.snapshotter.history().as_ref(), &Model::of(records), &mut dice).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn the_states_before_a_rebuilt_stream_was_whole_are_no_longer_kept() {
    let (dir, log) = (temporary(), MemoryLog::new());
    let from = Point { stream_id: StreamId([9; 16]), revision: 9, hash: Hash([9; 32]) };
    let chain = Chain::found_from(Arc::new(log.clone()), 1, Some((from, 2))).await;
    let mut world = World { chain, log };
    for n in 1..=3 {
        world.chain.commit("ann", vec![json("n", "k", &n.to_string())]).await;
    }
    let running = Plan::at(dir.path()).run(&world.log);
    running.reaches(&world.chain).await;
    let history = running.snapshotter.history();
    for revision in 0..2 {
        let entry = history.entry("n", "k", revision).await;
        assert!(matches!(entry, Err(HistoryError::Compacted { oldest: 2 })), "{entry:?}");
    }
    assert_eq!(&history.entry("n", "k", 2).await.unwrap().unwrap().value[..], b"2");
    running.stop().await;
}

/// Seventy old keys, of which one is changed once more; six thousand commits over fifty others; and one that comes last.
async fn long() -> (tempfile::TempDir, World, Running, State) {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let old = (0..70).map(|n| json("n", &format!("old/{n}"), "1"));
    world.chain.commit("ann", old.collect()).await;
    world.chain.each([json("n", "old/2", "2")]).await;
    let early = world.chain.state.clone();
    let change = |n: u64| match n % 7 {
        0 => delete("n", &format!("k{}", (n - 1) % 50)),
        _ => json("n", &format!("k{}", n % 50), &n.to_string()),
    };
    world.chain.each((1..=6_000).map(change)).await;
    world.chain.commit("bob", vec![json("n", "last", "1")]).await;
    let running = Plan::at(dir.path()).run(&world.log);
    running.reaches(&world.chain).await;
    (dir, world, running, early)
}

#[tokio::test]
async fn a_page_that_finds_nothing_for_long_ends_early_and_the_next_goes_on() {
    let (_dir, _world, running, _) = long().await;
    let history = running.snapshotter.history();
    let all =
        CommitsQuery { upto: 6_003, limit: 10, max_bytes: 1 << 20, ..CommitsQuery::default() };
    for (order, wanted) in [(Order::Ascending, [1, 2]), (Order::Descending, [2, 1])] {
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut rest = Some(CommitsQuery { prefix: "old/".into(), order, ..all.clone() });
        while let Some(query) = rest {
            let page = history.commits(query.clone()).await.unwrap();
            found.extend(page.commits.iter().map(|(_, commit)| commit.revision));
            (rest, pages) = (query.rest(page.scanned_to), pages + 1);
        }
        assert_eq!((found, pages), (wanted.to_vec(), 2), "{order:?}");
    }
    // Under a prefix of few keys it is found at once, whatever namespace they are of.
    for namespace in [None, Some("n".parse().unwrap())] {
        let narrow = CommitsQuery { namespace, prefix: "last".into(), ..all.clone() };
        let page = history.commits(narrow).await.unwrap();
        assert_eq!((page.commits.len(), page.scanned_to), (1, 6_003));
    }
    running.stop().await;
}

#[tokio::test]
async fn the_difference_of_states_far_apart_is_that_of_their_entries() {
    let (_dir, world, running, early) = long().await;
    let history = running.snapshotter.history();
    let (namespace, late) = ("n".parse().unwrap(), world.chain.state.clone());
    let keys: BTreeSet<_> = [&early, &late]
        .into_iter()
        .flat_map(|state| state.prefix(&namespace, "").map(|(key, _)| key.clone()))
        .collect();
    let entry = |state: &State, key: &Key| state.get(&namespace, key).cloned();
    let wanted: Vec<_> = keys
        .into_iter()
        .map(|key| KeyDiff { old: entry(&early, &key), new: entry(&late, &key), key })
        .filter(|difference| difference.old != difference.new)
        .collect();
    assert!(wanted.len() > 30);
    let mut query = DiffQuery {
        namespace: namespace.clone(),
        prefix: String::new(),
        after: None,
        from: early.head().revision,
        to: late.head().revision,
        limit: 7,
        max_bytes: 1 << 20,
    };
    let mut found = Vec::new();
    loop {
        let page = history.diff(query.clone()).await.unwrap();
        found.extend(page.changes);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(found, wanted);
    running.stop().await;
}
