//! What `/metrics` says is what happened: each metric is read after something was done, and its value held against that.

use std::time::{Duration, Instant};

use headwater_client::{Client, WatchEvent, WatchQuery};
use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use headwater_tests::scrape::Scrape;
use headwater_tests::stand::{Log, Stand, bounded};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const COMMITS: u64 = 40;
const VALUE_BYTES: usize = 32 * 1024;

/// A value that does not compress to nothing.
fn value(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let digits = (0..VALUE_BYTES).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + u8::try_from(state >> 60).expect("four bits"))
    });
    format!("\"{}\"", digits.collect::<String>())
}

on_both_logs! {
    async fn every_metric_tells_what_was_done(log) {
        let stand = Stand::with(log, &[]);
        let host = stand.server.host();
        let before = Scrape::of(host).await;
        let hw = stand.sdk().namespaces(["app"]).connect().await.unwrap();
        for key in 0..COMMITS {
            stand.ask(Ask::put(format!("/v1/config/app/k{key}"), value(key))).await.is(201);
        }
        hw.wait_for(COMMITS).await.unwrap();
        let now = Scrape::until(host, |now| {
            let of = |name| now.sum(name).unwrap_or(0.0);
            of("headwater_snapshotter_revision") >= COMMITS as f64
                && of("headwater_snapshotter_images_cut_total") >= 1.0
                && of("headwater_replica_lag_seconds") == 0.0
        })
        .await;

        // Where it stands.
        assert_eq!(now.value("headwater_replica_revision"), COMMITS as f64);
        assert_eq!(now.value("headwater_replica_head_revision"), COMMITS as f64);
        assert_eq!(now.value("headwater_publisher_head_revision"), COMMITS as f64);
        assert_eq!(now.value("headwater_replica_lag_revisions"), 0.0);
        assert_eq!(now.value("headwater_replica_lag_seconds"), 0.0);

        // How fast a commit arrives.
        let counted = |scrape: &Scrape, of: &str| {
            scrape.sum(&format!("headwater_replica_end_to_end_seconds_{of}")).unwrap_or(0.0)
        };
        assert_eq!(counted(&now, "count") - counted(&before, "count"), COMMITS as f64);
        let mean = (counted(&now, "sum") - counted(&before, "sum")) / COMMITS as f64;
        assert!(mean > 0.0 && mean < 10.0, "{mean} s");
        let buckets = now.buckets("headwater_replica_end_to_end_seconds");
        assert!(buckets.len() > 10 && buckets.is_sorted(), "{buckets:?}");
        assert!(buckets.iter().map(|(_, count)| count).is_sorted(), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, counted(&now, "count"))));

        // Who follows, and what was sent.
        assert_eq!(now.value("headwater_relay_streams"), 1.0, "one client follows");
        assert!((1.0..20.0).contains(&now.value("headwater_http_connections")));
        let values = (COMMITS as usize * VALUE_BYTES) as f64;
        let streamed = now.value("headwater_relay_stream_bytes_total");
        assert!(streamed > values && streamed < 2.0 * values, "{streamed}");
        let sent = now.value("headwater_http_sent_bytes_total");
        assert!(sent > streamed && sent < 20.0 * values, "{sent}");
        assert_eq!(now.value("headwater_http_connections_cut_total"), 0.0);
        assert_eq!(now.sum("headwater_relay_streams_ended_total").unwrap_or(0.0), 0.0);

        // Images and stores.
        let age = now.value("headwater_snapshotter_image_age_seconds");
        assert!((0.0..120.0).contains(&age), "{age}");
        assert!(now.value("headwater_snapshotter_image_bytes") > 0.0);
        let rows = now.value("headwater_snapshotter_store_bytes");
        assert!(rows > values / 4.0 && rows < 500.0 * values, "{rows}");
        if log == Log::Embedded {
            let kept = now.value("headwater_embedded_log_store_bytes");
            assert!(kept > values / 4.0 && kept < 500.0 * values, "{kept}");
        }

        // What did not stand up to a check: nothing.
        let kinds = now.series("headwater_replica_verification_failures_total").count();
        assert_eq!((kinds, now.value("headwater_replica_verification_failures_total")), (6, 0.0));

        drop(hw);
        Scrape::until(host, |now| now.value("headwater_relay_streams") == 0.0).await;
    }

    async fn watches_are_counted_while_open_and_by_what_they_were_sent_and_why_they_ended(log) {
        // Who takes nothing for a while is not to be cut off for that.
        let stand = Stand::limited(log, &[("HEADWATER_SERVER__WRITE_TIMEOUT_MS", "120000")]);
        let host = stand.server.host();
        let of = |now: &Scrape, name: &str| now.sum(name).unwrap_or(0.0);
        let open = |now: &Scrape| of(now, "headwater_relay_watches");
        let sent = |now: &Scrape| of(now, "headwater_relay_watch_bytes_total");
        let ended = |now: &Scrape| of(now, "headwater_relay_watches_ended_total");
        let before = Scrape::of(host).await;
        assert_eq!((open(&before), sent(&before), ended(&before)), (0.0, 0.0, 0.0));

        let client = Client::builder().server(stand.server.url()).build().unwrap();
        let mut watch = client.watch(&WatchQuery::default()).await.unwrap();
        watch.next().await.unwrap();
        let greeted = Scrape::of(host).await;
        assert_eq!(open(&greeted), 1.0);
        assert!((1.0..1_000.0).contains(&sent(&greeted)), "a heartbeat: {}", sent(&greeted));
        stand.ask(Ask::put("/v1/config/app/k", value(1))).await.is(201);
        while !matches!(watch.next().await.unwrap(), WatchEvent::Commit(_)) {}
        let event = sent(&Scrape::of(host).await) - sent(&greeted);
        assert!((1.0..2.0).contains(&(event / VALUE_BYTES as f64)), "{event}");
        drop(watch);
        let gone = Scrape::until(host, |now| open(now) == 0.0).await;
        assert_eq!(ended(&gone), 0.0, "it was the client that went");

        let mut slow = TcpStream::connect(host).await.unwrap();
        slow.write_all(b"GET /v1/watch?after=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        Scrape::until(host, |now| open(now) == 1.0).await;
        // More than the server keeps of live commits (64 MiB, with what they replaced) and sockets hold between.
        let large = bytes::Bytes::from(vec![b'x'; 200 << 10]);
        headwater_tests::load::acknowledged(host, 8, 300, move |number| {
            Ask::put(format!("/v1/config/app/k{}", number % 5), large.clone()).header("Content-Type", "text/plain")
        })
        .await;
        // What it was told, and whether it could be, is for the watch's own tests.
        let _ = slow.read_to_end(&mut Vec::new()).await;
        let now = Scrape::until(host, |now| open(now) == 0.0).await;
        let slow = now.labelled("headwater_relay_watches_ended_total", "code=\"revision_compacted\"");
        assert_eq!((slow, ended(&now)), (1.0, 1.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_bytes_is_cut_off_and_counted() {
    let claim = async {
        let data = tempfile::tempdir().unwrap();
        let server = headwater_tests::process::Headwater::serve_in(
            data.path(),
            &[],
            &[("HEADWATER_SERVER__WRITE_TIMEOUT_MS", "300")],
        );
        let at = headwater_tests::stand::status(server.host()).await;
        let mut slow = TcpStream::connect(server.host()).await.unwrap();
        let target = format!("/v1/stream?after={}&hash={}", at.revision, at.hash);
        let accept = "Accept: application/vnd.headwater.stream+avro";
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{accept}\r\n\r\n");
        slow.write_all(request.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        slow.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let cut =
            |now: &Scrape| now.labelled("headwater_http_connections_cut_total", "reason=\"slow\"");
        let mut key = 0;
        // What the sockets hold between the two is the system's affair.
        while cut(&Scrape::of(server.host()).await) == 0.0 {
            assert!(key < 2_000, "64 MB and not cut off");
            for _ in 0..50 {
                key += 1;
                let put = Ask::put(format!("/v1/config/app/k{key}"), value(key));
                headwater_tests::http::ask(server.host(), &put).await.is(201);
            }
        }
        let now =
            Scrape::until(server.host(), |now| now.value("headwater_relay_streams") == 0.0).await;
        assert_eq!(cut(&now), 1.0);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_source_a_server_is_behind_for_longer_and_longer() {
    let claim = async {
        let mut broker = headwater_tests::broker::Broker::start();
        let stand = Stand::on_broker(&broker.bootstrap());
        stand.ask(Ask::put("/v1/config/app/k", "1")).await.is(201);
        let host = stand.server.host();
        Scrape::until(host, |now| now.value("headwater_replica_lag_seconds") == 0.0).await;
        // Longer than a state counts as the newest unconfirmed.
        let idle = Instant::now();
        while idle.elapsed() < Duration::from_secs(20) {
            let lag = Scrape::of(host).await.value("headwater_replica_lag_seconds");
            assert_eq!(lag, 0.0, "an idle log leaves nobody behind");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        broker.kill9();
        let lag = |now: &Scrape| now.value("headwater_replica_lag_seconds");
        let first = lag(&Scrape::until(host, |now| lag(now) > 0.5).await);
        let later = lag(&Scrape::until(host, |now| lag(now) > first + 1.0).await);
        assert!(later < 120.0, "{later}");
        broker.begin();
        Scrape::until(host, |now| lag(now) == 0.0).await;
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_another_stream_is_a_verification_that_failed() {
    let claim = async {
        // The second server finds its data on the log of another stream.
        let data = tempfile::tempdir().unwrap();
        let mut first = headwater_tests::process::Headwater::serve(data.path(), &[]);
        let put = Ask::put("/v1/config/app/k", "1");
        headwater_tests::http::ask(first.host(), &put).await.is(201);
        assert_eq!(first.terminate(Duration::from_secs(15)), 0);
        let other = tempfile::tempdir().unwrap();
        let mut second = headwater_tests::process::Headwater::serve(other.path(), &[]);
        assert_eq!(second.terminate(Duration::from_secs(15)), 0);
        std::fs::remove_dir_all(data.path().join("log")).unwrap();
        std::fs::rename(other.path().join("log"), data.path().join("log")).unwrap();
        first.restart_unready();
        let failures = "headwater_replica_verification_failures_total";
        let kind = "kind=\"not_on_this_log\"";
        while TcpStream::connect(first.host()).await.is_err() {
            assert_eq!(first.exit(), None, "{}", first.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Scrape::until(first.host(), |now| now.labelled(failures, kind) >= 1.0).await;
        let now = Scrape::of(first.host()).await;
        assert_eq!(now.value("headwater_replica_alarm"), 1.0);
    };
    bounded(claim).await;
}
