//! The edge over real sockets: limits, problems, slow clients, drain.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post, put};
use headwater_api::{Code, CommitRequest, Problem};
use headwater_schemas::StreamId;
use headwater_server::{
    Admitted, ApiError, ApiResult, BodyLimits, Drained, Identity, KeyPath, NamespacePath, NoQuery,
    Query, Server, ServerSettings, bind, health, read_body, read_json,
};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const STREAM: StreamId = StreamId([0xAB; 16]);

/// A server on a free port.
struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<Drained>,
    /// Lets `/gate` go on; told when a request is in it.
    gate: Arc<Notify>,
    entered: Arc<Notify>,
}

fn quick() -> ServerSettings {
    ServerSettings {
        header_timeout_ms: 300,
        body_timeout_ms: 300,
        idle_timeout_ms: 60_000,
        write_timeout_ms: 300,
        drain_timeout_ms: 5_000,
        ..ServerSettings::default()
    }
}

async fn put_value(
    path: KeyPath,
    limits: axum::Extension<BodyLimits>,
    body: Body,
) -> ApiResult<String> {
    let body = read_body(body, 1_000, &limits, Problem::value_too_large).await?;
    Ok(format!("{} {} {}", path.namespace, path.key, body.len()))
}

async fn post_commit(request: Request) -> ApiResult<String> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits::of(&parts.extensions);
    let body = read_body(body, 100_000, &limits, Problem::commit_too_large).await?;
    let commit: CommitRequest = read_json(&parts.headers, &body)?;
    Ok(commit.changes.len().to_string())
}

async fn start(settings: ServerSettings) -> Running {
    let (gate, entered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gated = (Arc::clone(&gate), Arc::clone(&entered));
    let (held, patient) = (gated.clone(), gated.clone());
    let router = Router::new()
        .route(
            "/v1/config/{ns}/{*key}",
            get(|path: KeyPath, _: Query<NoQuery>| async move { path.key.to_string() })
                .merge(put(put_value)),
        )
        .route(
            "/v1/config/{ns}",
            get(|NamespacePath(ns): NamespacePath| async move { ns.to_string() }),
        )
        .route("/v1/commits", post(post_commit))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("the cause, a secret")
                }
            }),
        )
        .route("/internal", get(|| async { ApiError::internal("the cause, a secret") }))
        .route("/refused", get(|| async { ApiError::from(Problem::precondition_failed(7)) }))
        .route("/own", get(|| async { [("headwater-revision", "3")] }))
        .route("/large", get(|| async { vec![b'x'; 64 * 1024 * 1024] }))
        .route(
            "/gate",
            get(move || async move {
                gated.1.notify_one();
                gated.0.notified().await;
                "through"
            })
            .post(move |request: Request| async move {
                let (parts, body) = request.into_parts();
                let limits = BodyLimits::of(&parts.extensions);
                let body = read_body(body, 1_000, &limits, Problem::value_too_large).await?;
                held.1.notify_one();
                held.0.notified().await;
                ApiResult::Ok(body.len().to_string())
            }),
        )
        .route(
            "/patient",
            get(move |admitted: Admitted| async move {
                admitted.release();
                patient.1.notify_one();
                patient.0.notified().await;
                "through"
            }),
        )
        .merge(health(|| Err("still catching up".to_owned()), || "headwater_x 1\n".to_owned()));
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = Server::new(router, settings, Identity::new(|| Some((42, STREAM))));
    let served = tokio::spawn(server.serve(vec![listener], shutdown.clone()));
    Running { address, shutdown, served, gate, entered }
}

/// An answer, read to the end of the connection.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) =
            text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        Self { status, headers, body: body.to_owned() }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem of an error answer, which every one must be.
    fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.header("headwater-revision"), "42", "{self:?}");
        assert_eq!(self.header("headwater-stream"), STREAM.to_string(), "{self:?}");
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.code.status(), self.status);
        problem
    }

    fn code(&self) -> Code {
        self.problem().code
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads to the end of the connection.
    async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut socket = self.connect().await;
        // The server may refuse and stop reading before all is written.
        let _ = socket.write_all(bytes).await;
        finish(socket).await
    }

    async fn call(&self, line: &str, headers: &str, body: &str) -> Answer {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{length}{headers}\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), "", "").await
    }
}

async fn finish(mut socket: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut bytes))
        .await
        .expect("an end")
        .unwrap();
    Answer::parse(&bytes)
}

