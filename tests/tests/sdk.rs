//! The SDK against real servers and real Kafka: what a service sees when they change, stall, die and come back.

use std::path::Path;
use std::time::Duration;

use headwater::{Client, ConnectError, Handle, Phase, Status};
use headwater_client::Write;
use headwater_tests::process::Headwater;

/// How long anything here may take at most.
const SOON: Duration = Duration::from_secs(30);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("nothing happened in time")
}

async fn put(url: &str, key: &str, json: &str) -> u64 {
    let client = headwater_client::Client::builder().server(url).build().unwrap();
    let (namespace, key) = ("app".parse().unwrap(), key.parse().unwrap());
    let how = Write { idempotency_key: Some(uuid::Uuid::now_v7().to_string()), ..Write::default() };
    let written = client.put(&namespace, &key, "application/json", json.to_owned(), &how).await;
    written.unwrap().receipt.revision
}

async fn delete(url: &str, key: &str) -> u64 {
    let client = headwater_client::Client::builder().server(url).build().unwrap();
    let deleted =
        client.delete(&"app".parse().unwrap(), &key.parse().unwrap(), &Write::default()).await;
    deleted.unwrap().receipt.revision
}

async fn connect(url: &str, cache: &Path) -> Client {
    let builder =
        Client::builder().relay(url).namespaces(["app"]).cache_dir(cache).startup_timeout(SOON);
    builder.connect().await.unwrap()
}

/// Waits until the status is as wanted; there is nothing in the SDK's API that rings for a phase.
async fn until(hw: &Client, wanted: impl Fn(&Status) -> bool) {
    let looking = async {
        while !wanted(&hw.status()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(SOON, looking).await;
    assert!(seen.is_ok(), "{:?}", hw.status());
}

#[tokio::test]
async fn a_change_posted_over_http_is_live_in_a_running_service() {
    let dir = tempfile::tempdir().unwrap();
    let server = Headwater::serve(&dir.path().join("data"), &[]);
    put(&server.url(), "limit", "1").await;
    let hw = connect(&server.url(), &dir.path().join("cache")).await;
    let limit: Handle<u32> = hw.handle("limit").unwrap();
    let mut changes = limit.subscribe();
    let revision = put(&server.url(), "limit", "2").await;
    assert_eq!(*soon(changes.changed()).await.unwrap(), 2);
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((hw.get::<u32>("limit").unwrap(), hw.status().phase), (Some(2), Phase::Live));
}

#[tokio::test]
async fn reads_go_on_while_the_server_is_dead_and_changes_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Headwater::serve(&dir.path().join("data"), &[]);
    put(&server.url(), "limit", "1").await;
    let hw = connect(&server.url(), &dir.path().join("cache")).await;
    let limit: Handle<u32> = hw.handle("limit").unwrap();
    server.kill9();
    until(&hw, |status| status.stale).await;
    assert_eq!(*limit.load(), 1);
    assert!(hw.status().last_error.is_some());
    server.restart();
    let revision = put(&server.url(), "limit", "2").await;
    soon(hw.wait_for(revision)).await.unwrap();
    until(&hw, |status| !status.stale).await;
    assert_eq!(*limit.load(), 2);
}

#[tokio::test]
async fn with_the_server_gone_a_service_starts_from_its_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let mut server = Headwater::serve(&dir.path().join("data"), &[]);
    let revision = put(&server.url(), "limit", "5").await;
    let hw = connect(&server.url(), &cache).await;
    let before = hw.status();
    soon(hw.close()).await;
    server.kill9();
    let builder = Client::builder().relay(server.url()).namespaces(["app"]);
    let started = builder
        .clone()
        .cache_dir(&cache)
        .startup_timeout(Duration::from_millis(300))
        .connect()
        .await;
    let hw = started.unwrap();
    let status = hw.status();
    assert!(status.stale, "{status:?}");
    assert_eq!(
        (status.revision, status.hash, status.digest),
        (revision, before.hash, before.digest)
    );
    assert_eq!(*hw.handle::<u32>("limit").unwrap().load(), 5);
    let refused = builder.startup_timeout(Duration::from_millis(300)).connect().await;
    assert!(
        matches!(&refused, Err(ConnectError::NoState { reasons, .. }) if !reasons.is_empty()),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_client_that_was_away_too_long_takes_an_image_and_hands_over_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Headwater::serve(&data, &[]);
    for key in ["kept", "changed", "deleted"] {
        put(&server.url(), key, "1").await;
    }
    let hw = connect(&server.url(), &dir.path().join("cache")).await;
    let [kept, changed, deleted] =
        ["kept", "changed", "deleted"].map(|key| hw.bind(key).default(0u32).build());
    let (mut on_kept, mut on_deleted) = (kept.subscribe(), deleted.subscribe());
    assert_eq!(server.terminate(SOON), 0);
    // Elsewhere, so that the client sees none of it; and gone again, so that no tail remembers it.
    let mut elsewhere = Headwater::serve(&data, &[]);
    put(&elsewhere.url(), "changed", "2").await;
    put(&elsewhere.url(), "new", "1").await;
    let revision = delete(&elsewhere.url(), "deleted").await;
    assert_eq!(elsewhere.terminate(SOON), 0);
    server.restart();
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*kept.load(), *changed.load(), *deleted.load()), (1, 2, 0));
    assert!(deleted.is_deleted());
    assert_eq!(hw.get::<u32>("new").unwrap(), Some(1));
    assert_eq!(*soon(on_deleted.changed()).await.unwrap(), 0);
    let quiet = tokio::time::timeout(Duration::from_millis(20), on_kept.changed()).await;
    assert!(quiet.is_err(), "what did not change wakes nobody");
}

