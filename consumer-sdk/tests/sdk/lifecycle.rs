use std::time::Duration;

use headwater::{Closed, Handle, Phase};

use crate::stream::{Stream, soon};

#[tokio::test]
async fn the_client_lives_while_only_a_handle_does() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let n: Handle<u32> = stream.client(&["app"]).await.handle("n").unwrap();
    let mut changes = n.subscribe();
    stream.put("app", "n", "2").await;
    assert_eq!(*soon(changes.changed()).await.unwrap(), 2);
}

#[tokio::test]
async fn the_client_lives_while_only_a_reader_does() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let mut reader = stream.client(&["app"]).await.handle::<u32>("n").unwrap().reader();
    stream.put("app", "n", "2").await;
    let read = async {
        while *reader.load() != 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(read).await;
}

#[tokio::test]
async fn closing_ends_every_wait_and_leaves_the_last_state_readable() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let (other, n) = (hw.clone(), hw.handle::<u32>("n").unwrap());
    let waiting = tokio::spawn(async move { other.wait_for(1_000).await });
    let other = hw.clone();
    soon(hw.close()).await;
    assert_eq!(soon(waiting).await.unwrap(), Err(Closed));
    assert_eq!((*n.load(), other.get::<u32>("n").unwrap()), (1, Some(1)));
    assert_eq!(other.status().phase, Phase::Closed);
    assert!(other.handle::<u32>("n").is_err());
    let bound = other.bind("n").default(7u32).build();
    assert_eq!(*bound.load(), 1);
    assert_eq!(soon(bound.subscribe().changed()).await.unwrap_err(), Closed);
}

#[tokio::test]
async fn two_clients_agree_on_revision_hash_and_digest() {
    let stream = Stream::found().await;
    let early = stream.client(&["app"]).await;
    let mut revision = 0;
    for n in 0..200 {
        revision = stream.put("app", &format!("k{}", n % 17), &n.to_string()).await;
    }
    let late = stream.builder().connect().await.unwrap();
    let early_all = stream.builder().connect().await.unwrap();
    for client in [&early, &late, &early_all] {
        soon(client.wait_for(revision)).await.unwrap();
    }
    let of = |status: headwater::Status| (status.revision, status.hash, status.digest);
    assert_eq!(of(late.status()), of(early_all.status()));
    assert_eq!(late.status().digest, stream.digest());
    assert_eq!((early.status().revision, early.status().hash), (revision, late.status().hash));
}

#[tokio::test]
async fn wait_for_means_that_every_handle_has_processed_the_revision() {
    let stream = Stream::found().await;
    stream.put("app", "n", "0").await;
    let hw = stream.client(&["app"]).await;
    let handles: Vec<Handle<u64>> = (0..50).map(|_| hw.handle("n").unwrap()).collect();
    for round in 1..=100u64 {
        let revision = stream.put("app", "n", &round.to_string()).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert!(handles.iter().all(|handle| *handle.load() == round));
        assert!(hw.view().revision() >= revision);
    }
}

#[tokio::test]
async fn handles_made_while_commits_arrive_miss_none() {
    let stream = std::sync::Arc::new(Stream::found().await);
    stream.put("app", "n", "0").await;
    let hw = stream.client(&["app"]).await;
    let writer = stream.clone();
    let writing = tokio::spawn(async move {
        let mut last = 0;
        for n in 1..=300 {
            last = writer.put("app", "n", &n.to_string()).await;
            tokio::task::yield_now().await;
        }
        last
    });
    let mut handles: Vec<Handle<u64>> = Vec::new();
    while !writing.is_finished() {
        handles.push(hw.handle("n").unwrap());
        tokio::task::yield_now().await;
    }
    soon(hw.wait_for(writing.await.unwrap())).await.unwrap();
    assert!(handles.iter().all(|handle| *handle.load() == 300), "{} handles", handles.len());
}
