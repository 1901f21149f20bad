//! `GET /v1/watch` as a long poll.

use std::time::{Duration, Instant};

use headwater_api::{PollBody, Values};
use headwater_client::WatchQuery;
use headwater_replica::Settings;
use tokio::time::timeout;

use crate::chain::{json, put};
use crate::commits::with_history;
use crate::watch::SOON;
use crate::wire::Answer;
use crate::world::World;

async fn poll(world: &World, query: &str) -> Answer {
    world.get_with(&format!("/v1/watch?{query}"), &[("accept", "application/json")]).await
}

fn seen(body: &PollBody) -> (u64, Vec<u64>) {
    (body.revision, body.commits.iter().map(|commit| commit.revision).collect())
}

fn body(answer: &Answer) -> PollBody {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[tokio::test]
async fn what_is_there_is_answered_at_once_and_is_complete_up_to_the_revision() {
    let mut world = World::new().await;
    world
        .each([json("n", "k", "1"), json("m", "k", "1"), json("n", "k", "2"), json("m", "k", "2")])
        .await;
    for (query, expected) in [
        ("after=0", (4, vec![1, 2, 3, 4])),
        ("after=2", (4, vec![3, 4])),
        ("after=0&namespaces=n", (4, vec![1, 3])),
        ("after=0&namespaces=m&values=none", (4, vec![2, 4])),
    ] {
        let began = Instant::now();
        let answer = poll(&world, &format!("{query}&wait=30s")).await;
        assert_eq!(seen(&body(&answer)), expected, "{query}");
        assert_eq!(answer.header("headwater-revision"), Some("4"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(began.elapsed() < SOON);
    }
    assert!(body(&poll(&world, "after=0&values=none").await).commits[0].changes[0].value.is_none());
}

#[tokio::test]
async fn it_waits_for_the_first_commit_that_matches() {
    let mut world = World::new().await;
    let client = world.client();
    let query = WatchQuery {
        namespaces: vec!["n".parse().unwrap()],
        values: Values::Both,
        ..WatchQuery::default()
    };
    let polled = tokio::spawn(async move { client.poll(&query, Duration::from_secs(30)).await });
    // It begins at the head, which nothing tells: commits are made until one has arrived.
    let mut last = 0;
    while !polled.is_finished() {
        world.commit("ann", vec![json("other", "k", "1")]).await;
        last = world.commit("ann", vec![json("n", "k", "1")]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(last < 1_000);
    }
    let polled = polled.await.unwrap().unwrap();
    assert!(!polled.commits.is_empty() && polled.revision <= last);
    assert!(polled.commits.iter().all(|commit| commit.changes[0].namespace.as_str() == "n"));
}

#[tokio::test]
async fn at_the_end_of_the_wait_it_is_empty_and_tells_how_far_it_looked() {
    let mut world = World::new().await;
    world.each([json("other", "k", "1"), json("other", "k", "2")]).await;
    for (query, expected) in [
        ("after=0&namespaces=n&wait=0s", 2),
        ("wait=0ms", 2),
        ("after=2&wait=50ms", 2),
        ("after=9&wait=50ms", 9),
    ] {
        assert_eq!(seen(&body(&poll(&world, query).await)), (expected, vec![]), "{query}");
    }
    let began = Instant::now();
    poll(&world, "after=2&wait=300ms").await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    for wrong in ["wait=61s", "wait=2m", "wait=5", "wait=-1s", "wait=soon"] {
        assert_eq!(poll(&world, wrong).await.problem(), (400, "invalid_request".into()), "{wrong}");
    }
}

#[tokio::test]
async fn it_ends_early_at_a_thousand_commits_or_at_its_size_and_nothing_is_left_out() {
    let mut world = World::new().await;
    world.each((0..1_500).map(|_| json("n", "k", "1"))).await;
    let first = body(&poll(&world, "after=0").await);
    assert_eq!(seen(&first), (1_000, (1..=1_000).collect()));
    let rest = body(&poll(&world, "after=1000").await);
    assert_eq!(seen(&rest), (1_500, (1_001..=1_500).collect()));

    let with = |relay: &mut headwater_relay::Relay| {
        relay.settings.page_bytes = 20_000;
        relay.settings.send_bytes = 3_000;
    };
    let mut world = World::with(Settings::default(), with).await;
    for _ in 0..9 {
        // 1,000 bytes in the record, 6,000 in JSON.
        world.commit("ann", vec![put("n", "k", "text/plain", &[1; 1_000])]).await;
    }
    let (mut after, mut pages) = (0, Vec::new());
    while after < 9 {
        let answer = poll(&world, &format!("after={after}")).await;
        assert!(answer.body.len() < 30_000, "{}", answer.body.len());
        let page = body(&answer);
        after = page.revision;
        pages.push(seen(&page).1);
    }
    assert_eq!(pages.concat(), (1..=9).collect::<Vec<_>>());
    assert!(pages.len() > 1 && pages[0].len() > 1, "{pages:?}");
}

#[tokio::test]
async fn what_left_the_tail_comes_from_history_page_by_page() {
    let world = with_history(6, async |_| {}).await;
    let (mut after, mut all) = (0, Vec::new());
    while after < 6 {
        let page = body(&poll(&world, &format!("after={after}&wait=1s&values=both")).await);
        assert!(page.revision > after);
        after = page.revision;
        all.extend(seen(&page).1);
    }
    assert_eq!(all, (1..=6).collect::<Vec<_>>());
    let mut world = World::with(Settings { tail_bytes: 1, ..Settings::default() }, |_| {}).await;
    world.each((0..4).map(|_| json("n", "k", "1"))).await;
    let compacted = poll(&world, "after=0").await;
    assert_eq!(compacted.problem(), (410, "revision_compacted".into()));
    assert_eq!(compacted.json()["oldest_revision"], 3);
}

#[tokio::test]
async fn a_server_that_shuts_down_answers_who_waits() {
    let world = World::new().await;
    let waiting = {
        let address = world.address;
        let headers = [("accept", "application/json")];
        tokio::spawn(async move {
            crate::wire::call(address, "GET", "/v1/watch?wait=60s", &headers).await
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stop.cancel();
    let answer = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(answer.problem(), (503, "shutting_down".into()));
}
