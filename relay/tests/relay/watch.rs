//! `GET /v1/watch` as server-sent events.

use std::time::Duration;

use headwater_api::{Code, CommitBody, HeartbeatBody, Op, Problem, Values};
use headwater_client::{ClientError, WatchEvent, WatchQuery, WatchStream};
use headwater_replica::{Settings, TailRead};
use serde_json::{Value, json as value};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::chain::{delete, json, put};
use crate::commits::with_history;
use crate::wire;
use crate::world::World;

pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) async fn next(watch: &mut WatchStream) -> WatchEvent {
    timeout(SOON, watch.next()).await.unwrap().unwrap()
}

/// The next commit; heartbeats may come before it.
pub(crate) async fn commit(watch: &mut WatchStream) -> CommitBody {
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

async fn end(watch: &mut WatchStream) -> Problem {
    loop {
        match next(watch).await {
            WatchEvent::End(problem) => return problem,
            WatchEvent::Heartbeat { .. } => {}
            WatchEvent::Commit(commit) => panic!("{commit:?}"),
        }
    }
}

fn refused(result: Result<WatchStream, ClientError>) -> Problem {
    match result {
        Err(ClientError::Problem(problem)) => problem,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Which keys a commit changed, with what it put.
fn changes(commit: &CommitBody) -> Vec<(String, Option<String>)> {
    let shown = |change: &headwater_api::ChangeBody| {
        let value = change.value.as_ref().map(|value| value.get().to_owned());
        (format!("{}/{}", change.namespace, change.key), value)
    };
    commit.changes.iter().map(shown).collect()
}

fn after(after: u64) -> WatchQuery {
    WatchQuery { after: Some(after), ..WatchQuery::default() }
}

fn of(namespaces: &[&str]) -> WatchQuery {
    let namespaces = namespaces.iter().map(|name| name.parse().unwrap()).collect();
    WatchQuery { namespaces, ..after(0) }
}

#[tokio::test]
async fn a_heartbeat_with_the_head_comes_first_of_all_and_again() {
    let mut world =
        World::with(Settings::default(), |relay| relay.settings.heartbeat_ms = 20).await;
    world.each([json("n", "k", "1"), json("m", "k", "1"), json("n", "k", "2")]).await;
    let (head, totals) = (*world.chain.state.head(), world.chain.state.totals().clone());
    for (query, digest) in [
        (after(1), Some(totals.digest())),
        (of(&["n"]), Some(totals.digest_of(["n"]))),
        (of(&["m", "n"]), Some(totals.digest_of(["m", "n"]))),
        (WatchQuery { prefix: Some("k".into()), ..of(&["n"]) }, None),
        (WatchQuery { key: Some("k".parse().unwrap()), ..of(&["n"]) }, None),
    ] {
        let mut watch = world.client().watch(&query).await.unwrap();
        let (sent, first) = beat(&mut watch).await;
        assert_eq!(Some(sent), query.after, "nothing was sent yet");
        assert_eq!(first, HeartbeatBody { revision: 3, hash: head.hash, digest });
        while beat_or_commit(&mut watch).await != (3, first.clone()) {}
        assert_eq!(beat(&mut watch).await, (3, first), "and again");
    }
}

/// The next heartbeat, commits passed over.
async fn beat_or_commit(watch: &mut WatchStream) -> (u64, HeartbeatBody) {
    loop {
        if let WatchEvent::Heartbeat { sent, head } = next(watch).await {
            return (sent, head);
        }
    }
}

#[tokio::test]
async fn a_commit_comes_with_the_matching_changes_only() {
    let mut world = World::new().await;
    let both = vec![json("a", "db/x", "1"), json("b", "db/x", "2"), json("a", "y", "3")];
    let first = world.commit("ann", both).await;
    world.commit("ann", vec![]).await;
    world.commit("ann", vec![json("c", "db/x", "4")]).await;
    let last = world.commit("bob", vec![delete("a", "y"), delete("b", "db/x")]).await;
    let (one, two): (Option<&str>, Option<&str>) = (Some("1"), Some("2"));
    type Seen<'a> = Vec<(u64, Vec<(&'a str, Option<&'a str>)>)>;
    let prefixed = |names: &[&str]| WatchQuery { prefix: Some("db/".into()), ..of(names) };
    let keyed = |names: &[&str]| WatchQuery { key: Some("y".parse().unwrap()), ..of(names) };
    let cases: Vec<(WatchQuery, Seen<'_>)> = vec![
        (
            of(&["a"]),
            vec![(first, vec![("a/db/x", one), ("a/y", Some("3"))]), (last, vec![("a/y", None)])],
        ),
        (
            of(&["b", "nobody"]),
            vec![(first, vec![("b/db/x", two)]), (last, vec![("b/db/x", None)])],
        ),
        (prefixed(&["a"]), vec![(first, vec![("a/db/x", one)])]),
        (
            prefixed(&[]),
            vec![
                (first, vec![("a/db/x", one), ("b/db/x", two)]),
                (first + 2, vec![("c/db/x", Some("4"))]),
                (last, vec![("b/db/x", None)]),
            ],
        ),
        (keyed(&["a", "b"]), vec![(first, vec![("a/y", Some("3"))]), (last, vec![("a/y", None)])]),
    ];
    for (query, expected) in cases {
        let mut watch = world.client().watch(&query).await.unwrap();
        for (revision, wanted) in expected {
            let commit = commit(&mut watch).await;
            let wanted: Vec<(String, Option<String>)> = wanted
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
                .collect();
            assert_eq!((commit.revision, changes(&commit)), (revision, wanted), "{query:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_is_whole_but_for_its_other_changes() {
    let mut world = World::new().await;
    let changed = vec![json("a", "k", "{\"x\":1}"), put("b", "k", "text/plain", b"hi")];
    world.commit("ann", changed).await;
    let listed = world.get("/v1/commits").await.json()["commits"][0].clone();
    let mut watch = world.client().watch(&of(&["b"])).await.unwrap();
    let mut seen = serde_json::to_value(commit(&mut watch).await).unwrap();
    let changes = seen["changes"].take();
    assert_eq!(
        changes,
        value!([{"op": "put", "namespace": "b", "key": "k", "content_type": "text/plain", "value": "hi", "version": 1}])
    );
    let mut rest = listed;
    rest["changes"].take();
    assert_eq!(seen, rest);
}

#[tokio::test]
async fn what_is_the_systems_is_never_sent_and_may_not_be_named() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("_system", "k", "1")]).await;
    world.commit("ann", vec![json("_system", "k", "2"), json("n", "k", "1")]).await;
    let mut watch = world.client().watch(&after(0)).await.unwrap();
    let seen = commit(&mut watch).await;
    assert_eq!((seen.revision, seen.changes.len()), (2, 1));
    let named = world.get("/v1/watch?namespaces=n,_schemas").await;
    assert_eq!(named.problem(), (403, "reserved_namespace".into()));
}

#[tokio::test]
async fn values_says_what_changes_carry() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("n", "k", "1")]).await;
    world
        .commit("bob", vec![json("n", "k", "2"), delete("n", "absent"), json("n", "x", "3")])
        .await;
    world.commit("bob", vec![delete("n", "k")]).await;
    let seen = async |values| {
        let query = WatchQuery { values, ..after(1) };
        let mut watch = world.client().watch(&query).await.unwrap();
        [commit(&mut watch).await, commit(&mut watch).await]
    };
    let [new, gone] = seen(Values::New).await;
    assert_eq!(changes(&new)[0].1.as_deref(), Some("2"));
    assert!(new.changes.iter().chain(&gone.changes).all(|change| change.old.is_none()));
    let [none, gone] = seen(Values::None).await;
    assert_eq!(changes(&none)[0].1, None);
    assert_eq!((none.changes[0].version, gone.changes[0].op), (Some(2), Op::Delete));
    assert_eq!(none.changes[0].content_type.as_deref(), Some("application/json"));

    let [both, gone] = seen(Values::Both).await;
    assert_eq!(changes(&both)[0].1.as_deref(), Some("2"));
    let entry = value!({
        "namespace": "n", "key": "k", "content_type": "application/json", "value": 1, "size": 1, "version": 1,
        "create_revision": 1, "mod_revision": 1, "updated_at": "2026-11-22T08:15:31.000Z", "actor": "ann",
    });
    let olds = serde_json::to_value(&both.changes).unwrap();
    assert_eq!(
        (&olds[0]["old"], &olds[1]["old"], &olds[2]["old"]),
        (&entry, &Value::Null, &Value::Null)
    );
    assert!(olds[1].as_object().unwrap().contains_key("old"), "null, and there");
    let old = gone.changes[0].old.as_ref().unwrap().as_ref().unwrap();
    assert_eq!((old.version, old.value.as_ref().unwrap().get()), (2, "2"));
}

