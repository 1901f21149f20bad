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
            put().header("If-Match", "*"),
            Ask::put(desk.path("other"), "1").keyed(&key),
            Ask::delete(desk.path("k")).keyed(&key),
        ];
        for other in others {
            desk.ask(other).await.is_problem(422, "idempotency_key_reused");
        }
        assert_eq!(desk.get("k").await.text(), "1");
        desk.get("other").await.is_problem(404, "key_not_found");
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
        for _ in 0..2 {
            stand.server.kill9();
            stand.server.restart();
            for (ask, before) in [(&put, &first), (&both, &second)] {
                let again = stand.ask(ask.clone()).await;
                assert_eq!((again.status, &again.body), (before.status, &before.body));
                assert_eq!(again.header("idempotent-replayed"), "true");
            }
            stand.ask(put.clone().body("2")).await.is_problem(422, "idempotency_key_reused");
        }
        assert_eq!(stand.chain().await.len(), 2);
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
