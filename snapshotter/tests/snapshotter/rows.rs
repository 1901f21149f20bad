//! The rows follow the chain, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_log::{Log, MemoryLog};
use headwater_replica::AlarmKind;
use headwater_schemas::{Digest, Hash, encode_commit, encode_marker};
use headwater_snapshotter::{Step, Steps, StoreError};

use crate::chain::json;
use crate::history::wanted;
use crate::world::{Plan, World, announced, temporary};

/// Ten times what a cut takes here: that something does not happen can only be waited for.
const LONG_ENOUGH_TO_CUT: std::time::Duration = std::time::Duration::from_millis(300);

#[tokio::test]
async fn rows_follow_live_commits() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let running = Plan::at(dir.path()).run(&world.log);
    for _ in 0..20 {
        world.write(3).await;
        let status = running.reaches(&world.chain).await;
        assert_eq!(status.alarm, None);
    }
    running.until("live", |status| status.live).await;
    running.stop().await;
}

#[tokio::test]
async fn rows_catch_up_from_the_log_when_the_tail_does_not_reach_back() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(500).await;
    let running = Plan { tail_bytes: 1, ..Plan::at(dir.path()) }.run(&world.log);
    running.reaches(&world.chain).await;
    running.until("live", |status| status.live).await;
    world.write(500).await;
    running.reaches(&world.chain).await;
    running.snapshotter.request_image();
    running.has_image_of(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn rows_catch_up_without_any_replica() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(100).await;
    let running = Plan { follows: false, ..Plan::at(dir.path()) }.run(&world.log);
    running.reaches(&world.chain).await;
    world.write(1).await;
    running.reaches(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn what_does_not_continue_the_chain_is_ignored() {
    for follows in [true, false] {
        let (dir, mut world) = (temporary(), World::new(1).await);
        let mut other = World::new(2).await;
        let first = world.chain.next("ann", vec![json("n", "k", "1")]);
        let foreign = other.chain.next("eve", vec![json("n", "k", "9")]);
        let garbage = bytes::Bytes::from_static(b"\xc3\x01garbage");
        let empty = bytes::Bytes::new();
        let noise = [foreign, garbage, empty, encode_marker(7), first.clone()];
        world.chain.append(vec![first]).await;
        world.chain.append(noise.to_vec()).await;
        world.write(2).await;
        let running = Plan { follows, ..Plan::at(dir.path()) }.run(&world.log);
        assert_eq!(running.reaches(&world.chain).await.alarm, None);
        running.stop().await;
    }
}

#[tokio::test]
async fn after_a_restart_rows_go_on_from_their_own_position() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    for _ in 0..3 {
        world.write(50).await;
        let running = Plan::at(dir.path()).run(&world.log);
        assert!(running.snapshotter.status().revision.is_none_or(|revision| revision % 50 == 0));
        running.reaches(&world.chain).await;
        running.stop().await;
    }
    // The log before the position is gone: nobody read it.
    world.log.trim(headwater_schemas::Position(world.chain.state.head().revision));
    let running = Plan { follows: false, ..Plan::at(dir.path()) }.run(&world.log);
    assert_eq!(running.snapshotter.status().revision, Some(150));
    world.write(1).await;
    running.reaches(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn on_another_log_rows_stop_at_the_last_good_state_with_an_alarm_and_go_on_when_it_is_back() {
    // A shorter, a longer and an equally long log.
    for commits in [3u64, 40, 10] {
        let (dir, mut world) = (temporary(), World::new(1).await);
        world.write(10).await;
        let running = Plan::at(dir.path()).run(&world.log);
        running.reaches(&world.chain).await;
        running.has_image_of(&world.chain).await;
        running.stop().await;
        let mut other = World::new(2).await;
        other.write(commits).await;
        let running = Plan::at(dir.path()).run(&other.log);
        let status = running.until("the alarm", |status| status.alarm.is_some()).await;
        assert_eq!(status.alarm.unwrap().kind, AlarmKind::NotOnThisLog);
        assert_eq!((status.revision, status.hash), (Some(10), world.chain.state.head().hash));
        let history = running.snapshotter.history();
        assert_eq!(
            history.commits(wanted(0, 10, "", 100, 1 << 20)).await.unwrap().commits.len(),
            10
        );
        drop(history);
        other.write(1).await;
        running.snapshotter.request_image();
        tokio::time::sleep(LONG_ENOUGH_TO_CUT).await;
        assert_eq!(announced(dir.path()).unwrap().revision, 10);
        running.stop().await;
        world.write(1).await;
        let running = Plan::at(dir.path()).run(&world.log);
        assert_eq!(running.reaches(&world.chain).await.alarm, None);
        running.stop().await;
    }
}

#[tokio::test]
async fn in_a_log_that_was_copied_the_head_is_found_where_it_stands_now() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(10).await;
    let running = Plan::at(dir.path()).run(&world.log);
    running.reaches(&world.chain).await;
    running.stop().await;
    world.write(5).await;
    let copied = MemoryLog::new();
    let records = world.log.records().into_iter().map(|record| record.bytes);
    let moved = (0..7).map(|_| "not a record".into()).chain(records).collect();
    copied.writer().unwrap().append(moved).await;
    for follows in [true, false] {
        let running = Plan { follows, ..Plan::at(dir.path()) }.run(&copied);
        assert_eq!(running.reaches(&world.chain).await.alarm, None);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_log_that_ends_below_the_rows_is_an_alarm() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(10).await;
    let running = Plan::at(dir.path()).run(&world.log);
    running.reaches(&world.chain).await;
    running.stop().await;
    world.log.truncate(headwater_schemas::Position(6));
    let running = Plan::at(dir.path()).run(&world.log);
    let status = running.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!((status.alarm.unwrap().kind, status.revision), (AlarmKind::NotOnThisLog, Some(10)));
    running.stop().await;
}

#[tokio::test]
async fn a_failing_disk_stops_the_rows_keeps_them_served_and_is_reopened() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = failures.clone();
    let steps = Steps::new(move |step| {
        // The third batch and the two after it meet a full disk.
        if step == Step::Write && (3..6).contains(&counted.fetch_add(1, Ordering::Relaxed)) {
            return Err(StoreError::Failed("no space left on device".into()));
        }
        Ok(())
    });
    let running = Plan { steps, ..Plan::at(dir.path()) }.run(&world.log);
    for _ in 0..10 {
        world.write(1).await;
        running.replica.wait_for(world.chain.state.head().revision).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let status = running.reaches(&world.chain).await;
    assert!(failures.load(Ordering::Relaxed) > 5, "the disk did not fail");
    assert!(status.last_error.unwrap().contains("no space left"));
    assert_eq!(status.alarm, None);
    let history = running.snapshotter.history();
    assert_eq!(history.commits(wanted(0, 10, "", 100, 1 << 20)).await.unwrap().commits.len(), 10);
    running.stop().await;
}

#[tokio::test]
async fn a_commit_whose_writer_was_wrong_counts_and_stops_images() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(5).await;
    let record = world.chain.next("ann", vec![json("n", "k", "1")]);
    // The same commit with another digest: what a writer with a wrong state would append.
    let mut codec = headwater_schemas::Codec::default();
    for (key, entry) in world.chain.state.prefix(&"_schemas".parse().unwrap(), "") {
        codec.learn(key.as_str(), &entry.value).unwrap();
    }
    let mut commit = codec.decode(&record).unwrap();
    commit.digest = Digest([9; 32]);
    let record = encode_commit(&commit);
    let hash = Hash::of(&record);
    world.chain.append(vec![record]).await;
    let running = Plan { follows: false, ..Plan::at(dir.path()) }.run(&world.log);
    let status = running.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!(status.alarm.unwrap().kind, AlarmKind::Divergence);
    let status = running.until("the commit", |status| status.revision == Some(6)).await;
    assert_eq!(status.hash, hash);
    running.snapshotter.request_image();
    tokio::time::sleep(LONG_ENOUGH_TO_CUT).await;
    assert_eq!(announced(dir.path()), None);
    running.stop().await;
}

#[tokio::test]
async fn a_commit_that_cannot_be_understood_stops_the_rows_before_it() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(5).await;
    let good = *world.chain.state.head();
    let record = world.chain.next("ann", vec![json("n", "k", "1")]);
    let mut codec = headwater_schemas::Codec::default();
    for (key, entry) in world.chain.state.prefix(&"_schemas".parse().unwrap(), "") {
        codec.learn(key.as_str(), &entry.value).unwrap();
    }
    let mut commit = codec.decode(&record).unwrap();
    commit.format = headwater_schemas::MUST_UNDERSTAND | 9;
    world.chain.append(vec![encode_commit(&commit)]).await;
    let running = Plan { follows: false, ..Plan::at(dir.path()) }.run(&world.log);
    let status = running.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!(status.alarm.unwrap().kind, AlarmKind::Undecodable);
    running.until("what came before it", |status| status.hash == good.hash).await;
    running.stop().await;
}
