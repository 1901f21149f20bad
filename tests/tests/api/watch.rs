//! "Follow": `/v1/watch`, as server-sent events and as a long poll.

use std::time::{Duration, Instant};

use headwater_api::{ChangeBody, CommitBody, HeartbeatBody, NamespacesBody, PollBody, Values};
use headwater_client::{Client, WatchEvent, WatchQuery, WatchStream, Watched};
use headwater_tests::http::{Answer, Ask};
use headwater_tests::on_both_logs;
use headwater_tests::stand::Stand;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Desk, commit};

const PATIENCE: Duration = Duration::from_secs(30);

fn client(stand: &Stand) -> Client {
    Client::builder().server(stand.server.url()).build().unwrap()
}

/// A query for this desk's namespace, behind a revision.
fn mine(desk: &Desk, after: Option<u64>) -> WatchQuery {
    WatchQuery { namespaces: vec![desk.namespace.parse().unwrap()], after, ..WatchQuery::default() }
}

async fn watch(desk: &Desk, query: &WatchQuery) -> WatchStream {
    client(desk.stand).watch(query).await.unwrap()
}

async fn next(watch: &mut WatchStream) -> WatchEvent {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event in time").unwrap()
}

async fn next_commit(watch: &mut WatchStream) -> CommitBody {
    loop {
        match next(watch).await {
            WatchEvent::Commit(commit) => return commit,
            WatchEvent::Heartbeat { .. } => {}
            WatchEvent::End(problem) => panic!("{problem}"),
        }
    }
}

async fn beat(watch: &mut WatchStream) -> (u64, HeartbeatBody) {
    match next(watch).await {
        WatchEvent::Heartbeat { sent, head } => (sent, head),
        other => panic!("{other:?}"),
    }
}

/// What an answer begins with: its head, and its body up to `until`.
pub(crate) async fn beginning(
    stand: &Stand,
    target: &str,
    headers: &[(&str, &str)],
    until: &str,
) -> String {
    let mut socket = TcpStream::connect(stand.server.host()).await.unwrap();
    let mut request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    socket.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 16 * 1024]);
    let whole =
        |text: &str| text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.contains(until));
    while !whole(&text) {
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    text
}

async fn poll(desk: &Desk, query: &str) -> Answer {
    let target = format!("/v1/watch?namespaces={}&{query}", desk.namespace);
    desk.ask(Ask::get(target).header("Accept", "application/json")).await
}

fn revisions(poll: &PollBody) -> Vec<u64> {
    poll.commits.iter().map(|commit| commit.revision).collect()
}

fn shown(change: &ChangeBody) -> (String, Option<String>) {
    (change.key.to_string(), change.value.as_ref().map(|value| value.get().to_owned()))
}

