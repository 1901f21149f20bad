//! A service starts and serves while everything it reads from is gone, and goes live again when that returns.

use std::path::Path;
use std::time::{Duration, Instant};

use headwater::{ConnectError, Handle, Phase, Source};
use headwater_tests::broker::Broker;
use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use headwater_tests::probe::Probe;
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, Stand, bounded};
use tempfile::TempDir;

const STARTUP: Duration = Duration::from_millis(800);
/// Far more than any start needs, and far less than a hang.
const BOUND: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(30);

on_both_logs! {
    async fn with_the_server_gone_a_service_starts_from_its_cache_and_is_live_again_when_it_returns(log) {
        let mut stand = Stand::start(log);
        let cache = tempfile::tempdir().unwrap();
        put(&stand, "limit", "41").await;
        put(&stand, "limit", "42").await;
        seed(&stand, &cache).await;
        stand.server.kill9();

        let began = Instant::now();
        let service = service(&stand, &cache).connect().await.unwrap();
        assert!(began.elapsed() < BOUND, "the start took {:?}", began.elapsed());
        let limit: Handle<u32> = service.handle("limit").unwrap();
        assert_eq!(*limit.load(), 42, "the last known good value is served");
        let status = service.status();
        assert!(status.stale, "{status:?}");
        assert_eq!((status.source, status.revision), (Source::Cache, 2), "{status:?}");
        assert!(status.last_error.is_some(), "it says what is wrong: {status:?}");

        let mut changes = limit.subscribe();
        stand.server.restart();
        put(&stand, "limit", "43").await;
        tokio::time::timeout(PATIENCE, changes.changed()).await.expect("the change comes").unwrap();
        assert_eq!(*limit.load(), 43);
        is_live(&service).await;
        assert_eq!(service.status().phase, Phase::Live);
        service.close().await;
    }

    async fn a_service_that_runs_serves_on_through_a_kill_of_the_server_and_misses_nothing(log) {
        let mut stand = Stand::start(log);
        let cache = tempfile::tempdir().unwrap();
        put(&stand, "limit", "1").await;
        let service = service(&stand, &cache).connect().await.unwrap();
        let limit: Handle<u32> = service.handle("limit").unwrap();
        assert!(!service.status().stale);
        for round in 2..5 {
            stand.server.kill9();
            assert_eq!(*limit.load(), round - 1);
            stand.server.restart();
            let revision = put(&stand, "limit", &round.to_string()).await;
            tokio::time::timeout(PATIENCE, service.wait_for(revision)).await.expect("in time").unwrap();
            assert_eq!(*limit.load(), round);
        }
        service.close().await;
    }
}

