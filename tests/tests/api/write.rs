//! The table "Write".

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use serde_json::{Value, json};

use crate::{Desk, commit};

on_both_logs! {
    async fn a_put_of_a_new_key_is_201_with_its_location_tag_and_receipt(log) {
        let desk = Desk::on(log);
        let path = desk.path("db/pool");
        let answer = desk.ask(Ask::put(&path, "{\"max\":20}")).await.is(201);
        let revision = answer.revision();
        assert_eq!(answer.header("location"), path);
        assert_eq!(answer.header("etag"), format!("\"{revision}\""));
        assert_eq!(answer.header("headwater-revision"), revision.to_string());
        let receipt: Value = answer.json();
        assert_eq!(receipt["version"], 1);
        assert_eq!(
            receipt["changes"],
            json!([{ "namespace": desk.namespace, "key": "db/pool", "op": "put", "version": 1 }])
        );
        for (field, length) in [("hash", 64), ("commit_id", 36), ("at", 24)] {
            assert_eq!(receipt[field].as_str().map(str::len), Some(length), "{field}: {receipt}");
        }
        let read = desk.get("db/pool").await.is(200);
        assert_eq!((read.text().as_str(), read.header("content-type")), ("{\"max\":20}", "application/json"));
    }

    async fn a_put_of_the_same_bytes_again_is_200_and_a_commit_like_any_other(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        let again = desk.ask(Ask::put(desk.path("k"), "1")).await.is(200);
        assert!(again.revision() > first);
        assert_eq!(again.header("location"), "");
        assert_eq!(again.json::<Value>()["version"], 2);
    }

    async fn a_delete_is_200_and_of_an_absent_key_404_and_no_commit(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let gone = desk.ask(Ask::delete(desk.path("k"))).await.is(200);
        assert_eq!(
            gone.json::<Value>()["changes"],
            json!([{ "namespace": desk.namespace, "key": "k", "op": "delete" }])
        );
        desk.get("k").await.is_problem(404, "key_not_found");
        let absent = desk.ask(Ask::delete(desk.path("k")).header("Headwater-Actor", &desk.namespace)).await;
        absent.is_problem(404, "key_not_found");
        let commits: Value = desk.ask(Ask::get(format!("/v1/commits?actor={}", desk.namespace))).await.is(200).json();
        assert_eq!(commits["commits"], json!([]));
        // A key that comes back begins anew.
        let back = desk.ask(Ask::put(desk.path("k"), "2")).await.is(201);
        assert_eq!(back.json::<Value>()["version"], 1);
    }

    async fn a_value_is_bytes_and_kept_exactly(log) {
        let desk = Desk::on(log);
        let json = " { \"a\" :1.10,\n \"b\": [ ] } ";
        desk.put("json", json).await;
        assert_eq!(desk.get("json").await.text(), json);
        let bytes: Vec<u8> = (0..=255).collect();
        let put = Ask::put(desk.path("bytes"), bytes.clone()).header("Content-Type", "application/octet-stream");
        desk.ask(put).await.is(201);
        let read = desk.get("bytes").await.is(200);
        assert_eq!((read.body.as_ref(), read.header("content-type")), (&bytes[..], "application/octet-stream"));
        let put = Ask::put(desk.path("text"), "grüß").header("Content-Type", "text/plain; charset=utf-8");
        desk.ask(put).await.is(201);
        assert_eq!(desk.get("text").await.header("content-type"), "text/plain; charset=utf-8");
        let empty = Ask::put(desk.path("empty"), "").header("Content-Type", "text/plain");
        desk.ask(empty).await.is(201);
        assert_eq!(desk.get("empty").await.is(200).body.len(), 0);
    }

    async fn what_curl_sends_by_default_counts_as_json(log) {
        let desk = Desk::on(log);
        let form = "application/x-www-form-urlencoded";
        desk.ask(Ask::put(desk.path("k"), "42").header("Content-Type", form)).await.is(201);
        assert_eq!(desk.get("k").await.header("content-type"), "application/json");
        desk.ask(Ask::put(desk.path("k"), "a=b").header("Content-Type", form)).await.is_problem(400, "invalid_json");
    }

    async fn what_is_no_json_is_refused_with_line_and_column(log) {
        let desk = Desk::on(log);
        for content_type in ["", "application/json", "application/problem+json"] {
            let mut put = Ask::put(desk.path("k"), "{\n  \"a\": oops }");
            if !content_type.is_empty() {
                put = put.header("Content-Type", content_type);
            }
            let problem = desk.ask(put).await.is_problem(400, "invalid_json");
            assert_eq!((&problem["line"], problem["column"].is_u64()), (&json!(2), true), "{problem}");
        }
        desk.get("k").await.is_problem(404, "key_not_found");
    }

    async fn a_commit_is_one_revision_for_all_its_changes(log) {
        let desk = Desk::on(log);
        let before = desk.put("gone", "1").await;
        let changes = [
            desk.change("a", &json!({ "x": 1 })),
            json!({ "namespace": desk.namespace, "key": "t", "put": { "content_type": "text/plain", "value": "hello" } }),
            json!({ "namespace": desk.namespace, "key": "b", "put": { "content_type": "image/png", "value_base64": "AAH/" } }),
            json!({ "namespace": desk.namespace, "key": "n", "put": { "value": null } }),
            desk.deletion("gone"),
        ];
        let body = json!({ "changes": changes, "actor": "ada", "reason": "all at once", "attributes": { "ticket": "HW-1" } });
        let answer = desk.ask(Ask::post("/v1/commits", &body)).await.is(200);
        let revision = answer.revision();
        assert!(revision > before);
        for (key, value) in [("a", "{\"x\":1}"), ("t", "hello"), ("n", "null")] {
            let read = desk.get(key).await.is(200);
            assert_eq!((read.text().as_str(), read.header("etag")), (value, &*format!("\"{revision}\"")));
        }
        assert_eq!(desk.get("b").await.body.as_ref(), [0, 1, 255]);
        desk.get("gone").await.is_problem(404, "key_not_found");
        let listed: Value = desk.ask(Ask::get(format!("/v1/commits?after={}&limit=1", revision - 1))).await.is(200).json();
        let commit = &listed["commits"][0];
        let told = [&commit["revision"], &commit["actor"], &commit["reason"], &commit["attributes"]["ticket"]];
        assert_eq!(told, [&json!(revision), &json!("ada"), &json!("all at once"), &json!("HW-1")]);
        assert_eq!(commit["hash"], answer.json::<Value>()["hash"]);
    }

    async fn provenance_comes_from_headers_percent_encoded_too_and_is_anonymous_by_default(log) {
        let desk = Desk::on(log);
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let put = Ask::put(desk.path("k"), "1")
            .header("Headwater-Actor", "Gr%C3%A9ta")
            .header("Headwater-Reason", "because%20of%20it")
            .header("traceparent", trace);
        let one = desk.ask(put).await.is(201).revision();
        let two = desk.put("k", "2").await;
        let commit = |revision: u64| async move {
            let target = format!("/v1/commits?after={}&limit=1", revision - 1);
            let page: Value = Desk::on(log).ask(Ask::get(target)).await.is(200).json();
            page["commits"][0].clone()
        };
        let told = commit(one).await;
        assert_eq!((&told["actor"], &told["reason"]), (&json!("Gréta"), &json!("because of it")));
        assert_eq!(told["attributes"]["traceparent"], trace);
        assert_eq!(commit(two).await["actor"], "anonymous");
    }

    async fn a_commit_holds_1_to_1000_changes_of_different_keys(log) {
        let desk = Desk::on(log);
        let many = |count: usize| -> Vec<Value> {
            (0..count).map(|key| desk.change(&format!("k{key}"), &json!(key))).collect()
        };
        desk.ask(commit(&[])).await.is_problem(400, "invalid_request");
        let twice = [desk.change("k", &json!(1)), desk.deletion("k")];
        desk.ask(commit(&twice)).await.is_problem(400, "invalid_request");
        let problem = desk.ask(commit(&many(1_001))).await.is_problem(413, "too_many_changes");
        assert_eq!((&problem["limit"], &problem["actual"]), (&json!(1_000), &json!(1_001)));
        assert_eq!(desk.held().await, [], "a refused commit changes nothing");
        desk.ask(commit(&many(1_000))).await.is(200);
        assert_eq!(desk.held().await.len(), 1_000);
    }

    async fn a_value_holds_256_kib_and_a_commit_512_kib(log) {
        let desk = Desk::on(log);
        let text = |bytes: usize| Ask::put(desk.path("k"), vec![b'x'; bytes]).header("Content-Type", "text/plain");
        desk.ask(text(256 * 1024)).await.is(201);
        let problem = desk.ask(text(256 * 1024 + 1)).await.is_problem(413, "value_too_large");
        assert_eq!((&problem["limit"], &problem["actual"]), (&json!(262_144), &json!(262_145)));
        let large = json!("y".repeat(200 * 1024));
        let three = ["a", "b", "c"].map(|key| desk.change(key, &large));
        let problem = desk.ask(commit(&three)).await.is_problem(413, "commit_too_large");
        assert_eq!(problem["limit"], 524_288);
        assert!(problem["actual"].as_u64() > Some(600_000), "{problem}");
        desk.ask(commit(&three[..2])).await.is(200);
        desk.get("c").await.is_problem(404, "key_not_found");
    }

    async fn a_dry_run_says_what_would_be_and_writes_nothing(log) {
        let desk = Desk::on(log);
        let revision = desk.put("old", "1").await;
        desk.put("gone", "2").await;
        let changes = [desk.change("old", &json!(10)), desk.change("new", &json!(3)), desk.deletion("gone")];
        let body = json!({ "changes": changes });
        let before = desk.held().await;
        let told: Value = desk.ask(Ask::post("/v1/commits?dry_run=true", &body)).await.is(200).json();
        assert_eq!((&told["would_succeed"], &told["failures"]), (&json!(true), &json!([])));
        assert!(told["revision"].as_u64() > Some(revision));
        let kind = |key: &str| {
            let change = told["changes"].as_array().unwrap().iter().find(|change| change["key"] == key).unwrap();
            (change["kind"].clone(), change["old"]["value"].clone(), change["new"]["value"].clone())
        };
        assert_eq!(kind("old"), (json!("changed"), json!(1), json!(10)));
        assert_eq!(kind("new"), (json!("added"), Value::Null, json!(3)));
        assert_eq!(kind("gone"), (json!("removed"), json!(2), Value::Null));

        let guarded = json!({ "changes": [desk.change("old", &json!(0)), desk.deletion("absent")],
            "expects": [{ "namespace": desk.namespace, "key": "nowhere", "exists": true }] });
        let told: Value = desk.ask(Ask::post("/v1/commits?dry_run=true", &guarded)).await.is(200).json();
        assert_eq!(told["would_succeed"], false);
        assert_eq!(told["failures"].as_array().map(Vec::len), Some(2), "{told}");
        assert_eq!(desk.held().await, before);
        // It takes no idempotency key away either.
        let key = uuid::Uuid::new_v4().to_string();
        desk.ask(Ask::post("/v1/commits?dry_run=true", &body).keyed(&key)).await.is(200);
        desk.ask(Ask::post("/v1/commits", &body).keyed(&key)).await.is(200);
    }
}
