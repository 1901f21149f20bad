//! Status, the document, and what is not there.

use serde_json::json as value;

use crate::chain::json;
use crate::world::World;

#[tokio::test]
async fn the_status_says_where_this_server_is() {
    let mut world = World::new().await;
    let before = world.get("/v1/status").await.json();
    assert_eq!((&before["revision"], &before["last_commit_at"]), (&value!(0), &value!(null)));
    world.commit("ann", vec![json("n", "k", "12")]).await;
    let status = world.get("/v1/status").await.json();
    let (head, totals) = (world.chain.state.head(), world.chain.state.totals());
    for (field, wanted) in [
        ("stream", value!("default")),
        ("stream_id", value!("07070707070707070707070707070707")),
        ("revision", value!(1)),
        ("hash", value!(head.hash.to_string())),
        ("digest", value!(totals.digest().to_string())),
        ("entries", value!(2)),
        ("bytes", value!(totals.bytes())),
        ("role", value!("relay")),
        ("lag_revisions", value!(0)),
        ("last_commit_at", value!("2026-11-22T08:15:31.000Z")),
        ("phase", value!("live")),
        ("started_at", value!("1970-01-01T00:00:00.000Z")),
    ] {
        assert_eq!(status[field], wanted, "{field}");
    }
    assert_eq!(
        (&status["log"]["kind"], &status["log"]["position"]),
        (&value!("memory"), &value!(1))
    );
    assert!(status["version"].is_string());
}

#[tokio::test]
async fn the_document_is_served() {
    let world = World::new().await;
    let document = world.get("/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_other_methods_are_told_which_are_allowed() {
    let world = World::new().await;
    for path in ["/", "/v1", "/v1/watches", "/v1/history/n", "/v2/config/n/k"] {
        assert_eq!(world.get(path).await.problem(), (404, "not_found".into()), "{path}");
    }
    let answer = crate::wire::call(world.address, "DELETE", "/v1/namespaces", &[]).await;
    assert_eq!(answer.problem(), (405, "method_not_allowed".into()));
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
}
