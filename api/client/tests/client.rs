//! The client against scripted answers on a real socket.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::time::Duration;

use headwater_api::{At, Code, CommitRequest, Frame, Problem, RollbackRequest, Time};
use headwater_client::{
    Client, ClientError, CommitsQuery, DiffQuery, If, ListQuery, Read, WatchEvent, WatchQuery,
    Watched, Write,
};
use headwater_schemas::{Hash, Key, Namespace, Position, StreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What a scripted server does with one connection.
#[derive(Clone)]
enum Step {
    /// Answers with these bytes and closes.
    Answer(Vec<u8>),
    /// Closes without a byte.
    Close,
    /// Answers with these bytes and stays silent.
    Silence(Vec<u8>),
}

struct Script {
    client: Client,
    requests: mpsc::UnboundedReceiver<String>,
}

/// A server that takes one step per connection, and a client of it.
async fn script(steps: Vec<Step>) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        for step in steps {
            let (mut socket, _) = listener.accept().await.unwrap();
            seen.send(request(&mut socket).await).unwrap();
            match step {
                Step::Close => {}
                Step::Answer(bytes) => socket.write_all(&bytes).await.unwrap(),
                Step::Silence(bytes) => {
                    socket.write_all(&bytes).await.unwrap();
                    silent.push(socket);
                }
            }
        }
        // Keeps silent connections open, and refuses all others by not accepting them.
        std::future::pending::<()>().await;
    });
    let limit = Duration::from_millis(300);
    let client = Client::builder().server(url).seed(1).call_timeout(limit).silence(limit);
    Script { client: client.build().unwrap(), requests }
}

async fn request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        if socket.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}

fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Step {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    Step::Answer([head.as_bytes(), body].concat())
}

fn problem(problem: &Problem) -> Step {
    answer(
        problem.status,
        "content-type: application/problem+json\r\nretry-after: 0\r\n",
        problem.to_json(),
    )
}

fn receipt() -> Step {
    let body = format!(
        "{{\"revision\": 7, \"hash\": \"{}\", \"commit_id\": \"00000000-0000-7000-8000-000000000000\", \"at\": \"{}\", \"changes\": []}}",
        Hash([1; 32]),
        Time(0)
    );
    answer(201, "idempotent-replayed: true\r\n", body)
}

fn name() -> (Namespace, Key) {
    ("a.b".parse().unwrap(), "db/pool ü".parse().unwrap())
}

fn keyed() -> Write {
    Write { idempotency_key: Some("k1".into()), ..Write::default() }
}

impl Script {
    async fn put(&self, write: &Write) -> Result<headwater_client::Written, ClientError> {
        let (namespace, key) = name();
        self.client.put(&namespace, &key, "text/plain", "x", write).await
    }

    fn count(&mut self) -> usize {
        std::iter::from_fn(|| self.requests.try_recv().ok()).count()
    }
}

#[tokio::test]
async fn a_write_carries_its_headers_and_reads_its_receipt() {
    let mut script = script(vec![receipt()]).await;
    let write = Write {
        actor: Some("zoë".into()),
        reason: Some("50% more".into()),
        condition: If::Revision(6),
        ..keyed()
    };
    let written = script.put(&write).await.unwrap();
    assert_eq!((written.receipt.revision, written.created, written.replayed), (7, true, true));
    let sent = script.requests.recv().await.unwrap();
    for line in [
        "PUT /v1/config/a.b/db/pool%20%C3%BC HTTP/1.1\r\n",
        "content-type: text/plain\r\n",
        "if-match: \"6\"\r\n",
        "headwater-actor: zo%C3%AB\r\n",
        "headwater-reason: 50%25%20more\r\n",
        "idempotency-key: k1\r\n",
    ] {
        assert!(sent.contains(line), "{line} in {sent}");
    }
    assert!(sent.ends_with("\r\n\r\nx"), "{sent}");
}

#[tokio::test]
async fn a_write_with_a_key_is_tried_again_after_anything_that_may_mend() {
    for step in [
        Step::Close,
        Step::Silence(Vec::new()),
        problem(&Problem::outcome_unknown()),
        problem(&Problem::contended()),
    ] {
        let mut script = script(vec![step, receipt()]).await;
        assert!(script.put(&keyed()).await.is_ok());
        assert_eq!(script.count(), 2);
    }
}

