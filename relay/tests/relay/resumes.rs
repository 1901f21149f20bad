//! Watchers that come back: seeded, over the routes themselves and over broken connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use headwater_api::{CommitBody, Event, EventDecoder, Values};
use headwater_client::{Client, WatchQuery, Watched};
use headwater_relay::Relay;
use headwater_replica::{Settings, TailRead};
use http::Request;
use http_body_util::BodyExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::chain::{delete, json, put};
use crate::watch::SOON;
use crate::world::World;

/// A world and its routes, to be asked without a socket.
async fn routed(settings: Settings, shape: impl FnOnce(&mut Relay)) -> (World, Router) {
    let mut taken = None;
    let world = World::with(settings, |relay| {
        shape(relay);
        taken = Some(relay.clone());
    })
    .await;
    (world, headwater_relay::routes(taken.unwrap()))
}

async fn watch(routes: &Router, path: &str, id: Option<u64>) -> Body {
    let mut request = Request::get(path);
    if let Some(id) = id {
        request = request.header("last-event-id", id);
    }
    let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200, "{path} {id:?}");
    answer.into_body()
}

/// What a watcher of `n` must see: every revision once, with what it put there.
#[derive(Default)]
struct Seen {
    commits: BTreeMap<u64, Vec<String>>,
    last: u64,
}

impl Seen {
    fn take(&mut self, commit: &CommitBody) {
        assert!(commit.revision > self.last, "{} behind {}", commit.revision, self.last);
        self.last = commit.revision;
        let values = commit.changes.iter().map(|change| {
            assert_eq!(change.namespace.as_str(), "n");
            change.value.as_ref().map_or("gone".to_owned(), |value| value.get().to_owned())
        });
        self.commits.insert(commit.revision, values.collect());
    }
}

/// Makes a random commit and notes what a watcher of `n` must see of it.
async fn change(
    world: &mut World,
    rng: &mut StdRng,
    expected: &mut BTreeMap<u64, Vec<String>>,
) -> u64 {
    let value = rng.random_range(0..1_000_000u32).to_string();
    let (changes, wanted) = match rng.random_range(0..5) {
        0 => (vec![json("other", "k", &value)], vec![]),
        1 => (vec![], vec![]),
        2 => (
            vec![json("n", "a", &value), json("other", "k", "1"), json("n", "b", "[\n1]")],
            vec![value, "[\n1]".into()],
        ),
        3 => (vec![delete("n", "a")], vec!["gone".into()]),
        _ => (vec![json("n", "a", &value)], vec![value]),
    };
    let revision = world.commit("ann", changes).await;
    if !wanted.is_empty() {
        expected.insert(revision, wanted);
    }
    revision
}

#[tokio::test]
async fn a_watcher_that_reconnects_a_thousand_times_at_random_sees_every_matching_commit_once_in_order()
 {
    const SEED: u64 = 5;
    let mut rng = StdRng::seed_from_u64(SEED);
    let with = |relay: &mut Relay| {
        relay.settings.heartbeat_ms = 3;
        relay.settings.send_bytes = 2_000;
    };
    let (mut world, routes) = routed(Settings::default(), with).await;
    let (mut expected, mut seen) = (BTreeMap::new(), Seen::default());
    let (mut id, mut last) = (Some(0), 0);
    for connection in 0..1_000 {
        for _ in 0..rng.random_range(0..3) {
            last = change(&mut world, &mut rng, &mut expected).await;
        }
        let mut body = watch(&routes, "/v1/watch?namespaces=n&after=999999", id).await;
        // It breaks after so many bytes, wherever that is: within an event, too.
        let mut left = rng.random_range(0..3_000usize);
        let mut decoder = EventDecoder::new(1 << 20);
        while left > 0 {
            let frame = timeout(Duration::from_millis(rng.random_range(0..6)), body.frame()).await;
            let Ok(frame) = frame else { break };
            let bytes = frame.unwrap().unwrap().into_data().unwrap();
            let got = &bytes[..bytes.len().min(left)];
            left -= got.len();
            decoder.push(got);
            while let Some(event) = decoder.next_event().unwrap() {
                take(&event, &mut seen, &mut id);
            }
            if rng.random_range(0..8) == 0 {
                last = change(&mut world, &mut rng, &mut expected).await;
            }
        }
        assert!(id.unwrap() <= last, "connection {connection}");
    }
    let mut body = watch(&routes, "/v1/watch?namespaces=n", id).await;
    let mut decoder = EventDecoder::new(1 << 20);
    while id != Some(last) {
        let bytes =
            timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
        decoder.push(&bytes);
        while let Some(event) = decoder.next_event().unwrap() {
            take(&event, &mut seen, &mut id);
        }
    }
    assert!(expected.len() > 500, "{}", expected.len());
    assert_eq!(seen.commits, expected, "seed {SEED}");
}