#[tokio::test]
async fn last_event_id_resumes_and_wins_over_after() {
    let mut world = World::new().await;
    world.each((0..5).map(|n| json("n", "k", &n.to_string()))).await;
    let begin = async |path: &str, id: &str| {
        let headers = [("last-event-id", id), ("accept", "text/event-stream")];
        first_id(&mut wire::open(world.address, "GET", path, &headers).await).await
    };
    assert_eq!(begin("/v1/watch?after=1", "3").await, "3");
    assert_eq!(begin("/v1/watch", "2").await, "2");
    assert_eq!(begin("/v1/watch?after=1", "").await, "1", "an empty one is none");
    assert_eq!(begin("/v1/watch", "").await, "5", "with neither it starts at the head");
    for malformed in ["x", "-1", "+1", "1.5", "0x1", "18446744073709551616", "1 2"] {
        let headers = [("last-event-id", malformed)];
        let refused = world.get_with("/v1/watch?after=1", &headers).await;
        assert_eq!(refused.problem(), (400, "invalid_request".into()), "{malformed}");
    }
    let twice = [("last-event-id", "1"), ("last-event-id", "2")];
    assert_eq!(world.get_with("/v1/watch", &twice).await.problem().0, 400);
}

/// The id of the first event of an answer.
async fn first_id(socket: &mut tokio::net::TcpStream) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 4_096]);
    loop {
        let read = timeout(SOON, socket.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        if let Some((_, id)) = text.split_once("event: heartbeat\nid: ")
            && let Some((id, _)) = id.split_once('\n')
        {
            return id.to_owned();
        }
    }
}