#[tokio::test]
async fn a_write_without_a_key_is_never_sent_twice_unless_the_server_did_nothing() {
    for step in [Step::Close, Step::Silence(Vec::new()), problem(&Problem::outcome_unknown())] {
        let mut script = script(vec![step, receipt()]).await;
        let error = script.put(&Write::default()).await.unwrap_err();
        assert!(error.is_retryable() && !error.nothing_done(), "{error}");
        assert_eq!(script.count(), 1);
    }
    let mut script = script(vec![problem(&Problem::overloaded("full")), receipt()]).await;
    assert!(script.put(&Write::default()).await.is_ok());
    assert_eq!(script.count(), 2);
}

#[tokio::test]
async fn a_refusal_that_stays_is_told_at_once() {
    let refusal = Problem::precondition_failed(9);
    let mut script = script(vec![problem(&refusal), receipt()]).await;
    let error = script.put(&keyed()).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::PreconditionFailed));
    assert_eq!(script.count(), 1);
}

#[tokio::test]
async fn tries_end() {
    let steps = vec![Step::Close; 9];
    let mut script = script(steps).await;
    assert!(script.client.status().await.unwrap_err().is_retryable());
    assert_eq!(script.count(), 5);
}

#[tokio::test]
async fn a_value_comes_with_what_its_headers_say() {
    let headers = format!(
        "content-type: text/plain\r\netag: \"5\"\r\nheadwater-version: 2\r\nheadwater-create-revision: 3\r\n\
         headwater-revision: 9\r\nheadwater-stream: {}\r\n",
        headwater_schemas::StreamId([1; 16])
    );
    let absent = problem(&Problem::new(Code::KeyNotFound, "no"));
    let mut script =
        script(vec![answer(200, &headers, "\0value"), absent, answer(200, "", "{}")]).await;
    let (namespace, key) = name();
    let read = Read { min_revision: Some(5), ..Read::default() };
    let raw = script.client.get_raw(&namespace, &key, &read).await.unwrap().unwrap();
    assert_eq!(
        (raw.value.as_ref(), raw.content_type.as_str()),
        (b"\0value".as_slice(), "text/plain")
    );
    assert_eq!((raw.mod_revision, raw.version, raw.create_revision, raw.revision), (5, 2, 3, 9));
    assert!(script.requests.recv().await.unwrap().contains("?min_revision=5 "));
    assert_eq!(script.client.get_raw(&namespace, &key, &Read::default()).await.unwrap(), None);
    let foreign = script.client.get_raw(&namespace, &key, &Read::default()).await;
    assert!(matches!(foreign, Err(ClientError::Decode { .. })), "{foreign:?}");
}

#[tokio::test]
async fn pages_follow_their_cursors_to_the_end() {
    let page = |next: &str| {
        let body = format!(
            "{{\"namespace\": \"a.b\", \"revision\": 1, \"hash\": \"{}\", \"entries\": [], \"next\": {next}}}",
            Hash::default()
        );
        answer(200, "", body)
    };
    let mut script = script(vec![page("\"c+1\""), Step::Close, page("null")]).await;
    let (namespace, query) = (
        name().0,
        ListQuery { prefix: Some("db/".into()), keys_only: true, ..ListQuery::default() },
    );
    let mut pages = script.client.pages(&namespace, &query);
    let mut count = 0;
    while pages.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 2);
    assert!(
        script
            .requests
            .recv()
            .await
            .unwrap()
            .starts_with("GET /v1/config/a.b?prefix=db%2F&keys_only=true HTTP")
    );
    script.requests.recv().await.unwrap();
    assert!(script.requests.recv().await.unwrap().contains("&cursor=c%2B1 "));
}

