//! `GET /v1/config/{ns}` and `GET /v1/namespaces`.

use headwater_replica::Settings;
use serde_json::{Value, json as value};

use crate::chain::{delete, json, put};
use crate::world::World;

fn names(page: &Value, list: &str, field: &str) -> Vec<String> {
    let items = page[list].as_array().unwrap().iter();
    items.map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

fn keys(page: &Value) -> Vec<String> {
    names(page, "entries", "key")
}

#[tokio::test]
async fn entries_come_in_byte_order_under_a_prefix() {
    let mut world = World::new().await;
    world.each(["b", "a/2", "a/10", "a", "é"].map(|key| json("n", key, "1"))).await;
    let page = world.get("/v1/config/n").await.json();
    assert_eq!(keys(&page), ["a", "a/10", "a/2", "b", "é"]);
    assert_eq!(
        (&page["namespace"], &page["revision"], &page["next"]),
        (&value!("n"), &value!(5), &Value::Null)
    );
    assert_eq!(page["hash"], world.chain.state.head().hash.to_string());
    assert_eq!(page["entries"][0]["value"], 1);
    assert_eq!(keys(&world.get("/v1/config/n?prefix=a/").await.json()), ["a/10", "a/2"]);
    assert_eq!(keys(&world.get("/v1/config/n?prefix=%C3%A9").await.json()), ["é"]);
}

#[tokio::test]
async fn keys_only_leaves_the_values_out() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("n", "k", "12"), put("n", "b", "image/png", b"x")]).await;
    let page = world.get("/v1/config/n?keys_only=true").await.json();
    for entry in page["entries"].as_array().unwrap() {
        assert_eq!((entry.get("value"), entry.get("value_base64")), (None, None));
    }
    assert_eq!(page["entries"][1]["size"], 2);
}

#[tokio::test]
async fn a_namespace_that_nobody_wrote_to_is_empty() {
    let world = World::new().await;
    let answer = world.get("/v1/config/nobody").await;
    assert_eq!((answer.status, answer.json()["entries"].as_array().unwrap().len()), (200, 0));
}

#[tokio::test]
async fn all_pages_of_a_cursor_show_one_revision_whatever_is_written_meanwhile() {
    let mut world = World::new().await;
    world.each((0..10).map(|n| json("n", &format!("k{n}"), "1"))).await;
    let mut page = world.get("/v1/config/n?limit=3").await.json();
    let mut seen = keys(&page);
    while let Some(next) = page["next"].as_str() {
        let gone = seen.last().unwrap().clone();
        world
            .commit("ann", vec![delete("n", &gone), json("n", "k9", "2"), json("n", "z", "1")])
            .await;
        page = world.get(&format!("/v1/config/n?limit=3&cursor={next}")).await.json();
        assert_eq!(page["revision"], 10);
        seen.extend(keys(&page));
    }
    assert_eq!(seen, (0..10).map(|n| format!("k{n}")).collect::<Vec<_>>());
    assert_eq!(page["entries"][0]["value"], 1);
}

#[tokio::test]
async fn a_cursor_whose_revision_is_gone_is_revision_compacted() {
    let settings = Settings { tail_bytes: 1, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.settings.cursor_states = 1).await;
    world.each((0..3).map(|n| json("n", &format!("k{n}"), "1"))).await;
    let first = world.get("/v1/config/n?limit=1").await.json();
    world.commit("ann", vec![json("n", "k0", "2")]).await;
    let second = world.get("/v1/config/n?limit=1").await.json();
    world.commit("ann", vec![json("n", "k0", "3")]).await;
    let follow =
        |page: &Value| format!("/v1/config/n?limit=1&cursor={}", page["next"].as_str().unwrap());
    let gone = world.get(&follow(&first)).await;
    assert_eq!(gone.problem(), (410, "revision_compacted".into()));
    assert_eq!(gone.json()["oldest_revision"], 4);
    assert_eq!(world.get(&follow(&second)).await.status, 200);
}

#[tokio::test]
async fn a_cursor_of_another_query_is_refused() {
    let mut world = World::new().await;
    world.each((0..3).map(|n| json("n", &format!("k{n}"), "1"))).await;
    let page = world.get("/v1/config/n?limit=1").await.json();
    let next = page["next"].as_str().unwrap();
    for path in [
        format!("/v1/config/other?cursor={next}"),
        format!("/v1/config/n?prefix=k&cursor={next}"),
        format!("/v1/config/n?keys_only=true&cursor={next}"),
        format!("/v1/namespaces?cursor={next}"),
        format!("/v1/config/n?cursor={}", &next[1..]),
    ] {
        assert_eq!(world.get(&path).await.problem(), (400, "invalid_cursor".into()), "{path}");
    }
    let changed = world.get(&format!("/v1/config/n?limit=2&cursor={next}")).await;
    assert_eq!(keys(&changed.json()), ["k1", "k2"]);
}

