//! `POST /v1/rollback`, row by row.

use headwater_tests::http::{Answer, Ask};
use headwater_tests::on_both_logs;
use headwater_tests::stand::Stand;
use serde_json::{Value, json};

use crate::{Desk, commit};

impl Desk {
    /// `POST /v1/rollback` in this namespace with these fields.
    fn rollback_of(&self, fields: &Value) -> Ask {
        let mut body = json!({ "namespace": self.namespace, "reason": "it was better before" });
        let given = fields.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(given);
        Ask::post("/v1/rollback", &body)
    }

    async fn rollback(&self, fields: Value) -> Answer {
        self.ask(self.rollback_of(&fields)).await
    }
}

fn changes(receipt: &Answer) -> Vec<(String, String)> {
    let receipt: Value = receipt.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = receipt["changes"].as_array().unwrap().iter();
    changes.map(|change| (text(&change["key"]), text(&change["op"]))).collect()
}

on_both_logs! {
    async fn a_rollback_is_a_new_commit_that_restores_values_types_and_deletions(log) {
        let desk = Desk::on(log);
        desk.put("db/pool", "20").await;
        let plain = Ask::put(desk.path("db/typed"), "7").header("Content-Type", "text/plain");
        desk.ask(plain).await.is(201);
        let good = desk.put("db/gone", "1").await;
        desk.put("db/pool", "2000").await;
        desk.put("db/typed", "7").await;
        desk.ask(Ask::delete(desk.path("db/gone"))).await.is(200);
        desk.put("db/new", "1").await;
        desk.put("other", "1").await;
        let back = desk.rollback(json!({ "prefix": "db/", "to_revision": good })).await.is(200);
        let wanted = [("db/gone", "put"), ("db/new", "delete"), ("db/pool", "put"), ("db/typed", "put")];
        let wanted: Vec<_> = wanted.iter().map(|(key, op)| (key.to_string(), op.to_string())).collect();
        assert_eq!(changes(&back), wanted);
        let held: Vec<_> = desk.held().await;
        let keys: Vec<_> = held.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        assert_eq!(keys, [("db/gone", json!(1)), ("db/pool", json!(20)), ("db/typed", json!("7")), ("other", json!(1))]);
        assert_eq!(desk.get("db/typed").await.header("content-type"), "text/plain");
        let receipt: Value = back.json();
        let revision = receipt["revision"].as_u64().unwrap();
        assert_eq!(back.header("headwater-revision"), revision.to_string());
        let page = Ask::get(format!("/v1/commits?after={}&limit=1", revision - 1));
        let listed: Value = desk.ask(page).await.is(200).json();
        let commit = &listed["commits"][0];
        assert_eq!(commit["attributes"]["rollback_to"], good.to_string());
        assert_eq!((&commit["reason"], &commit["commit_id"]), (&json!("it was better before"), &receipt["commit_id"]));
        // The rollback of the rollback.
        let again = desk.rollback(json!({ "to_revision": revision - 1 })).await.is(200);
        assert_eq!(changes(&again).len(), 4);
        assert_eq!(desk.get("db/gone").await.status, 404);
        assert_eq!(desk.get("db/pool").await.text(), "2000");
        assert_eq!(desk.get("db/typed").await.header("content-type"), "application/json");
    }

    async fn a_rollback_where_nothing_differs_answers_the_head_and_makes_no_commit(log) {
        let stand = Stand::start(log);
        stand.ask(Ask::put("/v1/config/app/k", "1")).await.is(201);
        let before = stand.status().await;
        let body = json!({ "namespace": "app", "to_revision": 1, "reason": "r" });
        let answer = stand.ask(Ask::post("/v1/rollback", &body).keyed("nothing")).await.is(200);
        let receipt: Value = answer.json();
        assert_eq!(receipt["revision"], before.revision);
        assert_eq!(receipt["hash"], before.hash.to_string());
        assert_eq!((&receipt["commit_id"], &receipt["changes"]), (&Value::Null, &json!([])));
        assert_eq!(answer.header("etag"), "");
        assert_eq!(stand.status().await.revision, before.revision);
        // Only requests that made a commit are remembered: the same request is judged anew.
        stand.ask(Ask::put("/v1/config/app/k", "2")).await.is(200);
        let again = stand.ask(Ask::post("/v1/rollback", &body).keyed("nothing")).await.is(200);
        assert_eq!((again.header("idempotent-replayed"), changes(&again).len()), ("", 1));
    }

    async fn a_dry_run_of_a_rollback_shows_the_changes_and_writes_nothing(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        let last = desk.put("k", "2").await;
        let body = json!({ "namespace": desk.namespace, "key": "k", "to_revision": first, "reason": "r", "base_revision": first });
        let shown: Value = desk.ask(Ask::post("/v1/rollback?dry_run=true", &body)).await.is(200).json();
        assert_eq!(shown["would_succeed"], false);
        assert_eq!(shown["changes"][0]["kind"], "changed");
        assert_eq!((&shown["changes"][0]["old"]["value"], &shown["changes"][0]["new"]["value"]), (&json!(2), &json!(1)));
        assert_eq!(shown["failures"][0]["expected"], json!({ "base_revision": first }));
        assert_eq!(shown["failures"][0]["current_revision"], last);
        assert_eq!(desk.get("k").await.text(), "2");
    }

    async fn a_base_revision_that_was_passed_is_a_conflict_with_every_failure(log) {
        let desk = Desk::on(log);
        let both = [desk.change("a", &json!(1)), desk.change("b", &json!(1))];
        let first = desk.ask(commit(&both)).await.is(200).revision();
        desk.put("a", "2").await;
        let base = desk.put("b", "2").await;
        let a = desk.put("a", "3").await;
        desk.ask(Ask::delete(desk.path("b"))).await.is(200);
        let asked = json!({ "to_revision": first, "base_revision": base });
        let conflict = desk.rollback(asked).await.is_problem(409, "conflict");
        let failure = |index: usize, key: &str, current: u64| json!({
            "index": index, "namespace": desk.namespace, "key": key,
            "expected": { "base_revision": base }, "current_revision": current,
        });
        assert_eq!(conflict["failures"], json!([failure(0, "a", a), failure(1, "b", 0)]));
        desk.rollback(json!({ "to_revision": first, "base_revision": a + 1 })).await.is(200);
    }

    async fn more_than_one_commit_holds_is_413_with_limit_and_actual_and_goes_in_steps(log) {
        let desk = Desk::on(log);
        for side in ["a", "b"] {
            let many: Vec<_> = (0..600).map(|i| desk.change(&format!("{side}/{i:03}"), &json!(i))).collect();
            desk.ask(commit(&many)).await.is(200);
        }
        let problem = desk.rollback(json!({ "to_revision": 0 })).await.is_problem(413, "too_many_changes");
        assert_eq!((&problem["limit"], &problem["actual"]), (&json!(1_000), &json!(1_200)));
        assert!(problem["detail"].as_str().unwrap().contains("prefix"), "{problem}");
        assert_eq!(desk.held().await.len(), 1_000, "nothing was half done");
        for side in ["a/", "b/"] {
            let step = desk.rollback(json!({ "prefix": side, "to_revision": 0 })).await.is(200);
            assert_eq!(changes(&step).len(), 600);
        }
        assert_eq!(desk.held().await, []);
    }

    async fn what_a_rollback_may_not_ask_is_refused_by_its_code(log) {
        let desk = Desk::on(log);
        let head = desk.put("k", "1").await;
        for (fields, status, code) in [
            (json!({ "to_revision": head + 1_000_000 }), 404, "revision_in_future"),
            (json!({ "to_revision": 1, "base_revision": head + 1_000_000 }), 404, "revision_in_future"),
            (json!({ "to_revision": 1, "key": "k", "prefix": "k" }), 400, "invalid_request"),
            (json!({ "to_revision": 1, "keys": ["k"] }), 400, "invalid_request"),
            (json!({ "to_revision": 1, "reason": "" }), 400, "invalid_request"),
            (json!({ "to_revision": "1" }), 400, "invalid_request"),
            (json!({ "to_revision": -1 }), 400, "invalid_request"),
            (json!({}), 400, "invalid_request"),
            (json!({ "to_revision": 1, "key": "a//b" }), 400, "invalid_name"),
            (json!({ "to_revision": 1, "namespace": "Upper" }), 400, "invalid_name"),
            (json!({ "to_revision": 1, "namespace": "_schemas" }), 403, "reserved_namespace"),
        ] {
            println!("{fields}");
            desk.rollback(fields).await.is_problem(status, code);
        }
        let good = json!({ "to_revision": head });
        let ask = || desk.rollback_of(&good);
        desk.ask(ask().header("Content-Type", "text/plain")).await.is_problem(415, "unsupported_media_type");
        desk.ask(ask().header("If-Match", "\"1\"")).await.is_problem(400, "invalid_request");
        desk.ask(ask().body("{")).await.is_problem(400, "invalid_json");
        desk.ask(Ask::post("/v1/rollback?dry=true", &good)).await.is_problem(400, "invalid_request");
        desk.ask(Ask::get("/v1/rollback")).await.is_problem(405, "method_not_allowed");
        assert_eq!(desk.get("k").await.text(), "1");
    }

    async fn a_rollback_under_an_idempotency_key_lands_once(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        desk.put("k", "2").await;
        let ask = desk.rollback_of(&json!({ "to_revision": first, "key": "k" })).keyed(&desk.namespace);
        let done = desk.ask(ask.clone()).await.is(200);
        desk.put("k", "3").await;
        let again = desk.ask(ask.clone()).await.is(200);
        assert_eq!((again.body.clone(), again.header("idempotent-replayed")), (done.body, "true"));
        assert_eq!(desk.get("k").await.text(), "3");
        let other = desk.rollback_of(&json!({ "to_revision": first })).keyed(&desk.namespace);
        desk.ask(other).await.is_problem(422, "idempotency_key_reused");
    }

    async fn the_reason_may_stand_in_the_header_and_the_actor_in_either(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        desk.put("k", "2").await;
        let body = json!({ "namespace": desk.namespace, "to_revision": first, "actor": "ada" });
        desk.ask(Ask::post("/v1/rollback", &body)).await.is_problem(400, "invalid_request");
        let ask = Ask::post("/v1/rollback", &body).header("Headwater-Reason", "caf%C3%A9");
        let revision = desk.ask(ask).await.is(200).revision();
        let page = Ask::get(format!("/v1/commits?after={}&limit=1", revision - 1));
        let listed: Value = desk.ask(page).await.is(200).json();
        assert_eq!((&listed["commits"][0]["reason"], &listed["commits"][0]["actor"]), (&json!("café"), &json!("ada")));
    }

    async fn a_server_that_was_restarted_goes_back_to_before_its_start(log) {
        let mut stand = Stand::start(log);
        stand.ask(Ask::put("/v1/config/app/a", "1")).await.is(201);
        stand.ask(Ask::put("/v1/config/app/b", "1")).await.is(201);
        stand.ask(Ask::put("/v1/config/app/a", "2")).await.is(200);
        stand.ask(Ask::delete("/v1/config/app/b")).await.is(200);
        stand.server.kill9();
        stand.server.restart();
        let body = json!({ "namespace": "app", "to_revision": 2, "reason": "r", "base_revision": 4 });
        let answer = stand.ask(Ask::post("/v1/rollback", &body)).await.is(200);
        assert_eq!((answer.revision(), changes(&answer).len()), (5, 2));
        assert_eq!(stand.ask(Ask::get("/v1/config/app/a")).await.text(), "1");
        assert_eq!(stand.ask(Ask::get("/v1/config/app/b")).await.text(), "1");
    }
}
