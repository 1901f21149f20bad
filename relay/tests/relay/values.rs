//! `GET /v1/config/{ns}/{key}`.

use std::sync::Arc;
use std::time::Duration;

use headwater_api::Problem;
use serde_json::json as value;

use crate::chain::{delete, json, put};
use crate::wire;
use crate::world::World;

const ENTRY: (&str, &str) = ("accept", "application/vnd.headwater.entry+json");

#[tokio::test]
async fn a_value_comes_back_as_it_was_stored_with_all_its_headers() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("a.b", "db/pool", " {\"max\": 5}\n")]).await;
    world.commit("bob", vec![json("a.b", "db/pool", " {\"max\": 6}\n")]).await;
    let answer = world.get("/v1/config/a.b/db/pool").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b" {\"max\": 6}\n"[..]));
    for (name, wanted) in [
        ("content-type", "application/json"),
        ("etag", "\"2\""),
        ("last-modified", "Sun, 22 Nov 2026 08:15:32 GMT"),
        ("headwater-version", "2"),
        ("headwater-create-revision", "1"),
        ("headwater-revision", "2"),
        ("headwater-stream", "07070707070707070707070707070707"),
        ("vary", "Accept"),
    ] {
        assert_eq!(answer.header(name), Some(wanted), "{name}");
    }
    let escaped = world.get("/v1/config/a.b/db%2Fpool").await;
    assert_eq!(escaped.body, answer.body);
}

#[tokio::test]
async fn a_head_request_gives_the_headers_and_no_body() {
    let mut world = World::new().await;
    world.commit("ann", vec![put("a", "k", "text/plain", b"hello")]).await;
    let answer = world.head("/v1/config/a/k").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-length"), Some("5"));
    assert_eq!(answer.header("etag"), Some("\"1\""));
}

#[tokio::test]
async fn a_tag_that_still_holds_is_answered_304() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("a", "k", "1")]).await;
    for tag in ["\"1\"", "W/\"1\"", "\"9\", \"1\"", "*"] {
        let answer = world.get_with("/v1/config/a/k", &[("if-none-match", tag)]).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{tag}");
        assert_eq!(answer.header("etag"), Some("\"1\""));
    }
    world.commit("ann", vec![json("a", "k", "2")]).await;
    let answer = world.get_with("/v1/config/a/k", &[("if-none-match", "\"1\"")]).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"2"[..]));
}

#[tokio::test]
async fn the_entry_is_given_to_whoever_accepts_it_and_has_no_tag() {
    let mut world = World::new().await;
    world
        .commit("ann", vec![json("a", "k", "{\"b\":1}"), put("a", "bin", "image/png", &[0xff])])
        .await;
    let answer = world.get_with("/v1/config/a/k", &[ENTRY, ("if-none-match", "\"1\"")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!((answer.header("etag"), answer.header("vary")), (None, Some("Accept")));
    assert_eq!(answer.header("content-type"), Some(ENTRY.1));
    let wanted = value!({
        "namespace": "a", "key": "k", "content_type": "application/json", "value": {"b": 1}, "size": 7,
        "version": 1, "create_revision": 1, "mod_revision": 1,
        "updated_at": "2026-11-22T08:15:31.000Z", "actor": "ann",
    });
    assert_eq!(answer.json(), wanted);
    let binary = world.get_with("/v1/config/a/bin", &[ENTRY]).await.json();
    assert_eq!((&binary["value_base64"], binary.get("value")), (&value!("/w=="), None));
    let ignored = world.get_with("/v1/config/a/k", &[("accept", "text/html")]).await;
    assert_eq!(ignored.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_absent_or_deleted_key_is_key_not_found() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("a", "k", "1")]).await;
    world.commit("ann", vec![delete("a", "k")]).await;
    for path in ["/v1/config/a/k", "/v1/config/a/never", "/v1/config/nobody/k"] {
        let answer = world.get(path).await;
        assert_eq!(answer.problem(), (404, "key_not_found".into()), "{path}");
        assert_eq!(answer.header("headwater-revision"), Some("2"));
    }
}

#[tokio::test]
async fn what_is_no_name_or_the_systems_is_refused() {
    let world = World::new().await;
    for (path, refusal) in [
        ("/v1/config/A/k", (400, "invalid_name")),
        ("/v1/config/a/k//l", (400, "invalid_name")),
        ("/v1/config/a/..", (400, "invalid_name")),
        ("/v1/config/a/%ff", (400, "invalid_name")),
        ("/v1/config/_schemas/k", (403, "reserved_namespace")),
    ] {
        let (status, code) = world.get(path).await.problem();
        assert_eq!((status, code.as_str()), refusal, "{path}");
    }
}

#[tokio::test]
async fn unknown_or_wrong_parameters_are_refused() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("a", "k", "1")]).await;
    for query in [
        "x=1",
        "min_revision=-1",
        "min_revision=1&timeout=61s",
        "consistency=strong",
        "timeout=61s",
        "at=yesterday",
    ] {
        let answer = world.get(&format!("/v1/config/a/k?{query}")).await;
        assert_eq!(answer.problem(), (400, "invalid_request".into()), "{query}");
    }
    assert_eq!(world.get("/v1/config/a/k?min_revision=&at=&consistency=").await.status, 200);
}

