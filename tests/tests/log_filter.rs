//! A server's log filter is a key of its own stream.

use std::time::{Duration, Instant};

use headwater_tests::http::{Ask, ask};
use headwater_tests::process::Headwater;
use headwater_tests::scrape::Scrape;
use headwater_tests::stand::bounded;

const SOON: Duration = Duration::from_secs(30);
const KEY: &str = "/v1/config/ops.logs/headwater.logs";

/// Does something that a server logs at `debug` until the log has a line that holds `wanted`.
async fn logs(server: &Headwater, wanted: &str) {
    let deadline = Instant::now() + SOON;
    while !server.log().contains(wanted) {
        assert!(Instant::now() < deadline, "no {wanted:?} in:\n{}", server.log());
        noise(server).await;
    }
}

/// A connection that ends in the middle of a request's head: told at `debug` by the edge.
async fn noise(server: &Headwater) {
    use tokio::io::AsyncWriteExt as _;
    let mut half = tokio::net::TcpStream::connect(server.host()).await.unwrap();
    half.write_all(b"GET /v1/status HT").await.unwrap();
    drop(half);
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn debug_lines(server: &Headwater) -> usize {
    server.log().matches("a connection ended early").count()
}

async fn refused(server: &Headwater, is: f64) {
    Scrape::until(server.host(), |now| now.sum("headwater_log_filter_refused") == Some(is)).await;
}

async fn put(server: &Headwater, value: &str, content_type: &str) {
    let put = Ask::put(KEY, value.to_owned()).header("Content-Type", content_type);
    let answer = ask(server.host(), &put).await;
    assert!([200, 201].contains(&answer.status), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_changes_what_is_logged_a_bad_one_does_not_and_without_it_the_flag_counts() {
    let claim = async {
        let folder = tempfile::tempdir().unwrap();
        let flags = ["--self-config", "ops.logs"];
        let mut server = Headwater::serve_in(folder.path(), &flags, &[("HEADWATER_LOG", "info")]);
        for _ in 0..5 {
            noise(&server).await;
        }
        assert_eq!(debug_lines(&server), 0, "{}", server.log());
        refused(&server, 0.0).await;

        put(&server, "\"info,headwater_server=debug\"", "application/json").await;
        logs(&server, "a connection ended early").await;

        put(&server, "\"info,headwater_server=loud\"", "application/json").await;
        logs(&server, "a bad value was refused").await;
        refused(&server, 1.0).await;
        let before = debug_lines(&server);
        let deadline = Instant::now() + SOON;
        while debug_lines(&server) <= before {
            assert!(Instant::now() < deadline, "the old filter stays:\n{}", server.log());
            noise(&server).await;
        }

        ask(server.host(), &Ask::delete(KEY)).await.is(200);
        logs(&server, "filter=\"info\"").await;
        refused(&server, 0.0).await;
        let before = debug_lines(&server);
        for _ in 0..5 {
            noise(&server).await;
        }
        assert_eq!(debug_lines(&server), before, "{}", server.log());

        // A text is as good as JSON, and a start finds what the key holds.
        put(&server, "info,headwater_server=debug", "text/plain").await;
        logs(&server, "a connection ended early").await;
        assert_eq!(server.terminate(Duration::from_secs(15)), 0, "{}", server.log());
        server.restart();
        logs(&server, "the log filter changed").await;
        assert_eq!(server.terminate(Duration::from_secs(15)), 0, "{}", server.log());
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_json_where_that_is_wanted_whatever_the_filter() {
    let claim = async {
        let folder = tempfile::tempdir().unwrap();
        let flags = ["--self-config", "ops.logs", "--log-format", "json"];
        let server = Headwater::serve(folder.path(), &flags);
        put(&server, "\"debug\"", "application/json").await;
        logs(&server, "the log filter changed").await;
        let lines = server.log();
        let parsed = lines.lines().filter(|line| line.starts_with('{'));
        let parsed: Vec<serde_json::Value> =
            parsed.map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(!parsed.is_empty(), "{lines}");
        assert!(parsed.iter().all(|line| line["level"].is_string()), "{lines}");
    };
    bounded(claim).await;
}

#[tokio::test]
async fn a_namespace_that_is_none_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let args = ["serve", "--data", &data, "--self-config", "Not A Name"];
    let mut server = Headwater::start_unready(&args, &[]);
    assert_eq!(server.wait(SOON), 1);
    assert!(server.log().contains("SELF_CONFIG"), "{}", server.log());
}