on_both_logs! {
    async fn a_service_older_than_the_servers_tail_takes_an_image_and_deleted_keys_are_gone(log) {
        let mut stand = Stand::start(log);
        let cache = tempfile::tempdir().unwrap();
        put(&stand, "kept", "1").await;
        put(&stand, "deleted", "1").await;
        put(&stand, "changed", "1").await;
        seed(&stand, &cache).await;
        stand.ask(Ask::delete("/v1/config/app/deleted")).await.is(200);
        for value in 2..50 {
            put(&stand, "changed", &value.to_string()).await;
        }
        let newest = put(&stand, "new", "1").await;
        // A server that starts anew knows no commits before its own last state, which it leaves at its end.
        assert_eq!(stand.server.terminate(PATIENCE), 0);
        stand.server.restart();

        let service = service(&stand, &cache).startup_timeout(PATIENCE).connect().await.unwrap();
        let status = service.status();
        assert_eq!((status.stale, status.revision, status.source), (false, newest, Source::Image), "{status:?}");
        let value = |key| service.get::<u32>(key).unwrap();
        assert_eq!(
            (value("kept"), value("deleted"), value("changed"), value("new")),
            (Some(1), None, Some(49), Some(1))
        );
        service.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_that_fell_behind_the_tail_is_told_the_difference_deletions_too() {
    let claim = async {
        let mut relay = Stand::start(Log::Kafka);
        let writer = relay.another();
        for key in ["kept", "deleted", "changed"] {
            put(&writer, key, "1").await;
        }
        let service = relay.sdk().namespaces(["app"]).startup_timeout(PATIENCE).connect().await;
        let service = service.unwrap();
        tokio::time::timeout(PATIENCE, service.wait_for(3)).await.expect("in time").unwrap();
        let deleted = service.bind("deleted").default(0_u32).build();
        let changed: Handle<u32> = service.handle("changed").unwrap();
        let new = service.bind("new").default(0_u32).build();
        assert_eq!((*deleted.load(), *changed.load(), *new.load()), (1, 1, 0));

        relay.server.kill9();
        writer.ask(Ask::delete("/v1/config/app/deleted")).await.is(200);
        put(&writer, "changed", "2").await;
        let revision = put(&writer, "new", "1").await;
        // Its own last state is the newest one: the commits between are not in its tail.
        std::fs::remove_dir_all(relay.data().join("replica")).unwrap();
        copy(&writer.data().join("replica"), &relay.data().join("replica"));
        relay.server.restart();
        tokio::time::timeout(PATIENCE, service.wait_for(revision)).await.expect("in time").unwrap();
        assert_eq!((*deleted.load(), *changed.load(), *new.load()), (0, 2, 1));
        service.close().await;
    };
    bounded(claim).await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_server_gone_and_no_cache_a_service_says_why_it_cannot_start() {
    let claim = async {
        let mut stand = Stand::start(Log::Embedded);
        let cache = tempfile::tempdir().unwrap();
        stand.server.kill9();
        match service(&stand, &cache).connect().await {
            Err(ConnectError::NoState { reasons, .. }) => {
                let told = reasons.join("\n");
                assert!(told.contains(stand.server.host()), "the relay is named: {told}");
                assert!(told.contains("cache"), "the cache is named: {told}");
            }
            other => panic!("{other:?}"),
        }
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_with_kill_9_finds_its_cache_again() {
    let claim = async {
        let mut stand = Stand::start(Log::Embedded);
        let cache = tempfile::tempdir().unwrap();
        let cached = cache.path().display().to_string();
        put(&stand, "limit", "42").await;
        let url = stand.server.url();
        let flags = ["--relay", &url, "--namespace", "app", "--cache", &cached, "--until", "1"];
        let mut service = Probe::start(&[&flags[..], &["--stay"]].concat());
        let before = service.reached(PATIENCE);
        wait_for_a_file(&cache);
        service.kill9();
        stand.server.kill9();

        let mut again = Probe::start(&[&flags[..], &["--startup-ms", "500"]].concat());
        let after = again.connected(PATIENCE);
        assert_eq!(after["stale"], true, "{after}");
        assert_eq!(after["source"], "cache", "{after}");
        for fact in ["revision", "hash", "digest", "stream_id"] {
            assert_eq!(after[fact], before[fact], "{after}");
        }
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_broker_gone_a_service_on_kafka_starts_from_its_cache_and_goes_live_when_it_returns()
 {
    let claim = async {
        let mut broker = Broker::start();
        let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let bootstrap = broker.bootstrap();
        let server = Headwater::serve(data.path(), &["--kafka", &bootstrap]);
        let ask = Ask::put("/v1/config/app/limit", "42");
        headwater_tests::http::ask(server.host(), &ask).await.is(201);
        let service = || {
            let builder = headwater::Client::builder().kafka(&bootstrap, "default");
            builder.namespaces(["app"]).cache_dir(cache.path()).startup_timeout(STARTUP)
        };
        let first = service().startup_timeout(PATIENCE).connect().await.unwrap();
        assert!(!first.status().stale);
        first.close().await;
        broker.kill9();

        let began = Instant::now();
        let client = service().connect().await.unwrap();
        assert!(began.elapsed() < BOUND, "the start took {:?}", began.elapsed());
        assert!(client.status().stale);
        assert_eq!(client.get::<u32>("limit").unwrap(), Some(42));

        broker.restart();
        is_live(&client).await;
        assert_eq!(client.get::<u32>("limit").unwrap(), Some(42));
        client.close().await;
    };
    bounded(claim).await;
}

fn service(stand: &Stand, cache: &TempDir) -> headwater::Builder {
    stand.sdk().namespaces(["app"]).cache_dir(cache.path()).startup_timeout(STARTUP)
}

/// A first life of the service, which leaves its cache.
async fn seed(stand: &Stand, cache: &TempDir) {
    let first = service(stand, cache).startup_timeout(PATIENCE).connect().await.unwrap();
    assert!(!first.status().stale, "{:?}", first.status());
    first.close().await;
}

/// The phase follows a change a moment later, and has no signal of its own.
async fn is_live(service: &headwater::Client) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while service.status().stale {
        assert!(Instant::now() < deadline, "{:?}", service.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn put(stand: &Stand, key: &str, value: &str) -> u64 {
    let answer = stand.ask(Ask::put(format!("/v1/config/app/{key}"), value.to_owned())).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    answer.revision()
}

/// The first file of revision 1 in the cache: it is freshened in the background.
fn wait_for_a_file(cache: &TempDir) {
    let deadline = Instant::now() + PATIENCE;
    let there = || {
        let files = std::fs::read_dir(cache.path()).unwrap().filter_map(Result::ok);
        files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("1-"))
    };
    while !there() {
        assert!(Instant::now() < deadline, "nothing was cached");
        std::thread::sleep(Duration::from_millis(20));
    }
}
