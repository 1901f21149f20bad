//! `GET /v1/commits`.

use std::sync::Arc;

use headwater_replica::{Recent, Settings};
use serde_json::{Value, json as value};

use crate::chain::{delete, json, put};
use crate::world::World;

fn revisions(page: &Value) -> Vec<u64> {
    page["commits"].as_array().unwrap().iter().map(|c| c["revision"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn commits_are_listed_whole_and_ascending_without_the_genesis() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("n", "k", "{\"a\":1}")]).await;
    world.commit("bob", vec![delete("n", "k")]).await;
    world.commit("bob", vec![]).await;
    let page = world.get("/v1/commits").await.json();
    assert_eq!((revisions(&page), &page["next"]), (vec![1, 2, 3], &Value::Null));
    let (first, second) = (&page["commits"][0], &page["commits"][1]);
    assert_eq!(second["parent"], first["hash"]);
    assert_eq!(
        first["changes"],
        value!([{"op": "put", "namespace": "n", "key": "k", "content_type": "application/json", "value": {"a": 1}, "version": 1}])
    );
    assert_eq!(second["changes"], value!([{"op": "delete", "namespace": "n", "key": "k"}]));
    assert_eq!(
        (&first["actor"], &first["reason"], &first["at"]),
        (&value!("ann"), &value!("because"), &value!("2026-11-22T08:15:31.000Z"))
    );
    assert_eq!(first["attributes"], value!({"tool": "test"}));
    assert_eq!(page["commits"][2]["changes"], value!([]));
}

#[tokio::test]
async fn after_is_exclusive_and_actor_filters() {
    let mut world = World::new().await;
    for n in 1..=6 {
        world.commit(if n % 2 == 0 { "bob" } else { "ann" }, vec![json("n", "k", "1")]).await;
    }
    assert_eq!(revisions(&world.get("/v1/commits?after=4").await.json()), [5, 6]);
    assert_eq!(revisions(&world.get("/v1/commits?actor=bob").await.json()), [2, 4, 6]);
    assert_eq!(revisions(&world.get("/v1/commits?after=2&actor=bob").await.json()), [4, 6]);
    assert_eq!(revisions(&world.get("/v1/commits?actor=nobody").await.json()), [0u64; 0]);
    assert_eq!(revisions(&world.get("/v1/commits?after=99").await.json()), [0u64; 0]);
}

#[tokio::test]
async fn all_pages_of_a_cursor_end_at_the_head_of_the_first() {
    let mut world = World::new().await;
    world.each((0..5).map(|_| json("n", "k", "1"))).await;
    let (mut path, mut seen) = ("/v1/commits?limit=2".to_owned(), Vec::new());
    loop {
        let answer = world.get(&path).await;
        assert_eq!(answer.header("headwater-revision"), Some("5"));
        seen.extend(revisions(&answer.json()));
        world.commit("ann", vec![json("n", "k", "2")]).await;
        let page = answer.json();
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/commits?limit=2&cursor={next}");
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn without_history_what_left_the_tail_is_revision_compacted() {
    let mut world = World::with(Settings { tail_bytes: 1, ..Settings::default() }, |_| {}).await;
    world.each((0..5).map(|_| json("n", "k", "1"))).await;
    let answer = world.get("/v1/commits").await;
    assert_eq!(answer.problem(), (410, "revision_compacted".into()));
    let oldest = answer.json()["oldest_revision"].as_u64().unwrap();
    assert_eq!(revisions(&world.get(&format!("/v1/commits?after={oldest}")).await.json()), [5]);
}

/// A world whose tail holds the last commit only; its history is what another replica of the same chain holds, after
/// `begin` has begun that chain.
pub(crate) async fn with_history(commits: u64, begin: impl AsyncFnOnce(&mut World)) -> World {
    let mut twin = World::new().await;
    begin(&mut twin).await;
    let behind = twin.chain.state.head().revision;
    twin.each((behind..commits).map(|n| json("n", "k", &n.to_string()))).await;
    let history = Recent::new(twin.replica.clone());
    let settings = Settings { tail_bytes: 1, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.history = Some(Arc::new(history))).await;
    world.beside.push(twin);
    world.each((0..6).map(|n| json("n", "k", &n.to_string()))).await;
    world
}

#[tokio::test]
async fn what_left_the_tail_comes_from_history() {
    let world = with_history(6, async |_| {}).await;
    let page = world.get("/v1/commits?limit=4").await.json();
    assert_eq!(revisions(&page), [1, 2, 3, 4]);
    let next = page["next"].as_str().unwrap();
    let rest = world.get(&format!("/v1/commits?limit=4&cursor={next}")).await.json();
    assert_eq!((revisions(&rest), &rest["next"]), (vec![5, 6], &Value::Null));
}

#[tokio::test]
async fn history_of_another_chain_is_not_served() {
    let world = with_history(6, async |twin| {
        twin.commit("ann", vec![json("n", "other", "1")]).await;
    })
    .await;
    assert_eq!(world.get("/v1/commits").await.problem(), (503, "not_ready".into()));
}

#[tokio::test]
async fn history_that_is_behind_the_tail_is_not_ready_and_leaves_no_gap() {
    let world = with_history(3, async |_| {}).await;
    assert_eq!(world.get("/v1/commits").await.problem(), (503, "not_ready".into()));
}

#[tokio::test]
async fn a_long_tail_is_read_piece_by_piece_and_nothing_is_left_out() {
    let mut world =
        World::with(Settings::default(), |relay| relay.settings.send_bytes = 4_000).await;
    for n in 0..100u64 {
        world.commit(if n % 7 == 0 { "bob" } else { "ann" }, vec![json("n", "k", "1")]).await;
    }
    assert_eq!(
        revisions(&world.get("/v1/commits?limit=1000").await.json()),
        (1..=100).collect::<Vec<_>>()
    );
    let bob = world.get("/v1/commits?actor=bob&limit=15").await.json();
    assert_eq!(revisions(&bob), (0..15).map(|n| n * 7 + 1).collect::<Vec<_>>());
    assert_eq!(revisions(&world.get("/v1/commits?after=97&limit=2").await.json()), [98, 99]);
}

#[tokio::test]
async fn a_page_ends_early_by_the_size_of_its_json_and_nothing_is_left_out() {
    let with = |relay: &mut headwater_relay::Relay| relay.settings.page_bytes = 20_000;
    let mut world = World::with(Settings::default(), with).await;
    for _ in 0..7 {
        // 1,000 bytes in the record, 6,000 in JSON.
        world.commit("ann", vec![put("n", "k", "text/plain", &[1; 1_000])]).await;
    }
    let (mut path, mut pages) = ("/v1/commits".to_owned(), Vec::new());
    loop {
        let page = world.get(&path).await.json();
        pages.push(revisions(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/commits?cursor={next}");
    }
    assert_eq!(pages, [vec![1, 2, 3, 4], vec![5, 6, 7]]);
}
