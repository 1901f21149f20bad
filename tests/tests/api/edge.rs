//! What every call refuses, and how.

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use serde_json::json;

use crate::Desk;

on_both_logs! {
    async fn an_unknown_or_doubtful_parameter_is_never_passed_over(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let key = desk.path("k");
        let list = format!("/v1/config/{}", desk.namespace);
        for wrong in [
            format!("{key}?min_revison=3"), format!("{key}?consistency=strong"), format!("{key}?min_revision=-1"),
            format!("{key}?min_revision=1&timeout=90s"), format!("{key}?min_revision=1&timeout=5"),
            format!("{key}?min_revision=1&min_revision=2"),
            format!("{list}?limit=0"), format!("{list}?limit=1001"), format!("{list}?limit=ten"),
            format!("{list}?keys_only=maybe"), format!("{list}?Prefix=a"),
            "/v1/commits?limit=1001".into(), "/v1/commits?ater=3".into(), "/v1/commits?after=x".into(),
            "/v1/namespaces?prefix=a".into(), "/v1/status?verbose=1".into(), "/v1/images/latest?x=1".into(),
            "/v1/stream?from=1".into(), "/healthz?verbose=1".into(), "/readyz?verbose=1".into(), "/metrics?name=x".into(),
        ] {
            desk.ask(Ask::get(&wrong)).await.is_problem(400, "invalid_request");
        }
        desk.ask(Ask::put(format!("{key}?dry_run=true"), "2")).await.is_problem(400, "invalid_request");
        desk.ask(Ask::delete(format!("{key}?force=1"))).await.is_problem(400, "invalid_request");
        assert_eq!(desk.get("k").await.text(), "1");
        // An empty parameter counts as absent.
        desk.ask(Ask::get(format!("{list}?limit=&prefix=&cursor="))).await.is(200);
        desk.ask(Ask::get(format!("{key}?min_revision=&consistency="))).await.is(200);
    }

    async fn an_unknown_field_of_a_body_is_refused(log) {
        let desk = Desk::on(log);
        let change = |more: (&str, serde_json::Value)| {
            let mut change = desk.change("k", &json!(1));
            change[more.0] = more.1;
            json!({ "changes": [change] })
        };
        for wrong in [
            json!({ "changes": [desk.change("k", &json!(1))], "resaon": "a typing error" }),
            change(("expects", json!({ "absent": true }))),
            change(("delete", json!(true))),
            change(("expect", json!({ "absent": true, "exists": true }))),
            json!({ "changes": [{ "namespace": desk.namespace, "key": "k", "put": { "value": 1, "value_base64": "AA==" } }] }),
            json!({ "changes": [{ "namespace": desk.namespace, "key": "k", "put": {} }] }),
            json!({ "changes": [{ "namespace": desk.namespace, "key": "k", "delete": false }] }),
            json!({ "changes": [{ "namespace": desk.namespace, "key": "k" }] }),
        ] {
            let answer = desk.ask(Ask::post("/v1/commits", &wrong)).await;
            assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
        }
        assert_eq!(desk.held().await, []);
        let cut = Ask::post("/v1/commits", &json!({})).body("{\"changes\": [");
        desk.ask(cut).await.is_problem(400, "invalid_json");
    }

    async fn a_post_that_is_not_json_is_415(log) {
        let desk = Desk::on(log);
        let body = json!({ "changes": [desk.change("k", &json!(1))] });
        let post = || Ask::post("/v1/commits", &body);
        for wrong in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
            let wrong = post().header("Content-Type", wrong);
            desk.ask(wrong).await.is_problem(415, "unsupported_media_type");
        }
        let none = Ask::new("POST", "/v1/commits").body(body.to_string());
        desk.ask(none).await.is_problem(415, "unsupported_media_type");
        assert_eq!(desk.held().await, []);
        desk.ask(post().header("Content-Type", "Application/JSON; charset=utf-8")).await.is(200);
    }

    async fn an_unknown_path_is_404_and_an_unknown_method_405_with_allow(log) {
        let desk = Desk::on(log);
        for path in ["/", "/v1", "/v1/", "/v2/status", "/v1/config", "/v1/status/", "/v1/images", "/favicon.ico"] {
            desk.ask(Ask::get(path)).await.is_problem(404, "not_found");
        }
        for (method, path, allowed) in [
            ("POST", desk.path("k"), "PUT"),
            ("PATCH", desk.path("k"), "GET"),
            ("DELETE", "/v1/commits".into(), "POST"),
            ("PUT", "/v1/status".into(), "GET"),
            ("POST", "/v1/stream".into(), "GET"),
        ] {
            let answer = desk.ask(Ask::new(method, &path)).await;
            answer.is_problem(405, "method_not_allowed");
            assert!(answer.header("allow").contains(allowed), "{method} {path}: {}", answer.header("allow"));
        }
    }

    async fn headers_that_are_too_large_are_431(log) {
        let desk = Desk::on(log);
        let one = Ask::get(desk.path("k")).header("X-Large", "x".repeat(20 * 1024));
        desk.ask(one).await.is_problem(431, "headers_too_large");
        // The server is none the worse for it.
        desk.put("k", "1").await;
    }

    async fn a_body_without_end_is_413_and_not_held_in_memory(log) {
        let desk = Desk::on(log);
        let huge = Ask::put(desk.path("k"), vec![b' '; 5 * 1024 * 1024]);
        // It may close before all was sent: then the client sees that instead.
        if let Ok(answer) = desk.stand.connect().await.unwrap().send(&huge).await {
            let problem = answer.is_problem(413, "value_too_large");
            assert_eq!((&problem["limit"], &problem["actual"]), (&json!(262_144), &json!(5 * 1024 * 1024)));
        }
        desk.get("k").await.is_problem(404, "key_not_found");
    }

    async fn every_answer_names_the_revision_and_the_stream(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let stream = desk.stand.status().await.stream_id.to_string();
        let key = || desk.path("k");
        for (status, ask) in [
            (200, Ask::get(key())),
            (200, Ask::new("HEAD", key())),
            (304, Ask::get(key()).header("If-None-Match", "*")),
            (404, Ask::get(desk.path("absent"))),
            (404, Ask::new("HEAD", desk.path("absent"))),
            (412, Ask::get(key()).header("If-Match", "\"0\"")),
            (404, Ask::get(format!("{}?at=99999999", key()))),
            (504, Ask::get(format!("{}?min_revision=99999999&timeout=0s", key()))),
            (409, Ask::get(format!("{}?stream=0", key()))),
            (400, Ask::get(format!("{}?x=1", key()))),
            (400, Ask::get(desk.path("a//b"))),
            (403, Ask::get("/v1/config/_schemas/k")),
            (200, Ask::get(format!("/v1/config/{}", desk.namespace))),
            (200, Ask::get("/v1/namespaces")),
            (200, Ask::get("/v1/commits?limit=1")),
            (400, Ask::get("/v1/commits?cursor=x")),
            (200, Ask::get("/v1/commits/1")),
            (200, Ask::get("/v1/status")),
            (200, Ask::get("/healthz")),
            (200, Ask::get("/readyz")),
            (200, Ask::get("/metrics")),
            (200, Ask::get("/openapi.json")),
            (406, Ask::get("/v1/watch").header("Accept", "text/html")),
            (406, Ask::get("/v1/stream").header("Accept", "text/html")),
            (200, Ask::new("HEAD", "/v1/watch")),
            (200, Ask::new("HEAD", "/v1/stream")),
            (200, Ask::put(key(), "2")),
            (412, Ask::put(key(), "3").header("If-None-Match", "*")),
            (400, Ask::put(key(), "no json")),
            (413, Ask::put(key(), vec![b'1'; 300 << 10])),
            (409, Ask::post("/v1/commits", &json!({ "changes": [desk.deletion("absent")] }))),
            (415, Ask::post("/v1/commits", &json!({})).header("Content-Type", "text/plain")),
            (404, Ask::get("/v1/nowhere")),
            (404, Ask::get("/v1/images/x.hwi")),
            (405, Ask::new("PATCH", key())),
            (405, Ask::new("OPTIONS", key())),
            (431, Ask::get(key()).header("X-Large", "x".repeat(20 << 10))),
        ] {
            let answer = desk.ask(ask.clone()).await.is(status);
            assert_eq!(answer.header("headwater-stream"), stream, "{ask:?}");
            let revision = answer.header("headwater-revision").parse::<u64>();
            assert!(revision.is_ok_and(|revision| revision > 0), "{ask:?}: {:?}", answer.headers);
        }
    }
}
