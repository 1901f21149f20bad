use std::time::Duration;

use futures::{FutureExt, StreamExt};
use headwater::{Client, Handle, ValueChange};

use crate::stream::{Stream, put, soon};

fn pair(change: &ValueChange<u32>) -> (u32, u32) {
    (**change.old, **change.new)
}

async fn counted() -> (Stream, Client, Handle<u32>) {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["global", "app"]).await;
    let n = hw.handle("n").unwrap();
    (stream, hw, n)
}

#[tokio::test]
async fn a_change_says_what_was_what_is_and_who_did_it_when_and_why() {
    let (stream, _hw, n) = counted().await;
    let mut changes = n.changes();
    let revision = stream.put("app", "n", "2").await;
    let change = soon(StreamExt::next(&mut changes)).await.unwrap();
    assert_eq!((pair(&change), change.deleted, change.missed), ((1, 2), false, 0));
    assert_eq!((change.old.revision(), change.new.revision()), (1, revision));
    let by = &change.by;
    assert_eq!((by.revision, by.at_ms, by.actor.as_deref()), (revision, Some(3), Some("test")));
    assert_eq!((by.commit_id, by.reason.as_deref()), (Some(uuid::Uuid::nil()), Some("because")));
    assert_eq!(by.attributes.get("ticket").map(String::as_str), Some("T-1"));
}

#[tokio::test]
async fn a_slow_reader_sees_the_newest_value_and_how_many_it_missed() {
    let (stream, hw, n) = counted().await;
    let mut changes = n.changes();
    for round in 2..=40 {
        let revision = stream.put("app", "n", &round.to_string()).await;
        if round % 2 == 0 {
            soon(hw.wait_for(revision)).await.unwrap();
        }
    }
    soon(hw.wait_for(40)).await.unwrap();
    let change = soon(changes.next()).await.unwrap();
    assert_eq!((pair(&change), change.missed), ((1, 40), 38));
    stream.put("app", "n", "41").await;
    let change = soon(changes.next()).await.unwrap();
    assert_eq!((pair(&change), change.missed), ((40, 41), 0));
}

#[tokio::test]
async fn what_readers_get_and_what_they_missed_is_all_there_was() {
    let (stream, _hw, n) = counted().await;
    let mut changes = n.changes();
    let reading = tokio::spawn(async move {
        let (mut seen, mut last) = (0, 1);
        while last != 300 {
            let change = soon(changes.next()).await.unwrap();
            assert_eq!(**change.old, last, "each change goes on where the last one ended");
            (seen, last) = (seen + 1 + change.missed, **change.new);
        }
        seen
    });
    for round in 2..=300 {
        stream.put("app", "n", &round.to_string()).await;
    }
    assert_eq!(soon(reading).await.unwrap(), 299);
}

#[tokio::test]
async fn a_wait_for_a_change_that_is_dropped_loses_nothing() {
    let (stream, _hw, n) = counted().await;
    let mut changes = n.changes();
    for round in 2..=50u32 {
        assert!(changes.next().now_or_never().is_none());
        stream.put("app", "n", &round.to_string()).await;
        let limit = Duration::from_micros(u64::from(round) * 20);
        let first = tokio::time::timeout(limit, changes.next()).await;
        let change = match first {
            Ok(change) => change,
            Err(_) => soon(changes.next()).await,
        };
        assert_eq!(pair(&change.unwrap()), (round - 1, round));
    }
}

#[tokio::test]
async fn a_deletion_is_a_change_and_a_refused_or_covered_value_is_none() {
    let (stream, hw, n) = counted().await;
    let bound = hw.bind("n").default(7u32).build();
    let (mut changes, mut of_bound) = (n.changes(), bound.changes());
    stream.put("app", "n", "\"x\"").await;
    let covered = stream.put("global", "m", "1").await;
    soon(hw.wait_for(covered)).await.unwrap();
    assert!(changes.next().now_or_never().is_none() && of_bound.next().now_or_never().is_none());
    let revision = stream.delete("app", "n").await;
    let (kept, back) = (soon(changes.next()).await.unwrap(), soon(of_bound.next()).await.unwrap());
    assert_eq!((pair(&kept), kept.deleted, kept.by.revision), ((1, 1), true, revision));
    assert_eq!((pair(&back), back.deleted, back.by.revision), ((1, 7), true, revision));
    assert_eq!(back.new.revision(), 0);
}

#[tokio::test]
async fn a_layer_that_shows_through_is_a_change_by_the_commit_that_uncovered_it() {
    let (stream, hw, n) = counted().await;
    let covered = stream.put("global", "n", "9").await;
    soon(hw.wait_for(covered)).await.unwrap();
    let mut changes = n.changes();
    let uncovered = stream.delete("app", "n").await;
    let change = soon(changes.next()).await.unwrap();
    assert_eq!((pair(&change), change.deleted), ((1, 9), false));
    assert_eq!((change.by.revision, change.new.revision()), (uncovered, covered));
}

#[tokio::test]
async fn streams_and_waits_end_with_the_client_after_the_last_change() {
    let (stream, hw, n) = counted().await;
    let sum = hw.derive("", |view| Ok::<_, String>(view.iter().count())).unwrap();
    let (mut changes, mut derived, late) = (n.changes(), sum.changes(), hw.clone());
    let revision = stream.commit([put("app", "n", "2"), put("app", "m", "2")]).await;
    soon(hw.wait_for(revision)).await.unwrap();
    let waiting = tokio::spawn(async move { late.wait_for(1_000).await });
    soon(hw.close()).await;
    assert_eq!(soon(changes.next()).await.map(|change| pair(&change)), Some((1, 2)));
    assert_eq!(soon(derived.next()).await.map(|change| **change.new), Some(2));
    assert!(soon(changes.next()).await.is_none() && soon(derived.next()).await.is_none());
    assert!(soon(changes.next()).await.is_none(), "and stays ended");
    assert!(soon(n.changes().next()).await.is_none());
    assert!(soon(waiting).await.unwrap().is_err());
}
