//! `GET /v1/stream`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_api::{Code, Frame, FrameDecoder};
use headwater_client::{ClientError, FrameStream};
use headwater_replica::{Settings, TailRead};
use headwater_schemas::{Codec, Hash, Namespace, SCHEMAS_NAMESPACE, commit_fingerprint};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::chain::{Chain, delete, json, put};
use crate::commits::with_history;
use crate::wire;
use crate::world::World;

const SOON: Duration = Duration::from_secs(10);

async fn next(stream: &mut FrameStream) -> Frame {
    timeout(SOON, stream.next()).await.unwrap().unwrap()
}

/// The next frame that is no heartbeat.
async fn news(stream: &mut FrameStream) -> Frame {
    loop {
        match next(stream).await {
            Frame::Heartbeat { .. } => {}
            frame => return frame,
        }
    }
}

fn names(list: &[&str]) -> Vec<Namespace> {
    list.iter().map(|name| name.parse().unwrap()).collect()
}

fn refused(result: Result<FrameStream, ClientError>) -> headwater_api::Problem {
    match result {
        Err(ClientError::Problem(problem)) => *Box::new(problem),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

fn genesis_hash(chain: &Chain) -> Hash {
    assert_eq!(chain.state.head().revision, 0);
    chain.state.head().hash
}

#[tokio::test]
async fn a_heartbeat_with_the_head_comes_first_and_again() {
    let mut world =
        World::with(Settings::default(), |relay| relay.settings.heartbeat_ms = 20).await;
    world.commit("ann", vec![json("n", "k", "1")]).await;
    let (head, totals) = (*world.chain.state.head(), world.chain.state.totals().clone());
    let mut stream = world.client().stream(1, head.hash, None).await.unwrap();
    for _ in 0..3 {
        let Frame::Heartbeat { stream_id, revision, hash, digest, position } =
            next(&mut stream).await
        else {
            panic!("no heartbeat")
        };
        assert_eq!((stream_id, revision, hash), (head.stream_id, 1, head.hash));
        assert_eq!((digest, position.0), (totals.digest(), 1));
    }
    let some = names(&["n"]);
    let mut filtered = world.client().stream(1, head.hash, Some(&some)).await.unwrap();
    let Frame::Heartbeat { digest, .. } = next(&mut filtered).await else { panic!("no heartbeat") };
    assert_eq!(digest, totals.digest_of(["n", SCHEMAS_NAMESPACE]));
}

#[tokio::test]
async fn an_unfiltered_stream_gives_every_record_as_stored_old_and_new() {
    let mut world = World::new().await;
    let begin = genesis_hash(&world.chain);
    let first = world.chain.next("ann", vec![json("n", "k", "1")]);
    let second = world.chain.next("ann", vec![]);
    world.chain.append(vec![first.clone(), second.clone()]).await;
    world.replica.wait_for(2).await.unwrap();
    let mut stream = world.client().stream(0, begin, None).await.unwrap();
    let third = world.chain.next("ann", vec![json("n", "k", "2")]);
    let mut expected = vec![first, second];
    for (index, wanted) in expected.drain(..).enumerate() {
        let Frame::Commit { position, record, appended_at_ms } = news(&mut stream).await else {
            panic!("no commit")
        };
        assert_eq!((position.0, &record), (index as u64 + 1, &wanted));
        assert!(appended_at_ms > 0);
    }
    world.chain.append(vec![third.clone()]).await;
    let Frame::Commit { record, .. } = news(&mut stream).await else { panic!("no commit") };
    assert_eq!(record, third);
}

#[tokio::test]
async fn a_filtered_stream_gives_what_concerns_it_with_its_own_digest() {
    let mut world = World::new().await;
    let begin = genesis_hash(&world.chain);
    let mut codec = Codec::default();
    for (key, entry) in world.chain.state.prefix(&SCHEMAS_NAMESPACE.parse().unwrap(), "") {
        codec.learn(key.as_str(), &entry.value).unwrap();
    }
    let some = names(&["a", "c"]);
    let mut stream = world.client().stream(0, begin, Some(&some)).await.unwrap();
    world.each([json("b", "k", "1"), json("b", "k", "2")]).await;
    let mut sent = 0;
    // What is silent is told at once, as far as it went; two commits may be one frame or two.
    while sent < 2 {
        let Frame::Progress { previous, revision, digest, .. } = news(&mut stream).await else {
            panic!("no progress")
        };
        assert_eq!(previous, sent);
        assert_eq!(digest, world.chain.state.totals().digest_of([SCHEMAS_NAMESPACE]));
        sent = revision;
    }
    world.commit("ann", vec![json("a", "k", "1"), json("b", "k", "3")]).await;
    let Frame::Filtered { previous, hash, position, commit } = news(&mut stream).await else {
        panic!("no commit")
    };
    assert_eq!((previous, hash, position.0), (2, world.chain.state.head().hash, 3));
    let commit = codec.decode(&commit).unwrap();
    assert_eq!(commit.changes.len(), 1);
    assert_eq!((commit.revision, commit.changes[0].namespace().as_str()), (3, "a"));
    assert_eq!(commit.digest, world.chain.state.totals().digest_of(["a", "c", SCHEMAS_NAMESPACE]));
}

#[tokio::test]
async fn silent_commits_before_one_that_concerns_the_client_cost_no_frame_when_read_together() {
    let mut world = World::new().await;
    let begin = genesis_hash(&world.chain);
    world
        .each([json("b", "k", "1"), json("b", "k", "2"), json("a", "k", "1"), json("b", "k", "3")])
        .await;
    let some = names(&["a"]);
    let mut stream = world.client().stream(0, begin, Some(&some)).await.unwrap();
    let Frame::Filtered { previous, .. } = news(&mut stream).await else { panic!("no commit") };
    assert_eq!(previous, 0);
    let Frame::Progress { previous, revision, hash, .. } = news(&mut stream).await else {
        panic!("no progress")
    };
    assert_eq!((previous, revision, hash), (3, 4, world.chain.state.head().hash));
}

#[tokio::test]
async fn another_hash_at_the_clients_revision_is_wrong_chain() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("n", "k", "1")]).await;
    let problem = refused(world.client().stream(1, Hash([1; 32]), None).await);
    assert_eq!((problem.code, problem.status), (Code::WrongChain, 409));
}