#[tokio::test]
async fn above_the_head_it_waits_and_sends_nothing_at_or_below() {
    let mut world = World::new().await;
    world.each([json("n", "k", "1"), json("n", "k", "2")]).await;
    let mut watch = world.client().watch(&after(4)).await.unwrap();
    assert_eq!(beat(&mut watch).await.0, 4, "whoever comes back must not go back");
    world.each((3..=6).map(|n| json("n", "k", &n.to_string()))).await;
    let (five, six) = (commit(&mut watch).await, commit(&mut watch).await);
    assert_eq!((five.revision, six.revision), (5, 6));
}

#[tokio::test]
async fn heartbeats_take_an_idle_watcher_along() {
    let mut world =
        World::with(Settings::default(), |relay| relay.settings.heartbeat_ms = 20).await;
    let mut watch = world.client().watch(&of(&["n"])).await.unwrap();
    assert_eq!(beat(&mut watch).await.0, 0);
    let last = world.each((0..50).map(|_| json("other", "k", "1"))).await;
    let moved = async { while beat(&mut watch).await.0 < last {} };
    timeout(SOON, moved).await.unwrap();
}

#[tokio::test]
async fn what_nobody_keeps_is_410_with_the_oldest_revision() {
    let mut world = World::with(Settings { tail_bytes: 1, ..Settings::default() }, |_| {}).await;
    world.each((0..4).map(|_| json("n", "k", "1"))).await;
    let problem = refused(world.client().watch(&after(0)).await);
    assert_eq!((problem.code, problem.status), (Code::RevisionCompacted, 410));
    assert_eq!(problem.number("oldest_revision"), Some(3));
    world.client().watch(&after(3)).await.unwrap();
}

#[tokio::test]
async fn what_left_the_tail_comes_from_history_and_then_the_tail_goes_on() {
    let mut world = with_history(6, async |_| {}).await;
    let TailRead::Behind { oldest } = world.replica.tail().after(0, 0) else {
        panic!("all is held")
    };
    assert!(oldest > 2);
    for query in
        [after(0), of(&["n"]), WatchQuery { key: Some("k".parse().unwrap()), ..of(&["n"]) }]
    {
        let mut watch = world.client().watch(&query).await.unwrap();
        for revision in 1..=6 {
            let seen = commit(&mut watch).await;
            assert_eq!(seen.revision, revision);
            assert_eq!(changes(&seen), [("n/k".to_owned(), Some((revision - 1).to_string()))]);
        }
        world.replica.wait_for(6).await.unwrap();
    }
    let mut both =
        world.client().watch(&WatchQuery { values: Values::Both, ..after(0) }).await.unwrap();
    let mut silent = world.client().watch(&of(&["m"])).await.unwrap();
    for revision in 1..=6 {
        let seen = commit(&mut both).await;
        let old = seen.changes[0].old.as_ref().unwrap().as_ref();
        let old = old.map(|old| (old.mod_revision, old.value.as_ref().unwrap().get().to_owned()));
        let before = revision - 1;
        assert_eq!(old, (before > 0).then(|| (before, (before - 1).to_string())), "{revision}");
    }
    let seventh = world.commit("ann", vec![json("m", "k", "1"), json("n", "k", "9")]).await;
    assert_eq!(
        (commit(&mut both).await.revision, commit(&mut silent).await.revision),
        (seventh, seventh)
    );
}

#[tokio::test]
async fn history_that_is_behind_the_tail_leaves_no_gap() {
    let world = with_history(3, async |_| {}).await;
    let mut watch = world.client().watch(&after(0)).await.unwrap();
    for revision in 1..=3 {
        assert_eq!(commit(&mut watch).await.revision, revision);
    }
    assert_eq!(end(&mut watch).await.code, Code::NotReady);
}