#[tokio::test]
async fn questions_about_the_past_are_asked_as_the_api_says() {
    let state = format!(
        "headwater-revision: 9\r\nheadwater-stream: {}\r\n",
        headwater_schemas::StreamId([1; 16])
    );
    let avro = "content-type: application/vnd.headwater.commit+avro\r\n";
    let mut script = script(vec![
        answer(200, "", "{\"versions\": [], \"next\": null}"),
        answer(200, "", "{\"from\": 7, \"to\": 9, \"changes\": [], \"next\": \"c\"}"),
        answer(200, &state, "{\"commits\": [], \"next\": null}"),
        answer(200, avro, "record"),
        answer(200, "content-type: application/json\r\n", "{}"),
    ])
    .await;
    let (namespace, key) = name();
    let history = script.client.history(&namespace, &key, Some(3), Some("c+")).await.unwrap();
    assert!(history.versions.is_empty());
    let query = DiffQuery { prefix: Some("db/".into()), ..DiffQuery::since(At::Revision(7)) };
    let diff = script.client.diff(&namespace, &query, None).await.unwrap();
    assert_eq!((diff.from, diff.to, diff.next.as_deref()), (7, 9, Some("c")));
    let query = CommitsQuery { descending: true, ..CommitsQuery::default() };
    assert_eq!(script.client.commits_told(&query).await.unwrap().revision, 9);
    assert_eq!(script.client.record_at(5).await.unwrap(), "record");
    let none = script.client.record_at(5).await;
    assert!(matches!(none, Err(ClientError::Decode { .. })), "{none:?}");
    for line in [
        "GET /v1/history/a.b/db/pool%20%C3%BC?limit=3&cursor=c%2B HTTP",
        "GET /v1/diff/a.b?from=7&prefix=db%2F HTTP",
        "GET /v1/commits?order=desc HTTP",
        "GET /v1/commits/5 HTTP",
    ] {
        let sent = script.requests.recv().await.unwrap();
        assert!(sent.starts_with(line), "{line} in {sent}");
    }
}

#[tokio::test]
async fn a_commit_is_sent_as_the_api_says() {
    let mut script = script(vec![receipt()]).await;
    let request: CommitRequest = serde_json::from_str(
        "{\"changes\": [{\"namespace\": \"a\", \"key\": \"k\", \"put\": {\"value\": {\"x\":  1.0}}, \"expect\": {\"absent\": true}}]}",
    )
    .unwrap();
    script.client.commit(&request, &keyed()).await.unwrap();
    let sent = script.requests.recv().await.unwrap();
    assert!(sent.contains("content-type: application/json\r\n"), "{sent}");
    assert!(sent.ends_with("{\"changes\":[{\"namespace\":\"a\",\"key\":\"k\",\"put\":{\"value\":{\"x\":  1.0}},\"expect\":{\"absent\":true}}]}"), "{sent}");
}

