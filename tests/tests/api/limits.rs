//! What a server says at its limits.

use std::time::Duration;

use headwater_tests::http::{Answer, Ask, Connection};
use headwater_tests::on_both_logs;
use headwater_tests::stand::Stand;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn put(key: &str) -> Ask {
    Ask::put(format!("/v1/config/app/{key}"), "1")
}

/// It may be tried again, and says when.
#[track_caller]
fn waits(answer: &Answer, status: u16, code: &str) {
    answer.is_problem(status, code);
    assert!(
        answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0),
        "{:?}",
        answer.headers
    );
    assert!(
        !answer.header("headwater-revision").is_empty()
            && !answer.header("headwater-stream").is_empty()
    );
}

/// What is said to these bytes until the connection closes.
async fn told(stand: &Stand, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(stand.server.host()).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    drop(socket.read_to_end(&mut said).await);
    String::from_utf8_lossy(&said).into_owned()
}

on_both_logs! {
    async fn a_full_window_of_idempotency_keys_is_429_for_keyed_writes_alone(log) {
        let stand = Stand::limited(log, &[("HEADWATER_PUBLISHER__IDEMPOTENCY_KEYS", "3")]);
        for key in ["a", "b", "c"] {
            stand.ask(put(key).keyed(key)).await.is(201);
        }
        waits(&stand.ask(put("d").keyed("d")).await, 429, "overloaded");
        let both = json!({ "changes": [{ "namespace": "app", "key": "d", "put": { "value": 1 } }] });
        waits(&stand.ask(Ask::post("/v1/commits", &both).keyed("d")).await, 429, "overloaded");
        // What is remembered is answered, what has no key is written, and nothing was written under the other.
        let again = stand.ask(put("a").keyed("a")).await.is(201);
        assert_eq!(again.header("idempotent-replayed"), "true");
        stand.ask(put("b").keyed("a")).await.is_problem(422, "idempotency_key_reused");
        stand.ask(put("e")).await.is(201);
        stand.ask(Ask::get("/v1/config/app/d")).await.is_problem(404, "key_not_found");
    }

    async fn limits_that_are_settings_are_told_with_what_was_sent(log) {
        let stand = Stand::limited(log, &[
            ("HEADWATER_PUBLISHER__MAX_VALUE_BYTES", "1000"), ("HEADWATER_PUBLISHER__MAX_RECORD_BYTES", "4096"),
            ("HEADWATER_PUBLISHER__MAX_CHANGES", "5"),
        ]);
        let told = |problem: Value| (problem["limit"].as_u64().unwrap(), problem["actual"].as_u64().unwrap());
        let text = |bytes: usize| put("k").body(vec![b'x'; bytes]).header("Content-Type", "text/plain");
        stand.ask(text(1_000)).await.is(201);
        assert_eq!(told(stand.ask(text(1_001)).await.is_problem(413, "value_too_large")), (1_000, 1_001));
        let set = |count: usize, bytes: usize| {
            let value = "x".repeat(bytes);
            let change = |n| json!({ "namespace": "app", "key": format!("k{n}"), "put": { "value": value } });
            Ask::post("/v1/commits", &json!({ "changes": (0..count).map(change).collect::<Vec<_>>() }))
        };
        for dry in ["dry_run=false", "dry_run=true"] {
            assert_eq!(told(stand.ask(set(6, 1).query(dry)).await.is_problem(413, "too_many_changes")), (5, 6));
            assert_eq!(told(stand.ask(set(1, 999).query(dry)).await.is_problem(413, "value_too_large")), (1_000, 1_001));
            let (limit, actual) = told(stand.ask(set(5, 900).query(dry)).await.is_problem(413, "commit_too_large"));
            assert!(limit == 4_096 && actual > 4_500, "{actual}");
        }
        stand.ask(set(5, 500)).await.is(200);
        // A body that could be no commit is not read to its end.
        let huge = Ask::post("/v1/commits", &Value::Null).body(vec![b' '; 100_000]);
        let (limit, actual) = told(stand.ask(huge).await.is_problem(413, "commit_too_large"));
        assert!(limit == 4_096 && actual > 32_000, "{actual}");
        let back = json!({ "namespace": "app", "to_revision": 0, "reason": "r" });
        assert_eq!(told(stand.ask(Ask::post("/v1/rollback", &back)).await.is_problem(413, "too_many_changes")), (5, 6));
    }

    async fn a_connection_too_many_is_429_and_a_slow_request_408(log) {
        const MOST: usize = 6;
        let stand = Stand::limited(log, &[
            ("HEADWATER_SERVER__MAX_CONNECTIONS", "6"), ("HEADWATER_SERVER__BODY_TIMEOUT_MS", "300"),
            ("HEADWATER_SERVER__HEADER_TIMEOUT_MS", "300"),
        ]);
        let slow_body = b"PUT /v1/config/app/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1";
        let slow_head = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: ";
        for slow in [&slow_body[..], slow_head] {
            let said = told(&stand, slow).await;
            let (head, body) = said.split_once("\r\n\r\n").unwrap();
            let head = head.to_ascii_lowercase();
            assert!(head.starts_with("http/1.1 408 "), "{said}");
            for name in ["content-type: application/problem+json", "headwater-revision: ", "headwater-stream: ", "connection: close"] {
                assert!(head.contains(name), "{name}: {said}");
            }
            let problem: Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["code"], "request_timeout");
        }
        // Those that were cut off may linger for a moment.
        let mut held: Vec<Connection> = Vec::new();
        while held.len() < MOST {
            let mut connection = Connection::open(stand.server.host()).await.unwrap();
            match connection.send(&Ask::get("/healthz")).await {
                Ok(answer) if answer.status == 200 => held.push(connection),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        let said = told(&stand, b"").await;
        assert!(said.starts_with("HTTP/1.1 429 ") && said.contains("\"code\":\"overloaded\""), "{said}");
        assert!(said.to_ascii_lowercase().contains("\r\nretry-after: "), "{said}");
        for connection in &mut held {
            connection.send(&Ask::get("/v1/status")).await.unwrap().is(200);
        }
    }
}