#[tokio::test]
async fn a_client_that_falls_behind_is_told_so_by_an_event() {
    let settings = Settings { tail_bytes: 1 << 20, ..Settings::default() };
    let mut world = World::with(settings, |_| {}).await;
    let mut slow = wire::open(world.address, "GET", "/v1/watch?after=0", &[]).await;
    let large = vec![b'x'; 200 << 10];
    // More than any socket's buffers take.
    for n in 0..150 {
        world.commit("ann", vec![put("n", &format!("k{n}"), "text/plain", &large)]).await;
    }
    let mut bytes = Vec::new();
    timeout(SOON, slow.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes.len() < 150 * large.len(), "nothing was left out");
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2_000)..]).into_owned();
    let (_, end) = text.split_once("event: end\ndata: ").unwrap_or_else(|| panic!("{text}"));
    let problem: Problem = serde_json::from_str(end.split('\n').next().unwrap()).unwrap();
    assert_eq!(problem.code, Code::RevisionCompacted);
    assert!(problem.detail.contains("too slow"), "{}", problem.detail);
    assert!(problem.number("oldest_revision").is_some());
}

#[tokio::test]
async fn a_server_that_shuts_down_says_so_on_every_watch() {
    let world = World::new().await;
    let mut watch = world.client().watch(&after(0)).await.unwrap();
    next(&mut watch).await;
    world.stop.cancel();
    assert_eq!(end(&mut watch).await.code, Code::ShuttingDown);
    assert!(timeout(SOON, watch.next()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_value_with_line_breaks_is_several_lines_of_data_and_comes_back_as_it_was() {
    let mut world = World::new().await;
    let text = "{\n  \"a\": [\n    1\n  ],\n\n  \"b\": \"\\n\"\n}";
    world
        .commit("ann", vec![json("n", "k", text), put("n", "t", "text/plain", b"a\r\nb\nc")])
        .await;
    world.commit("ann", vec![json("n", "k", "[1,\r\n2,\r3]")]).await;
    let mut watch = world.client().watch(&after(0)).await.unwrap();
    let seen = commit(&mut watch).await;
    assert_eq!(seen.changes[0].value.as_ref().unwrap().get(), text);
    assert_eq!(seen.changes[1].value.as_ref().unwrap().get(), "\"a\\r\\nb\\nc\"");
    // The format knows one kind of line break only.
    assert_eq!(commit(&mut watch).await.changes[0].value.as_ref().unwrap().get(), "[1,\n2,\n3]");
}

#[tokio::test]
async fn the_answer_says_what_it_is_and_is_not_to_be_held_back() {
    let world = World::new().await;
    for accept in [&[][..], &[("accept", "*/*")], &[("accept", "text/event-stream")]] {
        let mut socket = wire::open(world.address, "GET", "/v1/watch", accept).await;
        let (mut text, mut bytes) = (String::new(), [0; 4_096]);
        while !text.contains("\r\n\r\n") {
            let read = timeout(SOON, socket.read(&mut bytes)).await.unwrap().unwrap();
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        let stream = format!("headwater-stream: {}\r\n", world.chain.state.head().stream_id);
        for header in [
            "content-type: text/event-stream\r\n",
            "cache-control: no-cache\r\n",
            "x-accel-buffering: no\r\n",
            "vary: Accept\r\n",
            "headwater-revision: 0\r\n",
            &stream,
        ] {
            assert!(text.contains(header), "{header}: {text}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_before_the_first_byte() {
    let world = World::new().await;
    for (query, refusal) in [
        ("after=-1", (400, "invalid_request")),
        ("from=1", (400, "invalid_request")),
        ("values=old", (400, "invalid_request")),
        ("prefix=a&key=a", (400, "invalid_request")),
        ("wait=1s", (400, "invalid_request")),
        ("namespaces=A", (400, "invalid_name")),
        ("namespaces=,", (400, "invalid_request")),
        ("key=a//b", (400, "invalid_name")),
        ("namespaces=a,_x", (403, "reserved_namespace")),
        ("stream=00000000000000000000000000000000", (409, "wrong_stream")),
    ] {
        let (status, code) = world.get(&format!("/v1/watch?{query}")).await.problem();
        assert_eq!((status, code.as_str()), refusal, "{query}");
    }
    let html = world.get_with("/v1/watch", &[("accept", "text/html")]).await;
    assert_eq!(html.problem(), (406, "not_acceptable".into()));
    let post = wire::call(world.address, "POST", "/v1/watch", &[]).await;
    assert_eq!(post.problem(), (405, "method_not_allowed".into()));
}
