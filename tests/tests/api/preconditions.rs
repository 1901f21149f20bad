//! `If-Match`, `If-None-Match`, `expect`, `expects`, `base_revision`.

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use serde_json::{Value, json};

use crate::{Desk, commit};

on_both_logs! {
    async fn if_match_writes_only_over_the_revision_it_names(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        let over = |revision: u64, value: &str| {
            Ask::put(desk.path("k"), value.to_owned()).header("If-Match", format!("\"{revision}\""))
        };
        let second = desk.ask(over(first, "2")).await.is(200).revision();
        let refused = desk.ask(over(first, "3")).await;
        let problem = refused.is_problem(412, "precondition_failed");
        assert_eq!(problem["current_revision"], second);
        assert_eq!(refused.header("etag"), format!("\"{second}\""));
        assert_eq!(desk.get("k").await.text(), "2");
        let stale = Ask::delete(desk.path("k")).header("If-Match", format!("\"{first}\""));
        desk.ask(stale).await.is_problem(412, "precondition_failed");
        let fresh = Ask::delete(desk.path("k")).header("If-Match", format!("\"{first}\", \"{second}\""));
        desk.ask(fresh).await.is(200);
    }

    async fn if_match_star_needs_the_key_and_if_none_match_star_its_absence(log) {
        let desk = Desk::on(log);
        let put = || Ask::put(desk.path("k"), "1");
        let problem = desk.ask(put().header("If-Match", "*")).await.is_problem(412, "precondition_failed");
        assert_eq!(problem["current_revision"], 0);
        let revision = desk.ask(put().header("If-None-Match", "*")).await.is(201).revision();
        let refused = desk.ask(put().header("If-None-Match", "*")).await;
        assert_eq!(refused.is_problem(412, "precondition_failed")["current_revision"], revision);
        assert_eq!(refused.header("etag"), format!("\"{revision}\""));
        desk.ask(put().header("If-Match", "*")).await.is(200);
    }

    async fn an_unquoted_or_weak_if_match_is_400_with_a_hint(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        for wrong in [revision.to_string(), format!("W/\"{revision}\"")] {
            let put = Ask::put(desk.path("k"), "2").header("If-Match", wrong);
            let problem = desk.ask(put).await.is_problem(400, "invalid_request");
            assert!(problem["detail"].to_string().to_lowercase().contains("if-match"), "{problem}");
        }
        assert_eq!(desk.get("k").await.text(), "1");
    }

    async fn a_read_with_if_match_is_412_where_the_value_is_another(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let ask = |method: &str, tag: &str| Ask::new(method, desk.path("k")).header("If-Match", tag);
        for holds in ["*", &*format!("\"{revision}\""), &*format!("\"0\", \"{revision}\"")] {
            assert_eq!(desk.ask(ask("GET", holds)).await.is(200).text(), "1");
            desk.ask(ask("HEAD", holds)).await.is(200);
        }
        let other = desk.ask(ask("GET", "\"0\"")).await;
        assert_eq!(other.is_problem(412, "precondition_failed")["current_revision"], revision);
        assert_eq!(other.header("etag"), format!("\"{revision}\""));
        desk.ask(ask("HEAD", "\"0\"")).await.is(412);
        for wrong in [revision.to_string(), format!("W/\"{revision}\"")] {
            desk.ask(ask("GET", &wrong)).await.is_problem(400, "invalid_request");
        }
        desk.ask(Ask::get(desk.path("absent")).header("If-Match", "*")).await.is_problem(404, "key_not_found");
    }

    async fn a_condition_that_contradicts_or_cannot_be_read_is_400_and_a_delete_has_them_too(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let ours = format!("\"{revision}\"");
        for ask in [Ask::put(desk.path("k"), "2"), Ask::delete(desk.path("k"))] {
            for (name, wrong) in [
                ("If-Match", ""), ("If-Match", "\""), ("If-Match", "* , \"1\""), ("If-Match", "'1'"), ("If-Match", "w/\"1\""),
                ("If-Match", "\"1\" \"2\""), ("If-None-Match", "1"), ("If-None-Match", ""),
            ] {
                desk.ask(ask.clone().header(name, wrong)).await.is_problem(400, "invalid_request");
            }
            let both = ask.clone().header("If-Match", &ours).header("If-None-Match", "*");
            desk.ask(both).await.is_problem(400, "invalid_request");
            for (name, fails) in [("If-Match", "\"0\""), ("If-Match", "\"18446744073709551616\""), ("If-Match", "\"01\""), ("If-None-Match", "*"), ("If-None-Match", &*ours)] {
                let refused = desk.ask(ask.clone().header(name, fails)).await;
                assert_eq!(refused.is_problem(412, "precondition_failed")["current_revision"], revision, "{name}: {fails}");
                assert_eq!(refused.header("etag"), ours);
            }
        }
        let gone = Ask::delete(desk.path("absent"));
        let refused = desk.ask(gone.clone().header("If-Match", "*")).await;
        assert_eq!(refused.is_problem(412, "precondition_failed")["current_revision"], 0);
        assert_eq!(refused.header("etag"), "");
        desk.ask(gone.header("If-None-Match", "*")).await.is_problem(404, "key_not_found");
        // A set has no tag: there a header would guard nothing.
        for name in ["If-Match", "If-None-Match"] {
            desk.ask(commit(&[desk.change("k", &json!(2))]).header(name, "*")).await.is_problem(400, "invalid_request");
        }
        assert_eq!(desk.get("k").await.text(), "1");
    }

    async fn a_conflict_tells_every_failure_and_writes_nothing(log) {
        let desk = Desk::on(log);
        let there = desk.put("there", "1").await;
        let expecting = |key: &str, expect: Value| {
            json!({ "namespace": desk.namespace, "key": key, "put": { "value": 9 }, "expect": expect })
        };
        let body = json!({
            "changes": [
                expecting("fine", json!({ "absent": true })),
                expecting("there", json!({ "revision": there + 1_000_000 })),
                expecting("missing", json!({ "exists": true })),
                desk.deletion("nowhere"),
            ],
            "expects": [
                { "namespace": desk.namespace, "key": "guard", "exists": true },
                { "namespace": desk.namespace, "key": "other", "absent": true },
            ],
        });
        let problem = desk.ask(Ask::post("/v1/commits", &body)).await.is_problem(409, "conflict");
        let failures = problem["failures"].as_array().unwrap();
        let failure = |key: &str| {
            let found = failures.iter().find(|failure| failure["key"] == key);
            found.unwrap_or_else(|| panic!("{key}: {problem}"))
        };
        assert_eq!(failures.len(), 4, "{problem}");
        assert_eq!(failure("there")["index"], 1);
        assert_eq!(failure("there")["expected"], json!({ "revision": there + 1_000_000 }));
        assert_eq!(failure("there")["current_revision"], there);
        assert_eq!(failure("missing")["expected"], json!({ "exists": true }));
        assert_eq!(failure("missing")["current_revision"], 0);
        assert_eq!(failure("nowhere")["index"], 3);
        assert_eq!(failure("guard")["index"], Value::Null);
        assert_eq!(desk.held().await, [("there".to_owned(), json!(1))]);
    }

    async fn preconditions_that_hold_let_a_commit_through(log) {
        let desk = Desk::on(log);
        let there = desk.put("there", "1").await;
        let body = json!({
            "changes": [
                { "namespace": desk.namespace, "key": "there", "put": { "value": 2 }, "expect": { "revision": there } },
                { "namespace": desk.namespace, "key": "new", "put": { "value": 3 }, "expect": { "absent": true } },
            ],
            "expects": [{ "namespace": desk.namespace, "key": "nobody", "absent": true }],
        });
        desk.ask(Ask::post("/v1/commits", &body)).await.is(200);
        assert_eq!(desk.held().await, [("new".to_owned(), json!(3)), ("there".to_owned(), json!(2))]);
    }

    async fn base_revision_refuses_what_changed_after_it_deleted_keys_too(log) {
        let desk = Desk::on(log);
        desk.put("still", "1").await;
        desk.put("gone", "1").await;
        let base = desk.put("changed", "1").await;
        let changed = desk.put("changed", "2").await;
        desk.ask(Ask::delete(desk.path("gone"))).await.is(200);
        let write = |key: &str| json!({ "changes": [desk.change(key, &json!(9))], "base_revision": base });
        for key in ["changed", "gone"] {
            let problem = desk.ask(Ask::post("/v1/commits", &write(key))).await.is_problem(409, "conflict");
            assert_eq!(problem["failures"][0]["expected"], json!({ "base_revision": base }), "{problem}");
        }
        desk.ask(Ask::post("/v1/commits", &write("still"))).await.is(200);
        desk.ask(Ask::post("/v1/commits", &write("never-there"))).await.is(200);
        assert_eq!(desk.get("changed").await.header("etag"), format!("\"{changed}\""));
        let future = json!({ "changes": [desk.change("still", &json!(9))], "base_revision": changed + 1_000_000 });
        desk.ask(Ask::post("/v1/commits", &future)).await.is_problem(404, "revision_in_future");
    }

    async fn of_writers_that_expect_the_same_revision_one_wins(log) {
        let desk = Desk::on(log);
        for round in 0..5 {
            let revision = desk.put("k", "0").await;
            let tries = (0..8).map(|value| {
                let put = Ask::put(desk.path("k"), (round * 8 + value).to_string());
                let stand = desk.stand;
                tokio::spawn(stand.ask(put.header("If-Match", format!("\"{revision}\""))))
            });
            let mut won = 0;
            for answer in tries.collect::<Vec<_>>() {
                let answer = answer.await.unwrap();
                match answer.status {
                    200 => won += 1,
                    _ => drop(answer.is_problem(412, "precondition_failed")),
                }
            }
            assert_eq!(won, 1, "round {round}");
        }
    }

    async fn deleting_an_absent_key_fails_a_whole_commit(log) {
        let desk = Desk::on(log);
        let changes = [desk.change("a", &json!(1)), desk.deletion("absent")];
        let problem = desk.ask(commit(&changes)).await.is_problem(409, "conflict");
        assert_eq!((&problem["failures"][0]["index"], &problem["failures"][0]["key"]), (&json!(1), &json!("absent")));
        desk.get("a").await.is_problem(404, "key_not_found");
    }
}