fn take(event: &Event, seen: &mut Seen, id: &mut Option<u64>) {
    let told: u64 = event.id.as_ref().unwrap().parse().unwrap();
    assert!(Some(told) >= *id, "an id never goes back");
    *id = Some(told);
    match event.kind.as_str() {
        "commit" => seen.take(&serde_json::from_str(&event.data).unwrap()),
        "heartbeat" => {}
        other => panic!("{other}: {}", event.data),
    }
}

/// Passes connections on and breaks each after some bytes of its answers.
async fn breaking(target: SocketAddr, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut rng = StdRng::seed_from_u64(seed);
        while let Ok((client, _)) = listener.accept().await {
            let bytes = rng.random_range(0..4_000u64);
            let server = TcpStream::connect(target).await.unwrap();
            tokio::spawn(pass(client, server, bytes));
        }
    });
    address
}

async fn pass(client: TcpStream, server: TcpStream, bytes: u64) {
    let (mut asks, mut takes) = client.into_split();
    let (answers, mut asked) = server.into_split();
    let up = tokio::spawn(async move { copy(&mut asks, &mut asked).await });
    let _ = copy(&mut answers.take(bytes), &mut takes).await;
    let _ = takes.shutdown().await;
    up.abort();
}

#[tokio::test]
async fn a_watcher_whose_connections_break_within_events_sees_every_matching_commit_once_in_order()
{
    const SEED: u64 = 11;
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut world =
        World::with(Settings::default(), |relay| relay.settings.heartbeat_ms = 20).await;
    let address = breaking(world.address, SEED).await;
    let client = Client::builder().server(format!("http://{address}")).seed(SEED).build().unwrap();
    let query = WatchQuery {
        namespaces: vec!["n".parse().unwrap()],
        after: Some(0),
        ..WatchQuery::default()
    };
    let mut watcher = client.watcher(query);
    let (mut expected, mut seen, mut lost, mut last) = (BTreeMap::new(), Seen::default(), 0, 0);
    while lost < 40 || watcher.sent() != Some(last) {
        if lost < 40 {
            last = change(&mut world, &mut rng, &mut expected).await;
        }
        match timeout(SOON, watcher.next()).await.unwrap().unwrap() {
            Watched::Commit(commit) => seen.take(&commit),
            Watched::Heartbeat(_) => {}
            Watched::Lost(_) => lost += 1,
        }
    }
    assert!(expected.len() > 20, "{}", expected.len());
    assert_eq!(seen.commits, expected, "seed {SEED}");
}