#[tokio::test]
async fn a_rollback_and_its_dry_run_are_sent_as_the_api_says() {
    let shown = r#"{"would_succeed": true, "revision": 7, "changes": [], "failures": []}"#;
    let unchanged = format!(
        r#"{{"revision": 7, "hash": "{}", "commit_id": null, "at": "2026-11-22T08:15:30.123Z", "changes": []}}"#,
        Hash::default()
    );
    let json = "content-type: application/json\r\n";
    let mut script = script(vec![answer(200, json, shown), answer(200, json, unchanged)]).await;
    let request = RollbackRequest {
        namespace: "a".into(),
        to_revision: 3,
        reason: Some("why".into()),
        ..RollbackRequest::default()
    };
    let dry = script.client.rollback_dry_run(&request, &Write::default()).await.unwrap();
    assert!(dry.would_succeed && dry.revision == 7);
    let done = script.client.rollback(&request, &keyed()).await.unwrap();
    assert_eq!((done.receipt.revision, done.receipt.commit_id), (7, None));
    let sent = script.requests.recv().await.unwrap();
    assert!(sent.starts_with("POST /v1/rollback?dry_run=true "), "{sent}");
    let sent = script.requests.recv().await.unwrap();
    assert!(sent.starts_with("POST /v1/rollback "), "{sent}");
    assert!(sent.to_lowercase().contains("idempotency-key: "), "{sent}");
    assert!(sent.ends_with(r#"{"namespace":"a","to_revision":3,"reason":"why"}"#), "{sent}");
}

fn stream(frames: &[Frame]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.headwater.stream+avro\r\nconnection: close\r\n\r\n";
    let mut bytes = head.as_bytes().to_vec();
    for frame in frames {
        bytes.extend_from_slice(&frame.to_bytes());
    }
    bytes
}

fn commit() -> Frame {
    Frame::Commit { position: Position(3), appended_at_ms: 4, record: "r".into() }
}

#[tokio::test]
async fn a_stream_gives_its_frames_and_then_its_end() {
    let mut script = script(vec![Step::Answer(stream(&[commit(), commit()]))]).await;
    let namespaces = ["a".parse().unwrap(), "b.c".parse().unwrap()];
    let mut frames = script.client.stream(7, Hash([1; 32]), Some(&namespaces)).await.unwrap();
    assert_eq!(frames.next().await.unwrap(), commit());
    assert_eq!(frames.next().await.unwrap(), commit());
    assert!(matches!(frames.next().await, Err(ClientError::Transport { .. })));
    let sent = script.requests.recv().await.unwrap();
    assert!(
        sent.starts_with(&format!(
            "GET /v1/stream?after=7&hash={}&namespaces=a%2Cb.c HTTP",
            Hash([1; 32])
        )),
        "{sent}"
    );
    assert!(sent.contains("accept: application/vnd.headwater.stream+avro\r\n"), "{sent}");
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let script = script(vec![Step::Silence(stream(&[commit()]))]).await;
    let mut frames = script.client.stream(0, Hash::default(), None).await.unwrap();
    assert_eq!(frames.next().await.unwrap(), commit());
    assert!(matches!(frames.next().await, Err(ClientError::Timeout { limit_ms: 300, .. })));
}

#[tokio::test]
async fn what_is_no_stream_is_told() {
    let garbage = [stream(&[]), vec![0xFF; 8]].concat();
    let script = script(vec![
        Step::Answer(garbage),
        answer(200, "content-type: text/html\r\n", "<html>"),
        problem(&Problem::revision_compacted(1, 5)),
    ])
    .await;
    let mut frames = script.client.stream(0, Hash::default(), None).await.unwrap();
    assert!(matches!(frames.next().await, Err(ClientError::Decode { .. })));
    assert!(matches!(
        script.client.stream(0, Hash::default(), None).await,
        Err(ClientError::Decode { .. })
    ));
    let compacted = script.client.stream(0, Hash::default(), None).await.unwrap_err();
    assert_eq!(compacted.code(), Some(Code::RevisionCompacted));
}

async fn downloaded(
    script: &Script,
    from: u64,
    until: Option<u64>,
) -> Result<Vec<u8>, ClientError> {
    let mut download = script.client.image("7-ab.hwi", from, until).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_download_is_the_bytes_asked_for_whether_the_server_knows_ranges_or_not() {
    let mut script = script(vec![
        answer(206, "", "3456"),
        answer(200, "", "0123456789"),
        answer(200, "", "0123456789"),
        answer(200, "", "0123"),
    ])
    .await;
    assert_eq!(downloaded(&script, 3, Some(7)).await.unwrap(), b"3456");
    assert!(script.requests.recv().await.unwrap().contains("range: bytes=3-6\r\n"));
    assert_eq!(downloaded(&script, 3, Some(7)).await.unwrap(), b"3456");
    assert_eq!(downloaded(&script, 8, None).await.unwrap(), b"89");
    script.requests.recv().await.unwrap();
    assert!(script.requests.recv().await.unwrap().contains("range: bytes=8-\r\n"));
    assert_eq!(downloaded(&script, 0, None).await.unwrap(), b"0123");
    assert!(!script.requests.recv().await.unwrap().contains("range"));
}

#[tokio::test]
async fn a_download_that_is_cut_is_an_error() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n01234".to_vec();
    let script = script(vec![Step::Answer(cut)]).await;
    assert!(matches!(downloaded(&script, 0, None).await, Err(ClientError::Transport { .. })));
}

#[tokio::test]
async fn a_server_that_is_not_there_certainly_saw_nothing() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::builder().server(format!("http://{address}")).tries(1).build().unwrap();
    let error = client.healthz().await.unwrap_err();
    assert!(error.is_retryable() && error.nothing_done(), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

/// An answer of server-sent events that ends behind them.
fn events(events: &[&str]) -> Step {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nheadwater-stream: {}\r\nconnection: close\r\n\r\n",
        StreamId([1; 16])
    );
    Step::Answer([&head, events.concat().as_str()].concat().into_bytes())
}

fn heartbeat(sent: u64) -> String {
    let hash = Hash([2; 32]);
    format!("event: heartbeat\nid: {sent}\ndata: {{\"revision\":9,\"hash\":\"{hash}\"}}\n\n")
}

fn changed(revision: u64) -> String {
    let hash = Hash([2; 32]);
    format!(
        "event: commit\nid: {revision}\ndata: {{\"revision\":{revision},\"hash\":\"{hash}\",\"parent\":\"{hash}\",\
         \"commit_id\":\"00000000-0000-0000-0000-000000000001\",\"at\":\"2026-11-22T08:15:30.123Z\",\"actor\":\"ann\",\
         \"reason\":null,\"attributes\":{{}},\"changes\":[]}}\n\n"
    )
}

#[tokio::test]
async fn a_watch_gives_its_events_and_passes_over_what_it_does_not_know() {
    let end = format!("event: end\ndata: {}\n\n", Problem::shutting_down().to_json());
    let unknown = ": a comment\n\nevent: later\ndata: {}\n\n";
    let script = script(vec![events(&[&heartbeat(4), unknown, &changed(5), &end])]).await;
    let mut watch = script.client.watch(&WatchQuery::default()).await.unwrap();
    assert_eq!(watch.stream_id(), StreamId([1; 16]));
    let first = watch.next().await.unwrap();
    assert!(
        matches!(first, WatchEvent::Heartbeat { sent: 4, ref head } if head.revision == 9 && head.digest.is_none())
    );
    assert!(
        matches!(watch.next().await.unwrap(), WatchEvent::Commit(commit) if commit.revision == 5)
    );
    let WatchEvent::End(problem) = watch.next().await.unwrap() else { panic!("no end") };
    assert_eq!(problem.code, Code::ShuttingDown);
    assert!(matches!(watch.next().await, Err(ClientError::Transport { .. })));
}

#[tokio::test]
async fn a_watcher_goes_on_behind_what_it_has_in_the_same_stream_until_no_try_can_help() {
    let cut_off = &changed(7)[..40];
    let too_slow = format!("event: end\ndata: {}\n\n", Problem::revision_compacted(6, 8).to_json());
    let gone = Problem::revision_compacted(8, 20).to_json();
    let mut script = script(vec![
        events(&[&heartbeat(3), &changed(5), &heartbeat(6), cut_off]),
        Step::Close,
        events(&[&heartbeat(6), &changed(7), &heartbeat(8), &too_slow]),
        answer(410, "content-type: application/problem+json\r\n", gone),
    ])
    .await;
    let mut watcher = script.client.watcher(WatchQuery::default());
    let mut told = Vec::new();
    let refused = loop {
        match watcher.next().await {
            Ok(Watched::Commit(commit)) => told.push(commit.revision.to_string()),
            Ok(Watched::Heartbeat(_)) => told.push("beat".to_owned()),
            Ok(Watched::Lost(_)) => told.push("lost".to_owned()),
            Err(error) => break error,
        }
    };
    assert_eq!(told, ["beat", "5", "beat", "lost", "lost", "beat", "7", "beat", "lost"]);
    assert_eq!((refused.code(), watcher.sent()), (Some(Code::RevisionCompacted), Some(8)));
    let stream = StreamId([1; 16]);
    let mut asked = Vec::new();
    while let Ok(request) = script.requests.try_recv() {
        asked.push(request.lines().next().unwrap().to_owned());
    }
    assert_eq!(
        asked,
        [
            "".to_owned(),
            format!("?after=6&stream={stream}"),
            format!("?after=6&stream={stream}"),
            format!("?after=8&stream={stream}")
        ]
        .map(|query| format!("GET /v1/watch{query} HTTP/1.1"))
    );
}

#[tokio::test]
async fn what_is_no_watch_is_told_so() {
    let plain = answer(200, "content-type: text/plain\r\n", "hello");
    let broken = "event: commit\nid: 1\ndata: {\"revision\": 1}\n\n";
    let script = script(vec![plain, events(&[broken])]).await;
    let other = script.client.watch(&WatchQuery::default()).await;
    assert!(matches!(other, Err(ClientError::Decode { .. })), "{other:?}");
    let mut watch = script.client.watch(&WatchQuery::default()).await.unwrap();
    let broken = watch.next().await;
    assert!(matches!(broken, Err(ClientError::Decode { .. })), "{broken:?}");
}
