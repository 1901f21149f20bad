//! The table "Read", but lists.

use std::time::{Duration, Instant};

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use headwater_tests::stand::{Log, Stand};
use serde_json::{Value, json};

use crate::Desk;

on_both_logs! {
    async fn a_value_comes_with_all_its_headers_and_head_gives_the_same_without_it(log) {
        let desk = Desk::on(log);
        let created = desk.put("k", "1").await;
        let changed = desk.put("k", "{\"n\":22}").await;
        let read = desk.get("k").await.is(200);
        let head = desk.ask(Ask::new("HEAD", desk.path("k"))).await.is(200);
        assert_eq!((read.text().as_str(), head.body.len()), ("{\"n\":22}", 0));
        for answer in [&read, &head] {
            for (name, value) in [
                ("content-type", "application/json".to_owned()),
                ("content-length", "8".to_owned()),
                ("etag", format!("\"{changed}\"")),
                ("headwater-version", "2".to_owned()),
                ("headwater-create-revision", created.to_string()),
                ("headwater-stream", desk.stand.status().await.stream_id.to_string()),
                ("vary", "Accept".to_owned()),
            ] {
                assert!(answer.header(name).eq_ignore_ascii_case(&value), "{name}: {:?}", answer.headers);
            }
            assert!(answer.header("last-modified").ends_with(" GMT"));
            let revision: u64 = answer.header("headwater-revision").parse().unwrap();
            assert!(revision >= changed, "the state's revision, not the key's");
        }
        let absent = desk.get("absent").await;
        absent.is_problem(404, "key_not_found");
        assert!(!absent.header("headwater-revision").is_empty() && !absent.header("headwater-stream").is_empty());
        desk.ask(Ask::new("HEAD", desk.path("absent"))).await.is(404);
    }

    async fn if_none_match_is_304_until_the_key_changes(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        let ask = |tag: String| desk.ask(Ask::get(desk.path("k")).header("If-None-Match", tag));
        for same in [format!("\"{first}\""), format!("W/\"{first}\""), format!("\"0\", \"{first}\""), "*".to_owned()] {
            let answer = ask(same).await.is(304);
            assert_eq!((answer.body.len(), answer.header("etag")), (0, &*format!("\"{first}\"")));
        }
        // A change elsewhere leaves the tag.
        desk.put("other", "1").await;
        let _ = ask(format!("\"{first}\"")).await.is(304);
        desk.put("k", "2").await;
        assert_eq!(ask(format!("\"{first}\"")).await.is(200).text(), "2");
    }

    async fn the_entry_is_given_to_who_accepts_it_without_a_tag(log) {
        let desk = Desk::on(log);
        let kind = "application/vnd.headwater.entry+json";
        let put = Ask::put(desk.path("k"), "[1, 2]").header("Headwater-Actor", "ada");
        let revision = desk.ask(put).await.is(201).revision();
        let answer = desk.ask(Ask::get(desk.path("k")).header("Accept", kind)).await.is(200);
        assert_eq!((answer.header("content-type"), answer.header("etag")), (kind, ""));
        let mut entry: Value = answer.json();
        assert!(entry["updated_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24), "{entry}");
        entry["updated_at"].take();
        assert_eq!(entry, json!({
            "namespace": desk.namespace, "key": "k", "content_type": "application/json", "value": [1, 2], "size": 6,
            "version": 1, "create_revision": revision, "mod_revision": revision, "updated_at": null, "actor": "ada",
        }));
        // Any other Accept is ignored.
        let other = desk.ask(Ask::get(desk.path("k")).header("Accept", "image/png")).await.is(200);
        assert_eq!(other.text(), "[1, 2]");
    }

    async fn min_revision_waits_for_it_and_is_504_when_it_does_not_come(log) {
        let desk = Desk::on(log);
        let now = desk.put("k", "1").await;
        desk.ask(Ask::get(format!("{}?min_revision={now}", desk.path("k")))).await.is(200);
        let far = format!("{}?min_revision={}&timeout=100ms", desk.path("k"), now + 1_000_000_000);
        let began = Instant::now();
        desk.ask(Ask::get(far)).await.is_problem(504, "revision_not_reached");
        assert!(began.elapsed() >= Duration::from_millis(100));
        // On a server of its own: here others write, too.
        let stand = Stand::start(log);
        stand.ask(Ask::put("/v1/config/app/k", "1")).await.is(201);
        let waiting = stand.ask(Ask::get("/v1/config/app/k?min_revision=3&timeout=20s"));
        let writing = async {
            for value in ["2", "3"] {
                tokio::time::sleep(Duration::from_millis(50)).await;
                stand.ask(Ask::put("/v1/config/app/k", value)).await.is(200);
            }
        };
        let (read, ()) = tokio::join!(waiting, writing);
        assert_eq!(read.is(200).text(), "3");
    }

    async fn a_linearizable_read_reflects_every_write_acknowledged_before(log) {
        let desk = Desk::on(log);
        for value in 0..30 {
            desk.put("k", &value.to_string()).await;
            let read = desk.get("k?consistency=linearizable").await.is(200);
            assert_eq!(read.text(), value.to_string());
        }
    }

    async fn a_read_of_another_stream_is_409(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        let here = desk.stand.status().await.stream_id;
        let other = "0123456789abcdef0123456789abcdef";
        let path = format!("/v1/config/{}", desk.namespace);
        for target in [desk.path("k"), path, "/v1/namespaces".into(), "/v1/commits".into(), "/v1/status".into()] {
            desk.ask(Ask::get(format!("{target}?stream={here}"))).await.is(200);
            desk.ask(Ask::get(format!("{target}?stream={other}"))).await.is_problem(409, "wrong_stream");
        }
    }

    async fn at_the_head_is_served_and_above_it_404(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let future = format!("{}?at={}", desk.path("k"), revision + 1_000_000_000);
        desk.ask(Ask::get(future)).await.is_problem(404, "revision_in_future");
        desk.get("k?at=2999-01-01T00:00:00.000Z").await.is(200);
        desk.get("k?at=yesterday").await.is_problem(400, "invalid_request");
    }

    async fn the_status_tells_the_head_and_the_log(log) {
        let desk = Desk::on(log);
        let revision = desk.put("k", "1").await;
        let answer = desk.ask(Ask::get("/v1/status")).await.is(200);
        let status: Value = answer.json();
        assert_eq!(status["stream"], desk.stand.stream());
        assert!(status["revision"].as_u64() >= Some(revision), "{status}");
        assert_eq!((&status["phase"], &status["role"]), (&json!("live"), &json!("serve")), "{status}");
        let kind = format!("{log:?}").to_lowercase();
        assert_eq!(status["log"]["kind"], kind, "{status}");
        for field in ["entries", "bytes", "lag_revisions"] {
            assert!(status[field].is_u64(), "{field}: {status}");
        }
        for field in ["hash", "digest", "stream_id", "version", "started_at", "last_commit_at"] {
            assert!(status[field].is_string(), "{field}: {status}");
        }
        assert_eq!(answer.header("headwater-revision"), status["revision"].to_string());
    }

    async fn health_readiness_metrics_and_the_openapi_document_are_served(log) {
        let desk = Desk::on(log);
        desk.put("k", "1").await;
        for target in ["/healthz", "/readyz"] {
            desk.ask(Ask::get(target)).await.is(200);
        }
        let metrics = desk.ask(Ask::get("/metrics")).await.is(200);
        assert!(metrics.header("content-type").starts_with("text/plain"));
        assert!(metrics.text().contains("headwater_publisher_commits_total{outcome=\"accepted\"}"), "{}", metrics.text());
        let document: Value = desk.ask(Ask::get("/openapi.json")).await.is(200).json();
        assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
        for (path, method) in [
            ("/v1/config/{ns}/{key}", "get"), ("/v1/config/{ns}/{key}", "put"), ("/v1/config/{ns}/{key}", "delete"),
            ("/v1/config/{ns}", "get"), ("/v1/commits", "get"), ("/v1/commits", "post"), ("/v1/namespaces", "get"),
            ("/v1/status", "get"), ("/v1/stream", "get"), ("/v1/images/latest", "get"), ("/v1/images/{name}", "get"),
        ] {
            assert!(document["paths"][path][method].is_object(), "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linearizable_read_at_one_server_reflects_what_another_has_acknowledged() {
    let claim = async {
        let one = Stand::start(Log::Kafka);
        let two = one.another();
        let get = Ask::get("/v1/config/app/k?consistency=linearizable");
        for round in 0..40 {
            let (writes, reads) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
            let put = writes.ask(Ask::put("/v1/config/app/k", round.to_string())).await;
            let read = reads.ask(get.clone()).await.is(200);
            assert_eq!(read.text(), round.to_string());
            assert_eq!(read.header("etag"), put.header("etag"));
        }
        assert_eq!(one.status().await.revision, 40, "such reads are no commits");
        let gone = one.ask(Ask::delete("/v1/config/app/k")).await.is(200).revision();
        let absent = two.ask(get).await;
        absent.is_problem(404, "key_not_found");
        assert!(absent.header("headwater-revision").parse::<u64>().unwrap() >= gone);
    };
    headwater_tests::stand::bounded(claim).await;
}
