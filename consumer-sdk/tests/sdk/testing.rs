//! Reload code can be tested without a server, through the same replica and handles as in production.

use headwater::Handle;
use headwater::testing::{self, Source, override_for_test, until};
use serde_json::json;

use crate::stream::soon;

#[tokio::test]
async fn a_static_client_holds_its_values_and_is_live() {
    let hw = testing::client([("db/pool", json!({ "max": 10 })), ("db/limit", json!(100))]);
    assert_eq!(hw.get::<u32>("db/limit").unwrap(), Some(100));
    assert_eq!(hw.get::<serde_json::Value>("db/pool").unwrap(), Some(json!({ "max": 10 })));
    assert!(!hw.status().stale);
}

#[test]
fn a_static_client_and_overrides_need_no_runtime() {
    let hw = testing::client([("n", 1)]);
    let n: Handle<u32> = hw.handle("n").unwrap();
    let overridden = override_for_test(&hw, "n", 2);
    assert_eq!(*n.load(), 2);
    drop(overridden);
    assert_eq!(*n.load(), 1);
}

#[tokio::test]
async fn an_override_of_an_absent_key_goes_back_to_its_absence() {
    let hw = testing::client::<&str, u32>([]);
    let n = hw.bind("n").default(7u32).build();
    let overridden = override_for_test(&hw, "n", 8);
    assert_eq!((*n.load(), n.is_deleted()), (8, false));
    drop(overridden);
    assert_eq!((*n.load(), n.is_deleted()), (7, true));
}

#[tokio::test]
async fn an_override_stands_above_every_layer_of_its_client() {
    let source = Source::new();
    source.commit([
        testing::put("n", 1).in_namespace("global"),
        testing::put("n", 2).in_namespace("app"),
    ]);
    let hw = source.builder().namespaces(["global", "app"]).connect().await.unwrap();
    let n: Handle<u32> = hw.handle("n").unwrap();
    assert_eq!(*n.load(), 2);
    let overridden = override_for_test(&hw, "n", 3);
    assert_eq!(*n.load(), 3);
    drop(overridden);
    assert_eq!(*n.load(), 2);
}

#[tokio::test]
async fn a_commit_of_several_keys_is_seen_whole_at_its_revision() {
    let source = Source::new();
    source.commit([testing::put("a", 0), testing::put("b", 0)]);
    let hw = source.client();
    let (a, b): (Handle<u32>, Handle<u32>) = (hw.handle("a").unwrap(), hw.handle("b").unwrap());
    for n in 1..=50u32 {
        let revision = source.commit([testing::put("a", n), testing::put("b", n)]);
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!((*a.load(), *b.load(), hw.view().revision()), (n, n, revision));
    }
}

#[tokio::test]
async fn a_deletion_goes_back_to_the_default_and_deleting_nothing_changes_nothing() {
    let source = Source::new();
    source.put("n", 1);
    let hw = source.client();
    let n = hw.bind("n").default(7u32).build();
    let mut changes = n.subscribe();
    soon(hw.wait_for(source.delete("n"))).await.unwrap();
    assert_eq!((*soon(changes.changed()).await.unwrap(), n.is_deleted()), (7, true));
    let revision = source.delete("n");
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(hw.status().processed_revision, revision);
    let none = tokio::time::timeout(std::time::Duration::ZERO, changes.changed()).await;
    assert!(none.is_err(), "nothing changed");
}

#[tokio::test]
async fn bad_values_are_refused_and_the_next_good_one_is_taken() {
    let source = Source::new();
    source.put("n", 1);
    let hw = source.client();
    let n: Handle<u32> = hw.handle("n").unwrap();
    for bad in [
        testing::put("n", "many"),
        testing::raw("n", "application/json", "{"),
        testing::text("n", "2"),
    ] {
        soon(hw.wait_for(source.commit([bad]))).await.unwrap();
        assert_eq!(*n.load(), 1);
        assert!(n.rejected().is_some());
    }
    soon(hw.wait_for(source.put("n", 2))).await.unwrap();
    assert_eq!((*n.load(), n.rejected()), (2, None));
}

#[tokio::test]
async fn an_outage_makes_clients_stale_and_what_was_committed_meanwhile_comes_after_it() {
    let source = Source::new();
    source.put("n", 0);
    let hw = source.client();
    let n: Handle<u32> = hw.handle("n").unwrap();
    for round in 1..=3u32 {
        source.outage("the cable is cut");
        let status = soon(until(&hw, |status| status.stale)).await;
        assert!(status.last_error.unwrap().contains("the cable is cut"));
        let revision = source.put("n", round);
        assert_eq!(*n.load(), round - 1);
        source.back();
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!(*n.load(), round);
        soon(until(&hw, |status| !status.stale)).await;
    }
}

#[tokio::test]
async fn a_service_whose_source_is_away_at_the_start_fails_with_the_reason_or_starts_empty() {
    let source = Source::new();
    source.put("n", 1);
    source.outage("nobody is there");
    let briefly = std::time::Duration::from_millis(100);
    let builder = source.builder().namespaces(["test"]).startup_timeout(briefly);
    let refused = builder.clone().connect().await.unwrap_err();
    assert!(refused.to_string().contains("nobody is there"), "{refused}");
    let hw = builder.allow_empty().connect().await.unwrap();
    let n = hw.bind("n").default(0u32).build();
    assert_eq!(*n.load(), 0);
    source.back();
    soon(hw.wait_for(source.put("n", 2))).await.unwrap();
    assert_eq!(*n.load(), 2);
}

#[tokio::test]
async fn clients_of_one_source_agree() {
    let source = Source::new();
    let (one, two) = (source.client(), source.clone().client());
    let revision = source.put("n", 1);
    for hw in [&one, &two] {
        soon(hw.wait_for(revision)).await.unwrap();
    }
    let of = |status: headwater::Status| (status.stream_id, status.revision, status.digest);
    assert_eq!(of(one.status()), of(two.status()));
}