#[tokio::test]
async fn a_read_of_another_stream_is_refused() {
    let mut world = World::new().await;
    world.commit("ann", vec![json("a", "k", "1")]).await;
    let other = world.get("/v1/config/a/k?stream=00000000000000000000000000000000").await;
    assert_eq!(other.problem(), (409, "wrong_stream".into()));
    let ours = world.get("/v1/config/a/k?stream=07070707070707070707070707070707").await;
    assert_eq!(ours.status, 200);
}

#[tokio::test]
async fn min_revision_waits_until_it_is_applied() {
    let mut world = World::new().await;
    let address = world.address;
    let waiting = tokio::spawn(async move {
        wire::call(address, "GET", "/v1/config/a/k?min_revision=2&timeout=30s", &[]).await
    });
    world.commit("ann", vec![json("a", "k", "1")]).await;
    world.commit("ann", vec![json("a", "k", "2")]).await;
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"2"[..]));
}

#[tokio::test]
async fn min_revision_that_does_not_come_is_revision_not_reached() {
    let world = World::new().await;
    let answer = world.get("/v1/config/a/k?min_revision=1&timeout=20ms").await;
    assert_eq!(answer.problem(), (504, "revision_not_reached".into()));
    assert_eq!(answer.json()["revision"], 0);
}

#[tokio::test]
async fn a_linearizable_read_waits_for_the_barrier_and_tells_its_failure() {
    let alone = World::new().await;
    let refused = alone.get("/v1/config/a/k?consistency=linearizable").await;
    assert_eq!(refused.problem(), (503, "log_unavailable".into()));
    assert!(refused.header("retry-after").is_some());

    let (passed, mut gate) = tokio::sync::mpsc::channel::<()>(1);
    let mut world = World::with(headwater_replica::Settings::default(), |relay| {
        relay.linearize = Some(Arc::new(move || {
            let passed = passed.clone();
            Box::pin(async move {
                passed.send(()).await.map_err(|_| Problem::log_unavailable("the gate is closed"))
            })
        }));
    })
    .await;
    world.commit("ann", vec![json("a", "k", "1")]).await;
    let answer = world.get("/v1/config/a/k?consistency=linearizable").await;
    assert_eq!((answer.status, gate.recv().await), (200, Some(())));
    drop(gate);
    let failed = world.get("/v1/config/a/k?consistency=linearizable").await;
    assert_eq!(failed.problem(), (503, "log_unavailable".into()));
    assert_eq!(world.get("/v1/config/a/k?consistency=local").await.status, 200);
}

#[tokio::test]
async fn a_waiting_read_ends_when_the_server_drains() {
    let world = World::new().await;
    let (address, stop) = (world.address, world.stop.clone());
    let waiting = tokio::spawn(async move {
        wire::call(address, "GET", "/v1/config/a/k?min_revision=9&timeout=60s", &[]).await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.cancel();
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert_eq!(answer.problem(), (503, "shutting_down".into()));
}
