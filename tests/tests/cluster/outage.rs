//! Two of three brokers gone, and all of them: what is open is called open, what is refused was never appended, reads
//! go on, and nobody waits longer than promised.

use std::time::{Duration, Instant};

use headwater_tests::http::Ask;
use headwater_tests::storm::Storm;

use crate::in_turn;

/// The appends' own time-out and a second.
const OUTCOME: Duration = Duration::from_secs(11);
/// What a test's own clock and a busy machine may add.
const SLACK: Duration = Duration::from_secs(1);
/// How long an outage lasts: longer than any outcome may stay open.
const OUTAGE: Duration = Duration::from_secs(15);
/// How soon a shutdown ends.
const SHUTDOWN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_of_three_brokers_gone_every_open_write_is_called_so_in_time_and_ends_as_one_commit()
 {
    in_turn(async |cluster| {
        let field = cluster.field(2, 1);
        field.put(0, "/v1/config/held/k", "1").await;
        let storm = Storm::on(&field.hosts(), 4);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let leader = cluster.leader(&field.topic()).expect("a leader");
        // The one that is left holds all records, and takes more of them than it may acknowledge.
        (1..=3).filter(|id| *id != leader).for_each(|id| cluster.node(id).kill9());
        let began = Instant::now();
        let mut refused_at_once = 0;
        while began.elapsed() < OUTAGE {
            for publisher in 0..2 {
                let read = field.ask(publisher, Ask::get("/v1/config/held/k")).await;
                assert_eq!(read.is(200).text(), "1", "reads go on");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            if began.elapsed() > OUTCOME + SLACK {
                for publisher in 0..2 {
                    let asked = Instant::now();
                    let answer = field.ask(publisher, Ask::put("/v1/config/outage/k", "1")).await;
                    answer.is_problem(503, "log_unavailable");
                    assert!(!answer.header("retry-after").is_empty());
                    assert!(asked.elapsed() < SLACK, "refused after {:?}", asked.elapsed());
                }
                refused_at_once += 1;
            }
        }
        assert!(refused_at_once > 0);
        tokio::task::block_in_place(|| cluster.heal());
        tokio::time::sleep(Duration::from_secs(3)).await;
        let fates = storm.end().await;
        field.agreed().await;
        let chain = field.chain().await;
        fates.assert_told_truly(&chain);
        let named = |name: &str| {
            chain
                .iter()
                .flat_map(|it| &it.changes)
                .filter(|it| it.namespace.as_str() == name)
                .count()
        };
        assert_eq!(named("outage"), 0, "what was refused at once was never appended");
        let open: Vec<_> = fates.open().collect();
        assert!(open.iter().any(|it| it.told), "no write was under way: the fault was not felt");
        let longest = open.iter().map(|it| it.took).max().unwrap_or_default();
        assert!(longest <= OUTCOME + SLACK, "left open after {longest:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_handed_over_is_told_504_within_its_time() {
    in_turn(async |cluster| {
        let field = cluster.field(1, 0);
        field.put(0, "/v1/config/held/k", "1").await;
        (1..=3).for_each(|id| cluster.node(id).pause());
        let began = Instant::now();
        let answer = field.ask(0, Ask::put("/v1/config/held/k", "2").keyed("open")).await;
        answer.is_problem(504, "outcome_unknown");
        let took = began.elapsed();
        assert!(took <= OUTCOME + SLACK, "told after {took:?}");
        (1..=3).for_each(|id| cluster.node(id).resume());
        tokio::task::block_in_place(|| cluster.heal());
        // Its key finds it, or makes it now; either way there is one.
        let settled = loop {
            let again = field.ask(0, Ask::put("/v1/config/held/k", "2").keyed("open")).await;
            if again.status == 200 {
                break again.revision();
            }
            assert!(matches!(again.status, 409 | 503 | 504), "{}", again.text());
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let again = field.ask(0, Ask::put("/v1/config/held/k", "2").keyed("open")).await;
        assert_eq!(again.is(200).revision(), settled);
        let read = field.ask(0, Ask::get("/v1/config/held/k?consistency=linearizable")).await;
        assert_eq!(read.is(200).header("headwater-version"), "2", "it was written once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_under_load_with_every_broker_dead_takes_at_most_10_s() {
    in_turn(async |cluster| {
        let mut field = cluster.field(2, 1);
        let storm = Storm::on(&field.hosts(), 4);
        tokio::time::sleep(Duration::from_secs(1)).await;
        (1..=3).for_each(|id| cluster.node(id).kill9());
        tokio::time::sleep(Duration::from_secs(1)).await;
        for server in field.publishers.iter_mut().chain(&mut field.snapshotters) {
            let began = Instant::now();
            assert_eq!(server.terminate(SHUTDOWN), 0, "{}", server.log());
            assert!(began.elapsed() <= SHUTDOWN);
        }
        drop(storm);
    })
    .await;
}
