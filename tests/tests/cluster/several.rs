//! Any number of publishers, none of them the leader: one dense chain, one revision for a key, and answers that are
//! true wherever they come from.

use std::time::Duration;

use headwater_tests::http::{Ask, Connection};
use headwater_tests::storm::{Storm, write};

use crate::{in_turn, short_or_long};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_under_load_give_one_dense_chain_and_apply_no_request_twice() {
    in_turn(async |cluster| {
        let field = cluster.field(2, 1);
        let storm = Storm::on(&field.hosts(), 4);
        tokio::time::sleep(Duration::from_secs(short_or_long(5, 60))).await;
        let fates = storm.end().await;
        field.agreed().await;
        fates.assert_told_truly(&field.chain().await);
        for publisher in 0..2 {
            let theirs = fates.acknowledged().filter(|it| it.server == publisher).count();

            let lost = fates.refused(publisher, Some("contended"));
            println!("publisher {publisher}: {theirs} through, {lost} contended");
            assert!(
                lost * 20 <= theirs,
                "publisher {publisher}: {lost} contended, {theirs} through"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_with_few_writes_gets_them_through_beside_one_that_is_saturated() {
    in_turn(async |cluster| {
        let field = cluster.field(2, 1);
        let busy = Storm::on(&field.hosts()[..1], 32);
        let mut line = Connection::open(field.hosts()[1]).await.expect("a connection");
        let (mut through, mut contended) = (0u32, 0u32);
        for number in 0..short_or_long(200, 2_000) {
            let put = Ask::put("/v1/config/few/k", number.to_string());
            match line.send(&put).await.expect("an answer") {
                answer if matches!(answer.status, 200 | 201) => through += 1,
                answer => {
                    answer.is_problem(503, "contended");
                    contended += 1;
                }
            }
        }
        let fates = busy.end().await;
        assert!(contended * 20 < through + contended, "{contended} contended, {through} through");
        assert!(fates.acknowledged().count() > 1_000, "the other was not saturated");
        field.agreed().await;
        fates.assert_told_truly(&field.chain().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_key_gets_the_same_answer_from_the_other_publisher() {
    in_turn(async |cluster| {
        let field = cluster.field(2, 1);
        for number in 0..100 {
            let (first, second) = (number % 2, (number + 1) % 2);
            let made = field.ask(first, write(number as u64)).await;
            assert!(matches!(made.status, 200 | 201), "{}", made.text());
            let again = field.ask(second, write(number as u64)).await.is(made.status);
            assert_eq!(again.header("idempotent-replayed"), "true", "write {number}");
            assert_eq!(again.body, made.body, "write {number}");
        }
        let other = write(7).body("\"other\"");
        field.ask(1, other).await.is_problem(422, "idempotency_key_reused");
        assert_eq!(field.agreed().await[0].revision, 100, "replays make no commit");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_true_of_a_state_within_the_requests_own_time() {
    in_turn(async |cluster| {
        let field = cluster.field(2, 0);
        let key = "/v1/config/turns/k";
        // What one publisher acknowledged, the other knows: none of these answers may come from an older state.
        for round in 0..short_or_long(100, 1_000) {
            let (one, two) = (round % 2, (round + 1) % 2);
            let absent = || Ask::put(key, "1").header("If-None-Match", "*");
            field.ask(one, absent()).await.is(201);
            field.ask(two, absent()).await.is_problem(412, "precondition_failed");
            field.ask(two, Ask::delete(key)).await.is(200);
            field.ask(one, Ask::delete(key)).await.is_problem(404, "key_not_found");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linearizable_reads_hold_on_both_publishers() {
    in_turn(async |cluster| {
        let field = cluster.field(2, 0);
        let read = || Ask::get("/v1/config/line/k?consistency=linearizable");
        for round in 0..short_or_long(200, 2_000) {
            let (one, two) = (round % 2, (round + 1) % 2);
            field.put(one, "/v1/config/line/k", &round.to_string()).await;
            assert_eq!(field.ask(two, read()).await.is(200).text(), round.to_string());
        }
        let before = field.agreed().await[0].revision;
        field.ask(0, read()).await.is(200);
        assert_eq!(field.agreed().await[0].revision, before, "a marker is no commit");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_sleeps_for_half_a_minute_amid_its_writes_wakes_and_harms_nothing() {
    in_turn(async |cluster| {
        let mut field = cluster.field(2, 1);
        let sleepers = Storm::on(&field.hosts()[..1], 8);
        tokio::time::sleep(Duration::from_secs(1)).await;
        field.publishers[0].pause();
        // The other one goes on, over the same keys.
        let mut awake = 0u32;
        let until = tokio::time::Instant::now() + Duration::from_secs(30);
        while tokio::time::Instant::now() < until {
            let put = Ask::put(format!("/v1/config/awake/k{}", awake % 50), awake.to_string());
            let answer = field.ask(1, put).await;
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
            awake += 1;
        }
        field.publishers[0].resume();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let fates = sleepers.end().await;
        field.agreed().await;
        let chain = field.chain().await;
        fates.assert_told_truly(&chain);
        let theirs = chain.iter().flat_map(|commit| &commit.changes);
        let theirs = theirs.filter(|change| change.namespace.as_str() == "awake").count();
        assert_eq!(theirs, usize::try_from(awake).unwrap(), "every write of the other is a commit");
    })
    .await;
}
