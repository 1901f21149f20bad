//! The rows of "Write" in the API, through the routes.

use axum::Router;
use axum::body::Body;
use headwater_publisher::{Settings, routes};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Publisher, founded};

struct Server {
    publisher: Publisher,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or(""))
    }
}

impl Server {
    async fn start() -> Self {
        let publisher = Publisher::start(founded().await, Settings::default(), None).await;
        let router = routes(publisher.writer.clone());
        Self { publisher, router }
    }

    async fn call(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn put(&self, key: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.call("PUT", &format!("/v1/config/app/{key}"), headers, body.to_owned()).await
    }

    async fn post(&self, query: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let json = [&[("content-type", "application/json")], headers].concat();
        self.call("POST", &format!("/v1/commits{query}"), &json, body.to_string()).await
    }
}

#[tokio::test]
async fn a_put_creates_with_201_and_replaces_with_200() {
    let server = Server::start().await;
    let made = server.put("db%2Fpool", &[], "{\"n\": 1}").await;
    assert_eq!(made.status, 201);
    assert_eq!(made.header("location"), Some("/v1/config/app/db/pool"));
    assert_eq!(
        (made.header("etag"), made.header("headwater-revision")),
        (Some("\"1\""), Some("1"))
    );
    assert_eq!(made.header("headwater-stream").unwrap().len(), 32);
    assert_eq!(made.body["version"], 1);
    assert_eq!(
        made.body["changes"],
        json!([{"namespace": "app", "key": "db/pool", "op": "put", "version": 1}])
    );
    let again =
        server.put("db/pool", &[("content-type", "application/x-www-form-urlencoded")], "2").await;
    assert_eq!((again.status.as_u16(), again.header("location")), (200, None));
    assert_eq!(again.body["version"], 2);
    assert_eq!(server.publisher.value("db/pool").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_delete_answers_a_receipt_and_404_when_absent() {
    let server = Server::start().await;
    server.put("a", &[], "1").await;
    let gone = server.call("DELETE", "/v1/config/app/a", &[], "").await;
    assert_eq!((gone.status.as_u16(), &gone.body["revision"]), (200, &json!(2)));
    assert!(gone.body.get("version").is_none() && gone.header("etag").is_none());
    let missing = server.call("DELETE", "/v1/config/app/a", &[], "").await;
    assert_eq!(missing.code(), (404, "key_not_found"));
    assert_eq!(
        server.call("DELETE", "/v1/config/app/a", &[], "x").await.code(),
        (400, "invalid_request")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_put_is_told_by_its_code() {
    let server = Server::start().await;
    server.put("a", &[], "1").await;
    for (uri, headers, body, code) in [
        ("/v1/config/App/a", vec![], "1", (400, "invalid_name")),
        ("/v1/config/app/a//b", vec![], "1", (400, "invalid_name")),
        ("/v1/config/_schemas/a", vec![], "1", (403, "reserved_namespace")),
        ("/v1/config/app/a", vec![], "{", (400, "invalid_json")),
        (
            "/v1/config/app/a",
            vec![("content-type", "application/vnd.x+json")],
            "x",
            (400, "invalid_json"),
        ),
        ("/v1/config/app/a", vec![("content-type", "nonsense")], "1", (400, "invalid_request")),
        ("/v1/config/app/a?dry_run=true", vec![], "1", (400, "invalid_request")),
        ("/v1/config/app/a", vec![("if-match", "1")], "1", (400, "invalid_request")),
        ("/v1/config/app/a", vec![("if-match", "W/\"1\"")], "1", (400, "invalid_request")),
        ("/v1/config/app/a", vec![("if-match", "\"9\"")], "1", (412, "precondition_failed")),
        ("/v1/config/app/b", vec![("if-match", "*")], "1", (412, "precondition_failed")),
        ("/v1/config/app/a", vec![("if-none-match", "*")], "1", (412, "precondition_failed")),
        ("/v1/config/app/a", vec![("idempotency-key", "a b")], "1", (400, "invalid_request")),
        ("/v1/config/app/a", vec![("headwater-actor", "%zz")], "1", (400, "invalid_request")),
    ] {
        assert_eq!(server.call("PUT", uri, &headers, body).await.code(), code, "{uri} {headers:?}");
    }
    let failed = server.put("a", &[("if-none-match", "*")], "1").await;
    assert_eq!(
        (failed.header("etag"), &failed.body["current_revision"]),
        (Some("\"1\""), &json!(1))
    );
    let absent = server.put("zz", &[("if-match", "*")], "1").await;
    assert_eq!((absent.header("etag"), &absent.body["current_revision"]), (None, &json!(0)));
    assert_eq!(server.publisher.revision(), 1);
}

#[tokio::test]
async fn limits_are_told_with_limit_and_actual() {
    let server = Server::start().await;
    let large = format!("\"{}\"", "x".repeat(256 * 1024));
    let told = server.put("a", &[], &large).await;
    assert_eq!(told.code(), (413, "value_too_large"));
    assert_eq!((&told.body["limit"], &told.body["actual"]), (&json!(262_144), &json!(262_146)));
    let fits = format!("\"{}\"", "x".repeat(256 * 1024 - 2));
    assert_eq!(server.put("a", &[], &fits).await.status, 201);
    let change = |i: usize, value: &str| json!({"namespace": "app", "key": format!("k{i}"), "put": {"value": value}});
    let many: Vec<_> = (0..1_001).map(|i| change(i, "")).collect();
    let told = server.post("", &[], &json!({"changes": many})).await;
    assert_eq!((told.code(), &told.body["actual"]), ((413, "too_many_changes"), &json!(1_001)));
    let wide: Vec<_> = (0..3).map(|i| change(i, &"x".repeat(200_000))).collect();
    assert_eq!(
        server.post("", &[], &json!({"changes": wide})).await.code(),
        (413, "commit_too_large")
    );
    let long = "y".repeat(500);
    let keys: Vec<_> = (0..1_000)
        .map(|i| json!({"namespace": "app", "key": format!("{i}{long}"), "put": {"value": 1}}))
        .collect();
    assert_eq!(
        server.post("", &[], &json!({"changes": keys})).await.code(),
        (413, "commit_too_large")
    );
    assert_eq!(server.publisher.revision(), 1);
}

#[tokio::test]
async fn a_body_that_is_too_large_for_its_route_is_told_the_documented_limit() {
    let server = Server::start().await;
    let huge = || "x".repeat(5_000_000);
    let told = server.put("a", &[], &huge()).await;
    assert_eq!(told.code(), (413, "value_too_large"));
    assert_eq!((&told.body["limit"], &told.body["actual"]), (&json!(262_144), &json!(5_000_000)));
    let json = [("content-type", "application/json")];
    let told = server.call("POST", "/v1/commits", &json, huge()).await;
    assert_eq!(told.code(), (413, "commit_too_large"));
    assert_eq!((&told.body["limit"], &told.body["actual"]), (&json!(524_288), &json!(5_000_000)));
}

#[tokio::test]
async fn a_commit_within_its_limit_is_taken_however_much_json_it_needs() {
    let server = Server::start().await;
    let value = "\u{1}".repeat(240_000);
    let change = |key: &str| json!({"namespace": "app", "key": key, "put": {"content_type": "text/plain", "value": value}});
    let set = json!({"changes": [change("a"), change("b")]});
    assert!(set.to_string().len() > 2_880_000);
    assert_eq!(server.post("", &[], &set).await.status, 200);
    assert_eq!(server.publisher.value("b"), Some(value));
}

#[tokio::test]
async fn a_change_set_is_all_or_nothing_and_tells_every_failure() {
    let server = Server::start().await;
    let set = json!({"changes": [
        {"namespace": "app", "key": "a", "put": {"value": {"z": 1}}, "expect": {"absent": true}},
        {"namespace": "other", "key": "t", "put": {"content_type": "text/plain", "value": "x"}},
    ], "reason": "first", "actor": "zoe", "attributes": {"ticket": "T-1"}});
    let made = server
        .post(
            "",
            &[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
            &set,
        )
        .await;
    assert_eq!((made.status.as_u16(), &made.body["revision"]), (200, &json!(1)));
    assert!(made.body.get("version").is_none());
    let again = server.post("", &[], &set).await;
    assert_eq!(again.code(), (409, "conflict"));
    assert_eq!(
        again.body["failures"],
        json!([
            {"index": 0, "namespace": "app", "key": "a", "expected": {"absent": true}, "current_revision": 1},
        ])
    );
    for (body, code) in [
        (json!({"changes": []}), (400, "invalid_request")),
        (
            json!({"changes": [{"namespace": "app", "key": "a", "delete": true}], "dry_run": true}),
            (400, "invalid_request"),
        ),
        (
            json!({"changes": [{"namespace": "_x", "key": "a", "delete": true}]}),
            (403, "reserved_namespace"),
        ),
    ] {
        assert_eq!(server.post("", &[], &body).await.code(), code, "{body}");
    }
    let text = server
        .call("POST", "/v1/commits", &[("content-type", "text/plain")], set.to_string())
        .await;
    assert_eq!(text.code(), (415, "unsupported_media_type"));
    assert_eq!(server.post("", &[("if-match", "*")], &set).await.code(), (400, "invalid_request"));
    let entry = server.publisher.replica.view().unwrap();
    assert_eq!(entry.get("app", "a").unwrap().value, b"{\"z\":1}");
    assert_eq!(entry.get("app", "a").unwrap().actor, "zoe");
}

#[tokio::test]
async fn a_dry_run_answers_what_would_happen() {
    let server = Server::start().await;
    server.put("a", &[], "1").await;
    let set = json!({"changes": [{"namespace": "app", "key": "a", "delete": true}]});
    let shown = server.post("?dry_run=true", &[], &set).await;
    assert_eq!(shown.status, 200);
    assert_eq!((&shown.body["would_succeed"], &shown.body["revision"]), (&json!(true), &json!(1)));
    assert_eq!(shown.body["changes"][0]["kind"], "removed");
    assert_eq!(shown.body["changes"][0]["old"]["value"], 1);
    assert_eq!(shown.body["changes"][0]["new"], Value::Null);
    assert_eq!(server.publisher.revision(), 1);
}

#[tokio::test]
async fn a_replay_has_the_same_status_and_body_and_says_so() {
    let server = Server::start().await;
    let key = [("idempotency-key", "k1"), ("headwater-actor", "a")];
    let first = server.put("a", &key, "1").await;
    let retry = server.put("a", &[("idempotency-key", "k1"), ("headwater-actor", "b")], "1").await;
    assert_eq!(
        (retry.status, &retry.body, retry.header("etag")),
        (first.status, &first.body, first.header("etag"))
    );
    assert_eq!(
        (first.header("idempotent-replayed"), retry.header("idempotent-replayed")),
        (None, Some("true"))
    );
    for (path, headers, body) in [
        ("a", vec![("idempotency-key", "k1")], "2"),
        ("b", vec![("idempotency-key", "k1")], "1"),
        ("a", vec![("idempotency-key", "k1"), ("if-match", "*")], "1"),
        ("a", vec![("idempotency-key", "k1"), ("content-type", "text/plain")], "1"),
    ] {
        let other = server.put(path, &headers, body).await;
        assert_eq!(other.code(), (422, "idempotency_key_reused"), "{path} {headers:?} {body}");
    }
    assert_eq!(server.publisher.revision(), 1);
}

#[tokio::test]
async fn provenance_is_kept_with_the_commit() {
    let server = Server::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("headwater-actor", "zo%C3%AB"),
        ("headwater-reason", "more%20load"),
        ("traceparent", trace),
    ];
    server.put("a", &headers, "1").await;
    server.put("b", &[], "1").await;
    let headwater_replica::TailRead::Items(items) =
        server.publisher.replica.tail().after(0, usize::MAX)
    else {
        panic!()
    };
    let commit = &items[0].commit;
    assert_eq!((&*commit.actor, commit.reason.as_deref()), ("zoë", Some("more load")));
    assert_eq!(commit.attributes.get("traceparent").map(String::as_str), Some(trace));
    assert_eq!(&*items[1].commit.actor, "anonymous");
}
