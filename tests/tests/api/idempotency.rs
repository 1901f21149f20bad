//! `Idempotency-Key`: one key, one revision, the same answer.

use headwater_tests::http::Ask;
use headwater_tests::on_both_logs;
use headwater_tests::stand::{Log, Stand};
use serde_json::json;

use crate::{Desk, commit};

fn fresh() -> String {
    uuid::Uuid::new_v4().to_string()
}

on_both_logs! {
    async fn the_same_key_and_request_gets_the_same_status_and_body(log) {
        let desk = Desk::on(log);
        let asks = [
            Ask::put(desk.path("k"), "1"),
            Ask::put(desk.path("k"), "2"),
            commit(&[desk.change("a", &json!(1)), desk.change("b", &json!(2))]),
            Ask::delete(desk.path("k")),
        ];
        for ask in asks {
            let ask = ask.keyed(fresh());
            let first = desk.ask(ask.clone()).await;
            assert!(matches!(first.status, 200 | 201), "{}", first.text());
            assert_eq!(first.header("idempotent-replayed"), "");
            // Provenance and tracing are no part of the request.
            let again = desk.ask(ask.header("Headwater-Actor", "somebody else")).await;
            assert_eq!((again.status, &again.body), (first.status, &first.body));
            assert_eq!(again.header("idempotent-replayed"), "true");
            assert_eq!(again.header("etag"), first.header("etag"));
        }
    }

    async fn a_replay_comes_before_any_precondition(log) {
        let desk = Desk::on(log);
        let create = Ask::put(desk.path("k"), "1").header("If-None-Match", "*").keyed(fresh());
        let first = desk.ask(create.clone()).await.is(201);
        desk.put("k", "2").await;
        let again = desk.ask(create).await.is(201);
        assert_eq!(again.body, first.body);
        assert_eq!(desk.get("k").await.text(), "2");
    }

    async fn another_request_under_the_key_is_422(log) {
        let desk = Desk::on(log);
        let key = fresh();
        let put = || Ask::put(desk.path("k"), "1").keyed(&key);
        desk.ask(put()).await.is(201);
        let others = [
            put().body("2"),
            put().header("Content-Type", "text/plain"),
            put().header("Content-Type", "application/json"),
            put().header("If-Match", "*"),
            put().header("If-None-Match", "\"1\""),
            Ask::put(desk.path("other"), "1").keyed(&key),
            Ask::delete(desk.path("k")).keyed(&key),
            commit(&[desk.change("k", &json!(1))]).keyed(&key),
            // What would only be tried is another request than what was done.
            commit(&[desk.change("k", &json!(1))]).query("dry_run=true").keyed(&key),
        ];
        for other in others {
            desk.ask(other).await.is_problem(422, "idempotency_key_reused");
        }
        assert_eq!(desk.get("k").await.text(), "1");
        desk.get("other").await.is_problem(404, "key_not_found");
    }

    async fn the_query_and_each_byte_of_a_body_belong_to_the_request_and_how_a_key_is_encoded_does_not(log) {
        let desk = Desk::on(log);
        let both = commit(&[desk.change("a/b", &json!(1))]).keyed(fresh());
        let first = desk.ask(both.clone()).await.is(200);
        for query in ["dry_run=true", "dry_run=false", "dry_run="] {
            desk.ask(both.clone().query(query)).await.is_problem(422, "idempotency_key_reused");
        }
        let body = json!({ "changes": [desk.change("a/b", &json!(1))] }).to_string();
        for other in [format!("{body} "), format!(" {body}"), body.replace(':', ": ")] {
            desk.ask(both.clone().body(other)).await.is_problem(422, "idempotency_key_reused");
        }
        let same = both.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let same = same.header("Headwater-Reason", "again").header("Accept", "*/*").header("User-Agent", "another");
        assert_eq!(desk.ask(same).await.is(200).body, first.body);
        let key = fresh();
        let put = |path: &str| Ask::put(desk.path(path), "2").keyed(&key);
        let first = desk.ask(put("a/b")).await.is(200);
        for same in ["a%2Fb", "a%2fb", "%61/b", "a/b?"] {
            let again = desk.ask(put(same)).await.is(200);
            assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first.body), "{same}");
        }
    }

    async fn a_write_that_was_refused_whatever_the_reason_may_come_again_under_its_key(log) {
        let desk = Desk::on(log);
        let first = desk.put("k", "1").await;
        let guarded = Ask::put(desk.path("k"), "2").header("If-Match", format!("\"{}\"", first + 1_000_000)).keyed(fresh());
        desk.ask(guarded.clone()).await.is_problem(412, "precondition_failed");
        desk.ask(guarded.clone()).await.is_problem(412, "precondition_failed");
        // Not even the request is: the key is as good as new.
        let plain = Ask::put(desk.path("k"), "3").keyed(guarded.key());
        desk.ask(plain).await.is(200);
        desk.ask(guarded).await.is_problem(422, "idempotency_key_reused");
        let conflicting = commit(&[desk.deletion("absent")]).keyed(fresh());
        desk.ask(conflicting.clone()).await.is_problem(409, "conflict");
        desk.put("absent", "1").await;
        assert_eq!(desk.ask(conflicting).await.is(200).header("idempotent-replayed"), "");
        for (broken, status) in [("no json", 400), (&*"x".repeat(300_000), 413)] {
            let key = fresh();
            desk.ask(Ask::put(desk.path("k"), broken.to_owned()).keyed(&key)).await.is(status);
            assert_eq!(desk.ask(Ask::put(desk.path("k"), "4").keyed(&key)).await.is(200).header("idempotent-replayed"), "");
        }
    }

    async fn a_refused_request_is_not_remembered(log) {
        let desk = Desk::on(log);
        let delete = Ask::delete(desk.path("k")).keyed(fresh());
        desk.ask(delete.clone()).await.is_problem(404, "key_not_found");
        desk.put("k", "1").await;
        let done = desk.ask(delete.clone()).await.is(200);
        assert_eq!(done.header("idempotent-replayed"), "");
        assert_eq!(desk.ask(delete).await.is(200).header("idempotent-replayed"), "true");
    }

    async fn twins_sent_at_once_land_once(log) {
        let desk = Desk::on(log);
        for round in 0..5 {
            let ask = Ask::put(desk.path(&format!("k{round}")), "1").keyed(fresh());
            let twins = (0..6).map(|_| tokio::spawn(desk.stand.ask(ask.clone())));
            let mut revisions = Vec::new();
            for answer in twins.collect::<Vec<_>>() {
                let answer = answer.await.unwrap();
                match answer.status {
                    201 => revisions.push(answer.revision()),
                    _ => drop(answer.is_problem(409, "idempotency_key_in_use")),
                }
            }
            revisions.dedup();
            assert_eq!(revisions.len(), 1, "{revisions:?}");
            let read = desk.get(&format!("k{round}")).await;
            assert_eq!(read.header("headwater-version"), "1");
        }
    }

    async fn a_key_is_1_to_255_visible_characters(log) {
        let desk = Desk::on(log);
        let put = || Ask::put(desk.path("k"), "1");
        for wrong in ["a b".to_owned(), "x".repeat(256), "é".to_owned()] {
            desk.ask(put().keyed(wrong)).await.is_problem(400, "invalid_request");
        }
        desk.get("k").await.is_problem(404, "key_not_found");
        let mut longest = fresh();
        longest.push_str(&"~".repeat(255 - longest.len()));
        desk.ask(put().keyed(longest)).await.is(201);
    }

    async fn a_replay_is_the_same_after_a_restart(log) {
        let mut stand = Stand::start(log);
        let put = Ask::put("/v1/config/app/k", "1").keyed(fresh());
        let both = json!({ "changes": [
            { "namespace": "app", "key": "a", "put": { "value": 1 } },
            { "namespace": "app", "key": "k", "delete": true },
        ] });
        let both = Ask::post("/v1/commits", &both).keyed(fresh());
        let (first, second) = (stand.ask(put.clone()).await.is(201), stand.ask(both.clone()).await.is(200));
        let back = json!({ "namespace": "app", "to_revision": 1, "reason": "r" });
        let back = Ask::post("/v1/rollback", &back).keyed(fresh());
        let third = stand.ask(back.clone()).await.is(200);
        for _ in 0..2 {
            stand.server.kill9();
            stand.server.restart();
            for (ask, before) in [(&put, &first), (&both, &second), (&back, &third)] {
                let again = stand.ask(ask.clone()).await;
                assert_eq!((again.status, &again.body), (before.status, &before.body));
                assert_eq!(again.header("idempotent-replayed"), "true");
            }
            stand.ask(put.clone().body("2")).await.is_problem(422, "idempotency_key_reused");
        }
        assert_eq!(stand.chain().await.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_the_same_on_another_server_of_the_stream() {
    let claim = async {
        let one = Stand::start(Log::Kafka);
        let two = one.another();
        for number in 0..20 {
            let ask = Ask::put(format!("/v1/config/app/k{number}"), "1").keyed(fresh());
            let first = one.ask(ask.clone()).await.is(201);
            let again = two.ask(ask.clone()).await.is(201);
            assert_eq!(again.body, first.body);
            assert_eq!(again.header("idempotent-replayed"), "true");
            two.ask(ask.body("2")).await.is_problem(422, "idempotency_key_reused");
        }
        assert_eq!(two.chain().await.len(), 20);
    };
    headwater_tests::stand::bounded(claim).await;
}
