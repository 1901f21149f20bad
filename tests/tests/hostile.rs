//! Clients that are slow, gone, or talk nonsense hold nothing and harm nobody.

use std::time::{Duration, Instant};

use headwater_tests::http::{Ask, ask};
use headwater_tests::load;
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, Stand, bounded};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that loses its patience soon.
fn impatient() -> (Headwater, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().display().to_string();
    let environment = [
        ("HEADWATER_SERVER__HEADER_TIMEOUT_MS", "300"),
        ("HEADWATER_SERVER__BODY_TIMEOUT_MS", "300"),
        ("HEADWATER_SERVER__IDLE_TIMEOUT_MS", "300"),
        ("HEADWATER_SERVER__WRITE_TIMEOUT_MS", "500"),
    ];
    let mut server = Headwater::start_unready(&["serve", "--data", &path], &environment);
    server.wait_until_ready(PATIENCE);
    (server, data)
}

/// Sends these bytes, and waits until the server closes; what it said.
async fn until_closed(server: &Headwater, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.host()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    // A reset is an end, too.
    drop(closed.unwrap_or_else(|_| panic!("it holds the connection of {:?}", bytes.len())));
    String::from_utf8_lossy(&said).into_owned()
}

async fn assert_well(server: &Headwater) {
    let answer = ask(server.host(), &Ask::put("/v1/config/app/well", "1")).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_ends_its_headers_its_body_or_its_silence_is_cut_off() {
    let claim = async {
        let (server, _data) = impatient();
        let headers =
            until_closed(&server, b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
        assert!(headers.is_empty() || headers.starts_with("HTTP/1.1 408"), "{headers}");
        let body = b"PUT /v1/config/app/k HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[1,";
        let body = until_closed(&server, body).await;
        assert!(body.starts_with("HTTP/1.1 408") && body.contains("request_timeout"), "{body}");
        assert_eq!(until_closed(&server, b"").await, "");
        ask(server.host(), &Ask::get("/v1/config/app/k")).await.is_problem(404, "key_not_found");
        assert_well(&server).await;
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_answered_400_or_not_at_all() {
    let claim = async {
        let (server, _data) = impatient();
        for nonsense in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello"[..],
            b"GET\r\n\r\n",
            b"\0\0\0\0\0\0\0\0\r\n\r\n",
            b"PUT /v1/config/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"PUT /v1/config/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
            b"PUT /v1/config/a/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            &vec![b'A'; 100_000],
        ] {
            let said = until_closed(&server, nonsense).await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
        }
        assert_well(&server).await;
        let absent = ask(server.host(), &Ask::get("/v1/config/a/b")).await;
        absent.is_problem(404, "key_not_found");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_client_vanished_is_done_or_not_and_holds_nothing() {
    let claim = async {
        let stand = Stand::start(Log::Embedded);
        for number in 0..300 {
            let mut stream = TcpStream::connect(stand.server.host()).await.unwrap();
            let body = number.to_string();
            let length = body.len();
            let request = format!(
                "PUT /v1/config/app/k{number} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
        }
        stand.ask(Ask::put("/v1/config/app/after", "1")).await.is(201);
        let commits = stand.chain().await;
        let mut keys: Vec<_> =
            commits.iter().map(|commit| commit.changes[0].key.as_str().to_owned()).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all, "each landed at most once");
        assert!(all > 1, "none landed");
        // The server drains at once: nothing waits for those who left.
        let mut server = stand.server;
        assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_reads_cost_neither_memory_nor_time() {
    let claim = async {
        let (server, _data) = impatient();
        let mut idle = Vec::new();
        for _ in 0..200 {
            let mut stream = TcpStream::connect(server.host()).await.unwrap();
            stream.write_all(b"GET /v1/stream?after=0 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            idle.push(stream);
        }
        wait_for_streams(&server, 200).await;
        // 40 MiB: five gigabytes more if each of them had a copy.
        let value = "x".repeat(128 * 1024);
        load::acknowledged(server.host(), 4, 320, move |number| {
            let put = Ask::put(format!("/v1/config/app/k{}", number % 8), value.clone());
            put.header("Content-Type", "text/plain")
        })
        .await;
        let resident = resident_mib(server.pid());
        assert!(resident < 700, "{resident} MiB");
        // They are cut off in the end, as they take nothing.
        wait_for_streams(&server, 0).await;
        assert_well(&server).await;
    };
    bounded(claim).await;
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

async fn wait_for_streams(server: &Headwater, wanted: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open = open_streams(server).await;
        if open == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{open} streams are open, not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The gauge of open streams.
async fn open_streams(server: &Headwater) -> u64 {
    let metrics = ask(server.host(), &Ask::get("/metrics")).await.is(200).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("headwater_relay_streams "));
    let gauge = line.unwrap_or_else(|| panic!("no gauge of streams:\n{metrics}"));
    gauge.trim().parse::<f64>().unwrap() as u64
}