on_both_logs! {
    async fn sse_is_for_text_event_stream_and_any_type_and_other_types_are_406(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "{\"a\": 1}").await;
        let target = format!("/v1/watch?namespaces={}&after={}", desk.namespace, revision - 1);
        for headers in [&[][..], &[("accept", "*/*")], &[("accept", "text/event-stream")]] {
            let text = beginning(desk.stand, &target, headers, "event: commit").await;
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let head = head.to_ascii_lowercase();
            for header in ["content-type: text/event-stream", "cache-control: no-cache", "headwater-revision: ", "headwater-stream: "] {
                assert!(head.contains(header), "{header}: {head}");
            }
            assert!(body.find("event: heartbeat").unwrap() < body.find("event: commit").unwrap(), "{body}");
            assert!(body.contains(&format!("event: commit\nid: {revision}\ndata: {{\"revision\":{revision},")), "{body}");
        }
        let html = Ask::get(target.clone()).header("Accept", "text/html");
        desk.ask(html).await.is_problem(406, "not_acceptable");
        let waits = Ask::get(format!("{target}&wait=1s"));
        desk.ask(waits).await.is_problem(400, "invalid_request");
    }

    async fn a_commit_has_the_matching_changes_only_and_new_values_unless_asked_otherwise(log) {
        let desk = Desk::on(log);
        let other = Desk::on(log);
        let first = desk.put("db/k", "1").await;
        let foreign = other.put("db/k", "0").await;
        let changes = [
            desk.change("db/k", &json!(2)), desk.change("x", &json!("new")), other.change("db/k", &json!(3)),
        ];
        let second = desk.ask(commit(&changes)).await.is(200).revision();
        let third = desk.ask(Ask::delete(desk.path("db/k"))).await.is(200).revision();
        assert!(first < foreign && foreign < second && second < third);

        let mut new = watch(&desk, &mine(&desk, Some(first))).await;
        let seen = next_commit(&mut new).await;
        let values: Vec<_> = seen.changes.iter().map(shown).collect();
        assert_eq!(seen.revision, second);
        assert_eq!(values, [("db/k".to_owned(), Some("2".to_owned())), ("x".to_owned(), Some("\"new\"".to_owned()))]);
        assert!(seen.changes.iter().all(|change| change.old.is_none()));
        let gone = next_commit(&mut new).await;
        assert_eq!((gone.revision, gone.changes.len()), (third, 1));

        let mut both = watch(&desk, &WatchQuery { values: Values::Both, ..mine(&desk, Some(first)) }).await;
        let seen = next_commit(&mut both).await;
        let old = seen.changes[0].old.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((old.mod_revision, old.version, old.value.as_ref().unwrap().get()), (first, 1, "1"));
        assert!(seen.changes[1].old.as_ref().unwrap().is_none(), "null where there was none");
        let gone = next_commit(&mut both).await;
        assert_eq!(gone.changes[0].old.as_ref().unwrap().as_ref().unwrap().mod_revision, second);

        let mut none = watch(&desk, &WatchQuery { values: Values::None, ..mine(&desk, Some(first)) }).await;
        let seen = next_commit(&mut none).await;
        assert!(seen.changes.iter().all(|change| change.value.is_none() && change.version.is_some()));

        let prefix = WatchQuery { prefix: Some("db/".into()), ..mine(&desk, Some(first)) };
        assert_eq!(next_commit(&mut watch(&desk, &prefix).await).await.changes.len(), 1);
        let key = WatchQuery { key: Some("x".parse().unwrap()), ..mine(&desk, Some(first)) };
        assert_eq!(next_commit(&mut watch(&desk, &key).await).await.changes[0].key.as_str(), "x");
    }

    async fn a_heartbeat_comes_first_of_all_and_then_every_5_s(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let mut watch = watch(&desk, &mine(&desk, Some(revision))).await;
        let (sent, _) = beat(&mut watch).await;
        assert_eq!(sent, revision);
        let began = Instant::now();
        beat(&mut watch).await;
        let took = began.elapsed();
        assert!((Duration::from_secs(4)..Duration::from_secs(9)).contains(&took), "{took:?}");
    }

    async fn a_heartbeats_id_is_what_was_sent_and_its_data_the_head_with_the_namespaces_digest(log) {
        // Alone: the head must stand still.
        let stand = Stand::start(log);
        for (namespace, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            stand.ask(Ask::put(format!("/v1/config/{namespace}/k"), value)).await;
        }
        let status = stand.status().await;
        let page: NamespacesBody = stand.ask(Ask::get("/v1/namespaces")).await.is(200).json();
        let a = page.namespaces.iter().find(|namespace| namespace.name.as_str() == "a").unwrap();
        let all = WatchQuery { after: Some(1), ..WatchQuery::default() };
        let of_a = WatchQuery { namespaces: vec!["a".parse().unwrap()], ..all.clone() };
        let prefix = WatchQuery { prefix: Some("k".into()), ..of_a.clone() };
        let key = WatchQuery { key: Some("k".parse().unwrap()), ..of_a.clone() };
        for (query, digest) in [(all, Some(status.digest)), (of_a, Some(a.digest)), (prefix, None), (key, None)] {
            let mut watch = client(&stand).watch(&query).await.unwrap();
            let (sent, head) = beat(&mut watch).await;
            assert_eq!(sent, 1, "nothing was sent yet");
            assert_eq!(head, HeartbeatBody { revision: status.revision, hash: status.hash, digest });
        }
    }

    async fn last_event_id_resumes_and_wins_over_after_and_a_malformed_one_is_400(log) {
        let desk = Desk::on(log);
        let (first, second) = (desk.put("k", "1").await, desk.put("k", "2").await);
        let target = format!("/v1/watch?namespaces={}&after={second}", desk.namespace);
        let id = first.to_string();
        let text = beginning(desk.stand, &target, &[("last-event-id", &id)], "event: commit").await;
        assert!(text.contains(&format!("event: heartbeat\nid: {first}\n")), "{text}");
        assert!(text.contains(&format!("event: commit\nid: {second}\n")), "{text}");
        for malformed in ["x", "-1", "1.0"] {
            let ask = Ask::get(&target).header("Last-Event-ID", malformed);
            desk.ask(ask).await.is_problem(400, "invalid_request");
        }
    }

    async fn with_neither_it_starts_at_the_head_and_above_the_head_it_waits(log) {
        let stand = Stand::start(log);
        let put = async |value: &str| stand.ask(Ask::put("/v1/config/n/k", value.to_owned())).await.revision();
        let first = put("1").await;
        let mut here = client(&stand).watch(&WatchQuery::default()).await.unwrap();
        let query = WatchQuery { after: Some(first + 1), ..WatchQuery::default() };
        let mut above = client(&stand).watch(&query).await.unwrap();
        assert_eq!((beat(&mut here).await.0, beat(&mut above).await.0), (first, first + 1));
        let (second, third) = (put("2").await, put("3").await);
        assert_eq!(next_commit(&mut here).await.revision, second);
        assert_eq!(next_commit(&mut above).await.revision, third, "and nothing at or below");
    }

    async fn what_is_no_longer_in_memory_comes_from_history(log) {
        let mut stand = Stand::start(log);
        for value in 0..20 {
            stand.ask(Ask::put(format!("/v1/config/n/k{}", value % 3), value.to_string())).await.written();
        }
        assert_eq!(stand.server.terminate(Duration::from_secs(10)), 0);
        stand.server.restart();
        stand.ask(Ask::put("/v1/config/n/k0", "20")).await.written();
        let query = WatchQuery { after: Some(0), values: Values::Both, ..WatchQuery::default() };
        let mut watcher = client(&stand).watcher(query);
        let mut seen: Vec<CommitBody> = Vec::new();
        while seen.len() < 21 {
            // History may still catch up with what was written last.
            let next = tokio::time::timeout(PATIENCE, watcher.next()).await.expect("in time").unwrap();
            if let Watched::Commit(commit) = next {
                seen.push(commit);
            }
        }
        for (commit, value) in seen.iter().zip(0u64..) {
            let change = &commit.changes[0];
            let old = change.old.as_ref().unwrap().as_ref().map(|old| old.value.as_ref().unwrap().get());
            let wanted = value.checked_sub(if value == 20 { 2 } else { 3 }).map(|old| old.to_string());
            assert_eq!((commit.revision, old), (value + 1, wanted.as_deref()), "{commit:?}");
        }
    }

    async fn a_client_that_falls_behind_ends_with_an_event_and_a_problem_as_data_and_others_go_on(log) {
        // It reads nothing for as long as the others take, and is not to be cut off for that.
        let stand = Stand::limited(log, &[("HEADWATER_SERVER__WRITE_TIMEOUT_MS", "120000")]);
        let mut slow = TcpStream::connect(stand.server.host()).await.unwrap();
        slow.write_all(b"GET /v1/watch?after=0 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut quick = client(&stand).watch(&WatchQuery { values: Values::None, ..WatchQuery::default() }).await.unwrap();
        beat(&mut quick).await;
        // More than the server keeps of live commits (64 MiB, with what they replaced) and sockets hold between.
        const COMMITS: u64 = 300;
        let value = bytes::Bytes::from(vec![b'x'; 200 << 10]);
        headwater_tests::load::acknowledged(stand.server.host(), 8, COMMITS, move |number| {
            Ask::put(format!("/v1/config/n/k{}", number % 5), value.clone()).header("Content-Type", "text/plain")
        })
        .await;
        for revision in 1..=COMMITS {
            assert_eq!(next_commit(&mut quick).await.revision, revision);
        }
        let (mut end, mut bytes, mut count) = (Vec::new(), vec![0; 64 << 10], 0);
        loop {
            let read = tokio::time::timeout(PATIENCE, slow.read(&mut bytes)).await.unwrap().unwrap();
            if read == 0 {
                break;
            }
            count += read;
            end.extend_from_slice(&bytes[..read]);
            end.drain(..end.len().saturating_sub(2_000));
        }
        assert!(count < COMMITS as usize * (200 << 10), "nothing was left out");
        let text = String::from_utf8_lossy(&end).into_owned();
        let (_, data) = text.split_once("event: end\ndata: ").unwrap_or_else(|| panic!("{text}"));
        let problem: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
        assert_eq!(problem["code"], "revision_compacted");
        assert!(problem["oldest_revision"].as_u64().is_some_and(|oldest| oldest < COMMITS), "{problem}");
    }

    async fn a_server_that_shuts_down_ends_with_an_event_and_a_problem_as_data(log) {
        let mut stand = Stand::start(log);
        let mut watch = client(&stand).watch(&WatchQuery::default()).await.unwrap();
        beat(&mut watch).await;
        assert_eq!(stand.server.terminate(Duration::from_secs(10)), 0);
        match next(&mut watch).await {
            WatchEvent::End(problem) => assert_eq!(problem.code.as_str(), "shutting_down"),
            other => panic!("{other:?}"),
        }
    }

    async fn a_long_poll_answers_as_soon_as_there_is_a_commit_complete_up_to_its_revision(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        let query = mine(&desk, Some(first));
        let polled = async { client(desk.stand).poll(&query, Duration::from_secs(30)).await.unwrap() };
        let put = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            desk.put("k", "2").await
        };
        let began = Instant::now();
        let (polled, second) = tokio::join!(polled, put);
        assert!(began.elapsed() < Duration::from_secs(20), "it did not wait to the end");
        assert_eq!(revisions(&polled), [second]);
        assert!(polled.revision >= second);
        let next = mine(&desk, Some(polled.revision));
        let nothing = client(desk.stand).poll(&next, Duration::from_millis(200)).await.unwrap();
        assert_eq!(revisions(&nothing), [0u64; 0], "which is the next after");
        assert!(nothing.revision >= polled.revision);
    }

    async fn a_long_poll_is_empty_at_the_end_of_its_wait_which_is_at_most_60_s(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let began = Instant::now();
        let answer = poll(&desk, &format!("after={revision}&wait=500ms")).await.is(200);
        assert!(began.elapsed() >= Duration::from_millis(500));
        let body: Value = answer.json();
        assert_eq!(body["commits"], json!([]));
        assert!(body["revision"].as_u64().unwrap() >= revision, "{body}");
        assert!(!answer.header("headwater-revision").is_empty() && !answer.header("headwater-stream").is_empty());
        for wait in ["61s", "2m", "5", "-1s"] {
            poll(&desk, &format!("after=0&wait={wait}")).await.is_problem(400, "invalid_request");
        }
    }

    async fn a_long_poll_ends_early_at_a_thousand_commits_or_4_mib(log) {
        let stand = Stand::start(log);
        headwater_tests::load::acknowledged(stand.server.host(), 16, 1_100, |number| {
            Ask::put(format!("/v1/config/n/k{}", number % 7), number.to_string())
        })
        .await;
        let ask = async |after: u64| -> (PollBody, usize) {
            let ask = Ask::get(format!("/v1/watch?after={after}&wait=1s")).header("Accept", "application/json");
            let answer = stand.ask(ask).await.is(200);
            (answer.json(), answer.body.len())
        };
        let (first, _) = ask(0).await;
        assert_eq!((first.commits.len(), first.revision), (1_000, 1_000));
        let (rest, _) = ask(first.revision).await;
        assert_eq!((rest.commits.len(), rest.revision), (100, 1_100));
        for number in 0..30 {
            let large = Ask::put(format!("/v1/config/n/large{number}"), vec![b'x'; 200 << 10]);
            stand.ask(large.header("Content-Type", "text/plain")).await.written();
        }
        let (mut after, mut pages) = (1_100, Vec::new());
        while after < 1_130 {
            let (page, bytes) = ask(after).await;
            assert!(bytes < (4 << 20) + (512 << 10), "{bytes} bytes");
            pages.push(page.commits.len());
            after = page.revision;
        }
        assert_eq!((pages.iter().sum::<usize>(), pages.len()), (30, 2), "{pages:?}");
    }

    async fn a_namespace_named_twice_or_that_nobody_wrote_to_changes_nothing_of_what_is_seen(log) {
        let (desk, other) = (Desk::on(log), Desk::on(log));
        let changes = [desk.change("k", &json!(1)), other.change("k", &json!(2))];
        let revision = desk.ask(commit(&changes)).await.is(200).revision();
        let (mine, nobody) = (&desk.namespace, Desk::on(log).namespace);
        for namespaces in [mine.clone(), format!("{mine},{mine}"), format!("{nobody},{mine}"), format!("{mine},"), format!(",{mine},,{mine}")] {
            let target = format!("/v1/watch?namespaces={namespaces}&after={}&wait=0s", revision - 1);
            let answer = desk.ask(Ask::get(target).header("Accept", "application/json")).await.is(200);
            let body: PollBody = answer.json();
            assert_eq!((body.commits.len(), body.commits[0].changes.len()), (1, 1), "{namespaces}");
        }
        for nothing in [format!("namespaces={nobody}"), format!("namespaces={mine}&key=other"), format!("namespaces={mine}&prefix=other")] {
            let target = format!("/v1/watch?{nothing}&after={}&wait=0s", revision - 1);
            let body: PollBody = desk.ask(Ask::get(target).header("Accept", "application/json")).await.is(200).json();
            assert_eq!(body.commits.len(), 0, "{nothing}");
            assert!(body.revision >= revision, "it is complete up to there");
        }
        desk.ask(Ask::get("/v1/watch?namespaces=,")).await.is_problem(400, "invalid_request");
        for (query, code) in [("key=a//b", "invalid_name"), ("key=%00", "invalid_name"), ("after=18446744073709551616", "invalid_request"), ("values=NEW", "invalid_request")] {
            desk.ask(Ask::get(format!("/v1/watch?{query}"))).await.is_problem(400, code);
        }
    }

    async fn above_the_head_a_poll_waits_and_says_where_it_stood(log) {
        let desk = Desk::on(log);
        for after in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let body: PollBody = poll(&desk, &format!("after={after}&wait=10ms")).await.is(200).json();
            assert_eq!((body.commits.len(), body.revision), (0, after));
        }
    }

    async fn a_watch_of_another_stream_is_409_and_what_is_the_systems_403(log) {
        let desk = Desk::on(log);
        desk.ask(Ask::get("/v1/watch?stream=0123456789abcdef0123456789abcdef")).await.is_problem(409, "wrong_stream");
        let here = desk.stand.status().await.stream_id;
        let query = WatchQuery { stream: Some(here), ..mine(&desk, None) };
        assert_eq!(watch(&desk, &query).await.stream_id(), here);
        desk.ask(Ask::get("/v1/watch?namespaces=_schemas")).await.is_problem(403, "reserved_namespace");
        desk.ask(Ask::get("/v1/watch?namespaces=A")).await.is_problem(400, "invalid_name");
        desk.ask(Ask::get("/v1/watch?prefix=a&key=b")).await.is_problem(400, "invalid_request");
        desk.ask(Ask::get("/v1/watch?values=old")).await.is_problem(400, "invalid_request");
        desk.ask(Ask::get("/v1/watch?namespace=a")).await.is_problem(400, "invalid_request");
    }

    async fn a_watcher_goes_on_where_it_was_when_its_server_starts_again(log) {
        let mut stand = Stand::start(log);
        let put = |value: u64| Ask::put("/v1/config/n/k", value.to_string());
        let mut watcher = client(&stand).watcher(WatchQuery { after: Some(0), ..WatchQuery::default() });
        let (mut seen, mut lost, mut written) = (Vec::new(), 0, 0);
        while seen.len() < 9 {
            if written == seen.len() as u64 {
                if written > 0 && written.is_multiple_of(3) && lost < written / 3 {
                    assert_eq!(stand.server.terminate(Duration::from_secs(10)), 0);
                    stand.server.restart();
                    lost = written / 3;
                }
                written += 1;
                stand.ask(put(written)).await.written();
            }
            let next = tokio::time::timeout(PATIENCE, watcher.next()).await.expect("in time");
            if let Watched::Commit(commit) = next.unwrap() {
                seen.push(commit.revision);
            }
        }
        assert_eq!(seen, (1..=9).collect::<Vec<_>>());
    }
}

trait Written {
    fn written(self);
}

impl Written for Answer {
    #[track_caller]
    fn written(self) {
        assert!(matches!(self.status, 200 | 201), "{}", self.text());
    }
}
