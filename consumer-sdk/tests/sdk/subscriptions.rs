use std::time::Duration;

use futures::FutureExt;
use headwater::{Closed, Handle};

use crate::stream::{Stream, soon};

#[tokio::test]
async fn a_change_between_subscribe_and_the_first_wait_is_not_missed() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    let mut changes = n.subscribe();
    let revision = stream.put("app", "n", "2").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(*soon(changes.changed()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_no_change() {
    let stream = Stream::found().await;
    stream.put("app", "n", "0").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    let mut changes = n.subscribe();
    for round in 1..=50u32 {
        // Waits that began before the change, and one that is cancelled before, while or after it arrives.
        assert!(changes.changed().now_or_never().is_none());
        let revision = stream.put("app", "n", &round.to_string()).await;
        let short = Duration::from_micros(u64::from(round) * 20);
        let seen = match tokio::time::timeout(short, changes.changed()).await {
            Ok(seen) => seen,
            Err(_) => soon(changes.changed()).await,
        };
        assert_eq!(*seen.unwrap(), round);
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!(*n.load(), round);
    }
}

#[tokio::test]
async fn a_change_of_another_key_and_a_refused_value_wake_nobody() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    let mut changes = n.subscribe();
    stream.put("app", "other", "1").await;
    stream.put("other", "n", "5").await;
    let revision = stream.put("app", "n", "\"bad\"").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), changes.changed()).await.is_err());
}

#[tokio::test]
async fn a_deletion_wakes_a_subscriber_even_without_a_default() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    let mut changes = n.subscribe();
    stream.delete("app", "n").await;
    assert_eq!(*soon(changes.changed()).await.unwrap(), 1);
    assert!(n.is_deleted());
}

#[tokio::test]
async fn a_subscriber_sees_the_last_change_and_then_learns_of_the_end() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    let mut changes = n.subscribe();
    let revision = stream.put("app", "n", "2").await;
    soon(hw.wait_for(revision)).await.unwrap();
    soon(hw.close()).await;
    assert_eq!(*soon(changes.changed()).await.unwrap(), 2);
    assert_eq!(soon(changes.changed()).await.unwrap_err(), Closed);
    assert_eq!(*n.load(), 2, "what was read stays readable");
}

#[tokio::test]
async fn subscribers_wait_on_whatever_runtime_they_have() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let mut changes = hw.handle::<u32>("n").unwrap().subscribe();
    let waiter = std::thread::spawn(move || {
        let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
        bare.block_on(async move { *changes.changed().await.unwrap() })
    });
    stream.put("app", "n", "2").await;
    let got = soon(tokio::task::spawn_blocking(move || waiter.join().unwrap())).await.unwrap();
    assert_eq!(got, 2);
}
