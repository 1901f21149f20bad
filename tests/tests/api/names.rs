//! Namespaces and keys, as they stand in paths.

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use serde_json::json;

use crate::{Desk, commit};

on_both_logs! {
    async fn a_slash_and_its_percent_encoding_are_the_same_key(log) {
        let desk = Desk::on(log);
        let revision = desk.put("db/pool", "1").await;
        for same in ["db%2Fpool", "db%2fpool", "%64b/pool"] {
            let read = desk.get(same).await.is(200);
            assert_eq!(read.header("etag"), format!("\"{revision}\""), "{same}");
        }
        desk.ask(Ask::put(desk.path("db%2Fpool"), "2")).await.is(200);
        assert_eq!(desk.held().await, [("db/pool".to_owned(), json!(2))]);
    }

    async fn any_utf_8_may_stand_in_a_key(log) {
        let desk = Desk::on(log);
        let answer = desk.ask(Ask::put(desk.path("gr%C3%BC%C3%9Fe/%F0%9F%91%8B%20a+b%25"), "1")).await.is(201);
        assert_eq!(desk.held().await, [("grüße/👋 a+b%".to_owned(), json!(1))]);
        // The location leads back to it.
        let location = answer.header("location").to_owned();
        desk.ask(Ask::get(location)).await.is(200);
        let longest = "k".repeat(512);
        desk.put(&longest, "1").await;
        desk.get(&longest).await.is(200);
    }

    async fn what_is_no_key_is_400(log) {
        let desk = Desk::on(log);
        let long = "k".repeat(513);
        for wrong in ["a//b", "a/", "a/../b", "./a", "..", "%2E%2E/x", "a%00b", "a%0Ab", "%7F", "%FF", "a%2", &long] {
            for ask in [Ask::get(desk.path(wrong)), Ask::put(desk.path(wrong), "1"), Ask::delete(desk.path(wrong))] {
                let answer = desk.ask(ask).await;
                let problem: serde_json::Value = answer.json();
                let code = problem["code"].as_str().unwrap_or_default();
                assert!(answer.status == 400 && matches!(code, "invalid_name" | "invalid_request"), "{wrong}: {problem}");
            }
        }
        for wrong in ["", "/", "%2F", "a//b", "a%2F", "..", "%00", "%", "%C0%AF", "%ED%A0%80", "%C2%85"] {
            for path in [desk.path(wrong), format!("/v1/history/{}/{wrong}", desk.namespace)] {
                desk.ask(Ask::get(path)).await.is_problem(400, "invalid_name");
            }
        }
        for wrong in ["a//b", "a/../b", "", "a\n"] {
            desk.ask(commit(&[desk.change(wrong, &json!(1))])).await.is_problem(400, "invalid_name");
        }
        assert_eq!(desk.held().await, []);
    }

    async fn what_is_no_namespace_is_400(log) {
        let desk = Desk::on(log);
        let long = "n".repeat(129);
        for wrong in ["A", "a..b", ".a", "a.", "-a", "a b", "a.-b", "%C3%A9", &long] {
            let wrong = wrong.replace(' ', "%20");
            desk.ask(Ask::get(format!("/v1/config/{wrong}/k"))).await.is_problem(400, "invalid_name");
            desk.ask(Ask::put(format!("/v1/config/{wrong}/k"), "1")).await.is_problem(400, "invalid_name");
            desk.ask(Ask::get(format!("/v1/config/{wrong}"))).await.is_problem(400, "invalid_name");
            desk.ask(Ask::get(format!("/v1/history/{wrong}/k"))).await.is_problem(400, "invalid_name");
            desk.ask(Ask::get(format!("/v1/diff/{wrong}?from=0"))).await.is_problem(400, "invalid_name");
            for name in ["/v1/commits?namespace", "/v1/watch?namespaces", "/v1/stream?namespaces"] {
                desk.ask(Ask::get(format!("{name}={wrong}"))).await.is_problem(400, "invalid_name");
            }
        }
        for fine in ["0", "a_b-c.d-", "payments.prod", "pay%6Dents", &long[..128]] {
            desk.ask(Ask::get(format!("/v1/config/{fine}"))).await.is(200);
        }
    }

    async fn the_systems_namespaces_are_written_by_nobody(log) {
        let desk = Desk::on(log);
        let system = "/v1/config/_schemas/0000000000000000";
        desk.ask(Ask::put(system, "1")).await.is_problem(403, "reserved_namespace");
        desk.ask(Ask::delete(system)).await.is_problem(403, "reserved_namespace");
        for read in ["config/_x", "config/_x/k", "history/_x/k", "diff/_x?from=0", "commits?namespace=_x", "watch?namespaces=a,_x", "stream?namespaces=_x"] {
            desk.ask(Ask::get(format!("/v1/{read}"))).await.is_problem(403, "reserved_namespace");
        }
        let back = json!({ "namespace": "_x", "to_revision": 0, "reason": "r" });
        desk.ask(Ask::post("/v1/rollback", &back)).await.is_problem(403, "reserved_namespace");
        let guard = json!({ "changes": [desk.change("k", &json!(1))], "expects": [{ "namespace": "_x", "key": "k", "absent": true }] });
        desk.ask(Ask::post("/v1/commits", &guard)).await.is_problem(403, "reserved_namespace");
        let change = json!({ "namespace": "_anything.else", "key": "k", "put": { "value": 1 } });
        let both = commit(&[desk.change("k", &json!(1)), change]);
        desk.ask(both).await.is_problem(403, "reserved_namespace");
        assert_eq!(desk.held().await, []);
    }
}