#[tokio::test]
async fn every_answer_names_revision_and_stream_unless_the_handler_did() {
    let server = start(quick()).await;
    let answer = server.get("/v1/config/a/db%2Fpool").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "db/pool"));
    assert_eq!(
        (answer.header("headwater-revision"), answer.header("headwater-stream")),
        ("42", STREAM.to_string().as_str())
    );
    assert_eq!(server.get("/own").await.header("headwater-revision"), "3");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let server = start(quick()).await;
    assert_eq!(server.get("/nowhere").await.code(), Code::NotFound);
    for path in [
        "/v1/config/a/",
        "/v1/config//k",
        "/v1/config/a//b",
        "/v1/config/a/%2e%2e",
        "/v1/config/a/%ff",
        "/v1/config/A",
        "/v1/config/a/b/",
    ] {
        assert_eq!(server.get(path).await.code(), Code::InvalidName, "{path}");
    }
    assert_eq!(server.get("/v1/config/_schemas/k").await.code(), Code::ReservedNamespace);
    let answer = server.call("DELETE /v1/config/a/k", "", "").await;
    assert_eq!(answer.code(), Code::MethodNotAllowed);
    let allow = answer.header("allow");
    assert!(["GET", "HEAD", "PUT"].iter().all(|method| allow.contains(method)), "{allow}");
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let server = start(quick()).await;
    let answer = server.call("HEAD /v1/config/a/db/pool", "", "").await;
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("content-length")),
        (200, "", "7")
    );
}