#[tokio::test]
async fn a_page_ends_early_when_it_is_large_and_only_null_means_the_end() {
    let mut world =
        World::with(Settings::default(), |relay| relay.settings.page_bytes = 2_000).await;
    let large = format!("\"{}\"", "x".repeat(1_500));
    world.each((0..5).map(|n| json("n", &format!("k{n}"), &large))).await;
    let (mut path, mut pages, mut seen) = ("/v1/config/n".to_owned(), 0, Vec::new());
    loop {
        let page = world.get(&path).await.json();
        pages += 1;
        seen.extend(keys(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/config/n?cursor={next}");
    }
    assert_eq!((pages, seen.len()), (3, 5));
}

#[tokio::test]
async fn a_list_is_304_while_nothing_under_it_changed() {
    let mut world = World::new().await;
    world
        .commit("ann", vec![json("n", "a/1", "1"), json("n", "b", "1"), json("m", "k", "1")])
        .await;
    let tag_of =
        async |world: &World, path: &str| world.get(path).await.header("etag").unwrap().to_owned();
    let (all, some) =
        (tag_of(&world, "/v1/config/n").await, tag_of(&world, "/v1/config/n?prefix=a/").await);
    let status = async |world: &World, path: &str, tag: &str| {
        world.get_with(path, &[("if-none-match", tag)]).await.status
    };
    world.commit("ann", vec![json("m", "k", "2")]).await;
    assert_eq!(status(&world, "/v1/config/n", &all).await, 304);
    world.commit("ann", vec![json("n", "b", "2")]).await;
    assert_eq!(status(&world, "/v1/config/n", &all).await, 200);
    assert_eq!(status(&world, "/v1/config/n?prefix=a/", &some).await, 304);
    world.commit("ann", vec![delete("n", "a/1")]).await;
    assert_eq!(status(&world, "/v1/config/n?prefix=a/", &some).await, 200);
    world.commit("ann", vec![json("n", "a/1", "1")]).await;
    assert_eq!(status(&world, "/v1/config/n?prefix=a/", &some).await, 200);
}

#[tokio::test]
async fn limits_out_of_range_are_refused_never_clamped() {
    let world = World::new().await;
    for path in ["/v1/config/n", "/v1/namespaces", "/v1/commits"] {
        for limit in ["0", "1001", "-1", "x"] {
            let answer = world.get(&format!("{path}?limit={limit}")).await;
            assert_eq!(answer.problem(), (400, "invalid_request".into()), "{path} {limit}");
        }
        assert_eq!(world.get(&format!("{path}?limit=1000")).await.status, 200);
    }
}

#[tokio::test]
async fn namespaces_are_listed_with_what_they_hold() {
    let mut world = World::new().await;
    world
        .commit("ann", vec![json("b", "k", "12"), json("a.x", "k", "1"), json("a", "k", "1")])
        .await;
    world.commit("ann", vec![delete("a", "k")]).await;
    let page = world.get("/v1/namespaces").await.json();
    assert_eq!(names(&page, "namespaces", "name"), ["a", "a.x", "b"]);
    assert_eq!((&page["revision"], &page["next"]), (&value!(2), &Value::Null));
    let digest = world.chain.state.totals().of("b").digest.to_string();
    let wanted =
        value!({"name": "b", "entries": 1, "bytes": 2, "mod_revision": 1, "digest": digest});
    assert_eq!(page["namespaces"][2], wanted);
    assert_eq!(
        (&page["namespaces"][0]["entries"], &page["namespaces"][0]["mod_revision"]),
        (&value!(0), &value!(2))
    );
}

#[tokio::test]
async fn pages_of_namespaces_show_one_revision() {
    let mut world = World::new().await;
    world.each(["a", "b", "c"].map(|name| json(name, "k", "1"))).await;
    let first = world.get("/v1/namespaces?limit=2").await.json();
    let next = first["next"].as_str().unwrap();
    world.commit("ann", vec![json("d", "k", "1")]).await;
    let second = world.get(&format!("/v1/namespaces?limit=2&cursor={next}")).await.json();
    assert_eq!(names(&second, "namespaces", "name"), ["c"]);
    assert_eq!((&second["revision"], &second["next"]), (&value!(3), &Value::Null));
}