#[tokio::test]
async fn the_next_relay_is_taken_when_one_dies() {
    let dir = tempfile::tempdir().unwrap();
    let (brokers, stream) =
        (headwater_tests::broker::shared(), headwater_tests::topic::fresh_name("sdk"));
    let on_kafka = ["--kafka", brokers, "--stream", &stream];
    let mut first = Headwater::serve(&dir.path().join("first"), &on_kafka);
    let second = Headwater::serve(&dir.path().join("second"), &on_kafka);
    put(&first.url(), "limit", "1").await;
    let builder = Client::builder()
        .relay(first.url())
        .relay(second.url())
        .namespaces(["app"])
        .startup_timeout(SOON);
    let hw = builder.connect().await.unwrap();
    first.kill9();
    let revision = put(&second.url(), "limit", "2").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(hw.get::<u32>("limit").unwrap(), Some(2));
}

#[tokio::test]
async fn a_client_on_kafka_and_one_on_a_relay_agree() {
    let dir = tempfile::tempdir().unwrap();
    let (brokers, stream) =
        (headwater_tests::broker::shared(), headwater_tests::topic::fresh_name("sdk"));
    let server =
        Headwater::serve(&dir.path().join("data"), &["--kafka", brokers, "--stream", &stream]);
    put(&server.url(), "limit", "1").await;
    let on_kafka =
        Client::builder().kafka(brokers, &stream).startup_timeout(SOON).connect().await.unwrap();
    let on_relay =
        Client::builder().relay(server.url()).startup_timeout(SOON).connect().await.unwrap();
    let mut revision = 0;
    for n in 0..50 {
        revision = put(&server.url(), &format!("k{}", n % 7), &n.to_string()).await;
    }
    let of = |status: Status| (status.revision, status.hash, status.digest);
    soon(on_kafka.wait_for(revision)).await.unwrap();
    soon(on_relay.wait_for(revision)).await.unwrap();
    assert_eq!(of(on_kafka.status()), of(on_relay.status()));
    let app = on_kafka.namespace("app").unwrap();
    assert_eq!(app.get::<u32>("k0").unwrap(), Some(49));
    soon(on_kafka.close()).await;
}

#[tokio::test]
async fn a_client_on_kafka_starts_from_its_cache_while_no_broker_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (brokers, stream) =
        (headwater_tests::broker::shared(), headwater_tests::topic::fresh_name("sdk"));
    let server =
        Headwater::serve(&dir.path().join("data"), &["--kafka", brokers, "--stream", &stream]);
    put(&server.url(), "limit", "1").await;
    let cache = dir.path().join("cache");
    let builder = || Client::builder().namespaces(["app"]).cache_dir(&cache);
    let hw = builder().kafka(brokers, &stream).startup_timeout(SOON).connect().await.unwrap();
    assert_eq!(hw.get::<u32>("limit").unwrap(), Some(1));
    soon(hw.close()).await;
    let down = builder()
        .kafka("127.0.0.1:1", &stream)
        .startup_timeout(Duration::from_millis(500))
        .connect()
        .await;
    let hw = down.unwrap();
    assert!(hw.status().stale);
    assert_eq!(hw.get::<u32>("limit").unwrap(), Some(1));
    soon(hw.close()).await;
}