#[tokio::test]
async fn a_client_above_the_head_waits_and_is_judged_when_the_head_arrives() {
    let mut world = World::new().await;
    let first = world.chain.next("ann", vec![json("n", "k", "1")]);
    let ahead = world.chain.state.head().hash;
    let mut right = world.client().stream(1, ahead, None).await.unwrap();
    let mut wrong = world.client().stream(1, Hash([1; 32]), None).await.unwrap();
    let second = world.chain.next("ann", vec![json("n", "k", "2")]);
    world.chain.append(vec![first, second.clone()]).await;
    let Frame::Commit { record, .. } = news(&mut right).await else { panic!("no commit") };
    assert_eq!(record, second);
    let Frame::End { problem } = news(&mut wrong).await else { panic!("it was not ended") };
    assert_eq!(problem.code, Code::WrongChain);
}

#[tokio::test]
async fn a_revision_older_than_the_tail_is_gone_and_an_image_is_asked_for() {
    let mut world = World::with(Settings { tail_bytes: 1, ..Settings::default() }, |_| {}).await;
    let begin = genesis_hash(&world.chain);
    world.each((0..4).map(|_| json("n", "k", "1"))).await;
    let problem = refused(world.client().stream(0, begin, None).await);
    assert_eq!((problem.code, problem.status), (Code::RevisionCompacted, 410));
    assert_eq!(problem.number("oldest_revision"), Some(3));
    assert_eq!(world.wanted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn another_hash_at_a_revision_older_than_the_tail_is_wrong_chain_where_history_knows() {
    let world = with_history(6, async |_| {}).await;
    let TailRead::Behind { oldest } = world.replica.tail().after(0, 0) else {
        panic!("all is held")
    };
    assert!(oldest > 2);
    let mut twin = Chain::begin(7).0;
    for revision in 0..=2 {
        let right = world.client().stream(revision, twin.state.head().hash, None).await;
        assert_eq!(refused(right).code, Code::RevisionCompacted, "{revision}");
        let forked = refused(world.client().stream(revision, Hash([1; 32]), None).await);
        assert_eq!((forked.code, forked.status), (Code::WrongChain, 409), "{revision}");
        twin.next("ann", vec![json("n", "k", &revision.to_string())]);
    }
    assert_eq!(world.wanted.load(Ordering::Relaxed), 3, "no image is asked for another chain");
}

#[tokio::test]
async fn history_of_another_chain_judges_nobody() {
    let world = with_history(6, async |twin| {
        twin.commit("ann", vec![json("n", "other", "1")]).await;
    })
    .await;
    let problem = refused(world.client().stream(1, Hash([1; 32]), None).await);
    assert_eq!(problem.code, Code::RevisionCompacted);
}

#[tokio::test]
async fn a_filtered_stream_ends_where_the_client_could_not_read_what_this_build_writes() {
    let mut world = World::new().await;
    let some = names(&["a"]);
    let begin = genesis_hash(&world.chain);
    let mut stream = world.client().stream(0, begin, Some(&some)).await.unwrap();
    let mut whole = world.client().stream(0, begin, None).await.unwrap();
    let fingerprint = commit_fingerprint();
    world.commit("ann", vec![json("b", "k", "1")]).await;
    assert!(matches!(news(&mut stream).await, Frame::Progress { revision: 1, .. }));
    world.commit("ann", vec![delete(SCHEMAS_NAMESPACE, fingerprint.key().as_str())]).await;
    let Frame::End { problem } = news(&mut stream).await else { panic!("it was not ended") };
    assert_eq!(problem.code, Code::NotReady);
    assert!(problem.detail.contains(&fingerprint.to_string()), "{}", problem.detail);
    for _ in 0..2 {
        assert!(matches!(news(&mut whole).await, Frame::Commit { .. }), "records need nothing");
    }
}

#[tokio::test]
async fn a_client_that_falls_behind_the_tail_is_cut_off_and_told_so() {
    let settings = Settings { tail_bytes: 1 << 20, ..Settings::default() };
    let mut world = World::with(settings, |_| {}).await;
    let path = format!("/v1/stream?after=0&hash={}", genesis_hash(&world.chain));
    let mut slow = wire::open(world.address, "GET", &path, &[]).await;
    let large = vec![b'x'; 200 << 10];
    // More than any socket's buffers take.
    for n in 0..150 {
        world.commit("ann", vec![put("n", &format!("k{n}"), "text/plain", &large)]).await;
    }
    let mut bytes = Vec::new();
    timeout(SOON, slow.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert!(bytes.len() < 150 * large.len(), "nothing was left out");
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2_000)..]).into_owned();
    assert!(
        text.contains("\"code\":\"revision_compacted\"") && text.contains("too slow"),
        "{text}"
    );
    assert!(world.wanted.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn a_server_that_shuts_down_says_so_on_every_stream() {
    let world = World::new().await;
    let mut stream = world.client().stream(0, genesis_hash(&world.chain), None).await.unwrap();
    next(&mut stream).await;
    world.stop.cancel();
    let Frame::End { problem } = news(&mut stream).await else { panic!("it was not ended") };
    assert_eq!(problem.code, Code::ShuttingDown);
    assert!(timeout(SOON, stream.next()).await.unwrap().is_err());
}

#[tokio::test]
async fn many_clients_are_given_the_same_bytes() {
    let mut world = World::new().await;
    let begin = genesis_hash(&world.chain);
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(world.client().stream(0, begin, None).await.unwrap());
    }
    let record = world.chain.next("ann", vec![json("n", "k", "1")]);
    world.chain.append(vec![record.clone()]).await;
    for stream in &mut streams {
        let Frame::Commit { record: got, .. } = news(stream).await else { panic!("no commit") };
        assert_eq!(got, record);
    }
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_before_the_first_byte() {
    let world = World::new().await;
    for (query, refusal) in [
        ("after=0&hash=xyz", (400, "invalid_request")),
        (
            "hash=0000000000000000000000000000000000000000000000000000000000000000",
            (400, "invalid_request"),
        ),
        ("after=-1", (400, "invalid_request")),
        ("from=1", (400, "invalid_request")),
        ("namespaces=A", (400, "invalid_name")),
        ("namespaces=a,_x", (403, "reserved_namespace")),
    ] {
        let (status, code) = world.get(&format!("/v1/stream?{query}")).await.problem();
        assert_eq!((status, code.as_str()), refusal, "{query}");
    }
    let sse = world.get_with("/v1/stream", &[("accept", "text/event-stream")]).await;
    assert_eq!(sse.problem(), (406, "not_acceptable".into()));
}

#[tokio::test]
async fn without_after_it_begins_at_the_head() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("n", "k", "1")]).await;
    let mut socket = wire::open(world.address, "GET", "/v1/stream", &[("accept", "*/*")]).await;
    let mut head = vec![0; 4096];
    let read = timeout(SOON, socket.read(&mut head)).await.unwrap().unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200"));
    world.commit("ann", vec![json("n", "k", "2")]).await;
    let mut bytes = head[..read].to_vec();
    while count_frames(&bytes) < 2 {
        let read = timeout(SOON, socket.read(&mut head)).await.unwrap().unwrap();
        assert!(read > 0, "it was closed");
        bytes.extend_from_slice(&head[..read]);
    }
    assert_eq!(count_frames(&bytes), 2, "a heartbeat and the one new commit");
}

/// How many whole frames a chunked answer holds.
fn count_frames(answer: &[u8]) -> usize {
    let body = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(answer.len(), |at| at + 4);
    let (mut rest, mut decoder, mut frames) = (&answer[body..], FrameDecoder::default(), 0);
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { break };
        decoder.push(chunk);
        while let Some(_frame) = decoder.next_frame().unwrap() {
            frames += 1;
        }
        rest = rest.get(end + 2 + size + 2..).unwrap_or_default();
    }
    frames
}