#[tokio::test]
async fn an_event_of_any_size_is_sent_in_pieces_of_bounded_size() {
    let (mut world, routes) = routed(Settings::default(), |_| {}).await;
    let large = vec![b'x'; 100 << 10];
    for n in 0..100 {
        world.commit("ann", vec![put("n", &format!("k{n}"), "text/plain", &large)]).await;
    }
    let gone = (0..100).map(|n| delete("n", &format!("k{n}"))).collect();
    world.commit("ann", gone).await;
    let mut body = watch(&routes, "/v1/watch?after=100&values=both", None).await;
    let mut decoder = EventDecoder::new(1 << 30);
    let event = loop {
        let bytes =
            timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_data().unwrap();
        // What one send takes, and one change more.
        assert!(bytes.len() < (256 + 2 * 100 + 8) << 10, "{} bytes at once", bytes.len());
        decoder.push(&bytes);
        match decoder.next_event().unwrap() {
            Some(event) if event.kind == "commit" => break event,
            _ => {}
        }
    };
    assert!(event.data.len() > 100 * large.len());
    let commit: CommitBody = serde_json::from_str(&event.data).unwrap();
    assert_eq!(commit.changes.len(), 100);
    for (n, change) in commit.changes.iter().enumerate() {
        let old = change.old.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((old.mod_revision, old.size), (n as u64 + 1, large.len() as u64));
    }
}

#[tokio::test]
async fn our_own_client_reads_an_event_and_a_poll_with_more_than_64_mib_of_what_was_before() {
    let mut world = World::new().await;
    // Six bytes of JSON each.
    let large = vec![1; 128 << 10];
    for n in 0..100 {
        world.commit("ann", vec![put("n", &format!("k{n}"), "text/plain", &large)]).await;
    }
    let gone = (0..100).map(|n| delete("n", &format!("k{n}"))).collect();
    world.commit("ann", gone).await;
    let query = WatchQuery { after: Some(100), values: Values::Both, ..WatchQuery::default() };
    let is_whole = |commit: &CommitBody| {
        let before = commit.changes.iter().map(|change| change.old.as_ref().unwrap().as_ref());
        let shown = before.map(|old| old.unwrap().value.as_ref().unwrap().get().len());
        assert!(shown.sum::<usize>() > 64 << 20);
    };
    let mut watcher = world.client().watcher(query.clone());
    loop {
        match timeout(6 * SOON, watcher.next()).await.unwrap().unwrap() {
            Watched::Commit(commit) => break is_whole(&commit),
            Watched::Heartbeat(_) => {}
            Watched::Lost(error) => panic!("{error}"),
        }
    }
    is_whole(&world.client().poll(&query, Duration::ZERO).await.unwrap().commits[0]);
}

#[tokio::test]
async fn what_slow_watchers_hold_is_what_one_send_takes_and_then_they_are_cut_off() {
    let settings = Settings { tail_bytes: 2 << 20, ..Settings::default() };
    let (mut world, routes) = routed(settings, |_| {}).await;
    let large = vec![b'x'; 100 << 10];
    let write = async |world: &mut World| {
        for n in 0..40 {
            world.commit("ann", vec![put("n", &format!("k{n}"), "text/plain", &large)]).await;
        }
    };
    write(&mut world).await;
    let oldest = world.replica.tail().oldest().unwrap();
    let TailRead::Items(items) = world.replica.tail().after(oldest, usize::MAX) else {
        panic!("all is held")
    };
    let held: Vec<_> = items.iter().map(Arc::downgrade).collect();
    drop(items);
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut body = watch(&routes, &format!("/v1/watch?after={oldest}"), None).await;
        for _ in 0..2 {
            timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap();
        }
        slow.push(body);
    }
    write(&mut world).await;
    let alive = held.iter().filter(|applied| applied.upgrade().is_some()).count();
    assert!(
        held.len() > 5 && alive <= 2,
        "{alive} of {} commits are held for slow clients",
        held.len()
    );
    for mut body in slow {
        let (mut decoder, mut last) = (EventDecoder::new(1 << 20), None);
        while let Some(frame) = timeout(SOON, body.frame()).await.unwrap() {
            decoder.push(&frame.unwrap().into_data().unwrap());
            while let Some(event) = decoder.next_event().unwrap() {
                last = Some(event);
            }
        }
        let end = last.unwrap();
        assert!(end.kind == "end" && end.data.contains("revision_compacted"), "{end:?}");
    }
}