#[tokio::test]
async fn a_refused_head_has_no_body_and_keeps_its_connection() {
    let server = start(quick()).await;
    for refused in ["/v1/config/a/k?att=1", "/v1/config/A/k"] {
        let get = server.get(refused).await;
        let mut socket = server.connect().await;
        let head = format!("HEAD {refused} HTTP/1.1\r\nhost: x\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let after = b"GET /own HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        socket.write_all(after).await.unwrap();
        let both = finish(socket).await;
        assert_eq!((get.status, both.status), (400, 400), "{refused}");
        assert_eq!(both.header("content-length"), get.header("content-length"), "{refused}");
        // What follows the head is the next answer, not a body.
        assert_eq!(Answer::parse(both.body.as_bytes()).status, 200, "{refused}");
    }
}

#[tokio::test]
async fn parameters_are_strict_and_the_stream_is_compared() {
    let server = start(quick()).await;
    assert_eq!(server.get("/v1/config/a/k?att=1").await.code(), Code::InvalidRequest);
    assert_eq!(server.get(&format!("/v1/config/a/k?stream={STREAM}")).await.status, 200);
    assert_eq!(server.get("/v1/config/a/k?stream=").await.status, 200);
    for other in ["00000000000000000000000000000000", "nonsense"] {
        let problem = server.get(&format!("/v1/config/a/k?stream={other}")).await.problem();
        assert_eq!(problem.code, Code::WrongStream);
        assert_eq!(problem.fields["stream_id"], STREAM.to_string());
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_announced_or_not() {
    let server = start(quick()).await;
    let body = "x".repeat(1_000);
    assert_eq!(server.call("PUT /v1/config/a/k", "", &body).await.body, "a k 1000");
    let told = server.call("PUT /v1/config/a/k", "", &"x".repeat(1_001)).await.problem();
    assert_eq!(
        (told.code, told.number("limit"), told.number("actual")),
        (Code::ValueTooLarge, Some(1_000), Some(1_001))
    );
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1_001));
    let chunked = format!(
        "PUT /v1/config/a/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"
    );
    assert_eq!(server.raw(chunked.as_bytes()).await.code(), Code::ValueTooLarge);
    let huge = server
        .call("POST /v1/commits", "content-type: application/json\r\n", &"x".repeat(3_000_000))
        .await
        .problem();
    assert_eq!((huge.code, huge.number("actual")), (Code::CommitTooLarge, Some(3_000_000)));
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_told_its_routes_limit_before_a_byte_of_it_is_sent() {
    let server = start(quick()).await;
    for (line, code, limit) in [
        ("PUT /v1/config/a/k", Code::ValueTooLarge, 1_000),
        ("POST /v1/commits", Code::CommitTooLarge, 100_000),
    ] {
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n");
        let told = server.raw(head.as_bytes()).await.problem();
        assert_eq!(
            (told.code, told.number("limit"), told.number("actual")),
            (code, Some(limit), Some(5_000_000))
        );
    }
}

#[tokio::test]
async fn bodies_share_their_memory_and_what_finds_none_is_told_to_wait() {
    let server = start(ServerSettings { max_held_body_bytes: 1_500, ..quick() }).await;
    let body = "x".repeat(1_000);
    let mut first = server.connect().await;
    let post =
        "POST /gate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n";
    first.write_all(format!("{post}{body}").as_bytes()).await.unwrap();
    server.entered.notified().await;
    let second = server.call("PUT /v1/config/a/k", "", &body).await;
    assert_eq!((second.code(), second.header("retry-after")), (Code::Overloaded, "1"));
    assert_eq!(server.call("PUT /v1/config/a/k", "", &body[..500]).await.body, "a k 500");
    server.gate.notify_one();
    assert_eq!(finish(first).await.body, "1000");
    assert_eq!(server.call("PUT /v1/config/a/k", "", &body).await.body, "a k 1000");
}

#[tokio::test]
async fn clients_that_announce_and_send_nothing_take_no_memory_from_others() {
    let patient = ServerSettings { body_timeout_ms: 60_000, ..quick() };
    let server = start(ServerSettings { max_held_body_bytes: 1_500, ..patient }).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut socket = server.connect().await;
        let head = "PUT /v1/config/a/k HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        // It is asked for its body: so the server waits for it now.
        let mut asked = [0; 12];
        socket.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100");
        silent.push(socket);
    }
    let body = "x".repeat(1_000);
    assert_eq!(server.call("PUT /v1/config/a/k", "", &body).await.body, "a k 1000");
}

#[tokio::test]
async fn json_is_strict() {
    let server = start(quick()).await;
    let json = "content-type: application/json; charset=utf-8\r\n";
    let good = "{\"changes\": [{\"namespace\": \"a\", \"key\": \"k\", \"delete\": true}]}";
    assert_eq!(server.call("POST /v1/commits", json, good).await.body, "1");
    for headers in
        ["", "content-type: text/plain\r\n", "content-type: application/x-www-form-urlencoded\r\n"]
    {
        assert_eq!(
            server.call("POST /v1/commits", headers, good).await.code(),
            Code::UnsupportedMediaType,
            "{headers}"
        );
    }
    let cut = server.call("POST /v1/commits", json, "{\"changes\": [").await.problem();
    assert_eq!(
        (cut.code, cut.number("line"), cut.number("column")),
        (Code::InvalidJson, Some(1), Some(13))
    );
    let unknown =
        server.call("POST /v1/commits", json, "{\"changes\": [], \"reasn\": 1}").await.problem();
    assert_eq!(unknown.code, Code::InvalidRequest);
    assert!(unknown.detail.contains("reasn"), "{unknown}");
}

#[tokio::test]
async fn a_refusal_keeps_the_connection_when_the_body_was_read() {
    let server = start(quick()).await;
    let mut socket = server.connect().await;
    let post = "POST /v1/commits HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let announced = format!("{post}content-length: 1\r\n\r\n{{");
    let chunked = format!("{post}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n0\r\n\r\n");
    for request in [announced, chunked] {
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4_096];
        let length = socket.read(&mut bytes).await.unwrap();
        let answer = Answer::parse(&bytes[..length]);
        assert_eq!((answer.code(), answer.header("connection")), (Code::InvalidJson, ""));
    }
    let nowhere = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx";
    let unread = server.raw(nowhere).await;
    assert_eq!((unread.code(), unread.header("connection")), (Code::NotFound, "close"));
}

#[tokio::test]
async fn a_cause_never_leaves_the_server() {
    let server = start(quick()).await;
    for path in ["/panic", "/internal"] {
        let answer = server.get(path).await;
        let problem = answer.problem();
        assert_eq!(problem.code, Code::Internal);
        assert!(!answer.body.contains("secret"), "{answer:?}");
        assert_eq!(problem.fields["id"].as_str().unwrap().len(), 36);
    }
    assert_eq!(server.get("/own").await.status, 200);
}

#[tokio::test]
async fn headers_follow_from_the_problem() {
    let server = start(quick()).await;
    let refused = server.get("/refused").await;
    assert_eq!((refused.code(), refused.header("etag")), (Code::PreconditionFailed, "\"7\""));
    let unready = server.get("/readyz").await;
    assert_eq!((unready.code(), unready.header("retry-after")), (Code::NotReady, "1"));
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/metrics").await.body, "headwater_x 1\n");
}

#[tokio::test]
async fn health_and_metrics_take_no_parameters() {
    let server = start(quick()).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let told = server.get(&format!("{path}?verbose=1")).await.problem();
        assert_eq!(told.code, Code::InvalidRequest, "{path}");
        assert!(told.detail.contains("verbose"), "{told}");
    }
}

#[tokio::test]
async fn headers_too_large_are_a_problem_however_large() {
    let server = start(quick()).await;
    for size in [20_000, 40_000, 600_000, 3_000_000] {
        let answer =
            server.call("GET /own", &format!("x-large: {}\r\n", "x".repeat(size)), "").await;
        assert_eq!(answer.code(), Code::HeadersTooLarge, "{size}");
    }
    let many = "x: y\r\n".repeat(200);
    assert_eq!(server.call("GET /own", &many, "").await.code(), Code::HeadersTooLarge);
    assert_eq!(server.get(&format!("/{}", "x".repeat(20_000))).await.code(), Code::HeadersTooLarge);
}

#[tokio::test]
async fn what_is_no_http_is_a_problem_also_behind_good_requests() {
    let server = start(quick()).await;
    assert_eq!(server.raw(b"\x16\x03\x01\x02\x00\x01\r\n\r\n").await.code(), Code::InvalidRequest);
    let mut socket = server.connect().await;
    socket.write_all(b"GET /own HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 4_096];
    let length = socket.read(&mut first).await.unwrap();
    assert_eq!(Answer::parse(&first[..length]).status, 200);
    socket.write_all(b"nonsense\r\n\r\n").await.unwrap();
    assert_eq!(finish(socket).await.code(), Code::InvalidRequest);
}

#[tokio::test]
async fn a_client_slow_with_its_headers_is_told_and_cut_off() {
    let server = start(quick()).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /own HTTP/1.1\r\nhos").await.unwrap();
    assert_eq!(finish(socket).await.code(), Code::RequestTimeout);
}

#[tokio::test]
async fn a_client_slow_with_its_body_is_told_and_cut_off() {
    let server = start(quick()).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"PUT /v1/config/a/k HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
        .await
        .unwrap();
    assert_eq!(finish(socket).await.code(), Code::RequestTimeout);
}

#[tokio::test]
async fn a_client_that_stands_idle_is_let_go_without_a_word() {
    let server = start(ServerSettings { idle_timeout_ms: 100, ..quick() }).await;
    let mut socket = server.connect().await;
    assert_eq!(socket.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut_off() {
    let server = start(quick()).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.shutdown.cancel();
    // It reads nothing, so only the limit on writes can end this before the drain deadline.
    assert_eq!(server.served.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn more_requests_than_allowed_are_told_to_wait_but_health_answers() {
    let server = start(ServerSettings { max_requests: 1, ..quick() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /gate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    let second = server.get("/own").await;
    assert_eq!((second.code(), second.header("retry-after")), (Code::Overloaded, "1"));
    assert_eq!(server.get("/healthz").await.status, 200);
    server.gate.notify_one();
    assert_eq!(finish(first).await.body, "through");
    assert_eq!(server.get("/own").await.status, 200);
}

#[tokio::test]
async fn a_request_that_gives_its_place_back_waits_and_takes_nobody_elses() {
    let server = start(ServerSettings { max_requests: 1, ..quick() }).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET /patient HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    server.entered.notified().await;
    assert_eq!(server.get("/own").await.status, 200);
    server.gate.notify_one();
    assert_eq!(finish(first).await.body, "through");
    assert_eq!(server.get("/own").await.status, 200, "the place is not given back twice");
}

#[tokio::test]
async fn a_vanished_client_frees_its_place() {
    let server = start(ServerSettings { max_requests: 1, ..quick() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    drop(first);
    let free = async { while server.get("/own").await.status != 200 {} };
    tokio::time::timeout(Duration::from_secs(10), free).await.expect("the place is freed");
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_to_wait() {
    let server = start(ServerSettings { max_connections: 1, ..quick() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /gate HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    assert_eq!(finish(server.connect().await).await.code(), Code::Overloaded);
    server.gate.notify_one();
    assert_eq!(finish(first).await.body, "through");
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let server = start(quick()).await;
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    idle.write_all(b"GET /own HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 4_096]).await.unwrap() > 0);
    busy.write_all(b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    server.shutdown.cancel();
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    while TcpStream::connect(server.address).await.is_ok() {}
    server.gate.notify_one();
    assert_eq!(finish(busy).await.body, "through");
    assert_eq!(server.served.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let server = start(ServerSettings { drain_timeout_ms: 100, ..quick() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    server.shutdown.cancel();
    assert_eq!(server.served.await.unwrap(), Drained { cut: 1 });
    assert_eq!(busy.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_address_in_use_is_refused_with_advice() {
    let taken = bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = bind(&address).await.unwrap_err().to_string();
    assert!(told.contains(&address) && told.contains("--listen"), "{told}");
    assert!(bind("nonsense").await.unwrap_err().to_string().contains("HOST:PORT"));
}
