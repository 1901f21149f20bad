//! Appends whose outcome nobody knows, refused ones, and the breaker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_log::{FaultPlan, Faulty, Log, MemoryLog};
use headwater_publisher::{Refusal, Settings};
use headwater_schemas::Position;

use crate::chain::audit;
use crate::harness::{Gated, Publisher, eventually, founded, put};

fn impatient() -> Settings {
    Settings { outcome_timeout_ms: 400, ..Settings::default() }
}

/// A publisher whose log works until it is ready, and then has these faults.
async fn faulty(
    log: &Arc<MemoryLog>,
    plan: FaultPlan,
    settings: Settings,
) -> (Arc<Faulty>, Publisher) {
    let faulty = Arc::new(Faulty::new(log.clone(), FaultPlan::NONE, 7));
    let publisher = Publisher::start(faulty.clone(), settings, None).await;
    faulty.set_plan(plan);
    (faulty, publisher)
}

#[tokio::test]
async fn a_write_that_landed_without_an_answer_is_settled_and_acknowledged() {
    let log = founded().await;
    let (_, publisher) =
        faulty(&log, FaultPlan { ambiguous: 1_000, ..FaultPlan::NONE }, Settings::default()).await;
    for i in 0..5 {
        publisher.put("a", &format!("v{i}")).await.unwrap();
    }
    let audit = audit(&log);
    assert!((0..5).all(|i| audit.times(&format!("v{i}")) == 1));
}

#[tokio::test]
async fn a_lost_write_is_settled_by_a_barrier_and_written_again_once() {
    let log = founded().await;
    let (faulty, publisher) =
        faulty(&log, FaultPlan { drop: 1_000, ..FaultPlan::NONE }, Settings::default()).await;
    let writer = publisher.writer.clone();
    let write = tokio::spawn(async move { writer.write(put("a", "1")).await });
    eventually("it was dropped", || faulty.counts().dropped > 0).await;
    faulty.set_plan(FaultPlan::NONE);
    write.await.unwrap().unwrap();
    let audit = audit(&log);
    assert_eq!(audit.times("1"), 1);
    assert!(audit.commits[0].1.is_barrier(), "the barrier took the slot");
}

#[tokio::test]
async fn a_zombie_behind_its_barrier_stays_dead() {
    let log = founded().await;
    let plan = FaultPlan { delay: 1_000, delay_appends: 100, ..FaultPlan::NONE };
    let (faulty, publisher) = faulty(&log, plan, Settings::default()).await;
    let writer = publisher.writer.clone();
    let write = tokio::spawn(async move { writer.write(put("a", "1")).await });
    eventually("it is held back", || faulty.counts().delayed > 0).await;
    faulty.set_plan(FaultPlan::NONE);
    let receipt = write.await.unwrap().unwrap();
    assert!(faulty.release().await > 0);
    publisher.put("b", "1").await.unwrap();
    let audit = audit(&log);
    assert_eq!(audit.commits[1].1.revision, 2);
    assert!(matches!(receipt, headwater_publisher::Written::Committed { replayed: false, .. }));
    assert!(audit.ignored > 0, "the zombie is in the log and does not count");
}

#[tokio::test]
async fn a_fate_that_stays_open_is_unknown_then_the_breaker_holds_until_a_barrier_is_back() {
    let log = founded().await;
    let (faulty, publisher) =
        faulty(&log, FaultPlan { drop: 1_000, ..FaultPlan::NONE }, impatient()).await;
    assert_eq!(publisher.put("a", "1").await, Err(Refusal::OutcomeUnknown));
    assert!(!publisher.writer.is_ready());
    let began = Instant::now();
    assert!(matches!(publisher.put("a", "2").await, Err(Refusal::LogUnavailable(_))));
    assert!(began.elapsed() < Duration::from_millis(200), "refused before any append");
    faulty.set_plan(FaultPlan::NONE);
    eventually("the breaker closes", || publisher.writer.is_ready()).await;
    publisher.put("a", "3").await.unwrap();
    let audit = audit(&log);
    assert_eq!((audit.times("1"), audit.times("2"), audit.times("3")), (0, 0, 1));
}

#[tokio::test]
async fn a_refused_write_is_not_there_and_what_followed_it_is_written_again() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let publisher = Publisher::start(gated.clone(), Settings::default(), None).await;
    gated.close();
    let spawn = |key: &'static str| {
        let writer = publisher.writer.clone();
        tokio::spawn(async move { writer.write(put(key, key)).await })
    };
    let first = spawn("first");
    eventually("the first is handed over", || gated.held() == 1).await;
    let second = spawn("second");
    eventually("the second is handed over", || gated.held() == 2).await;
    gated.refuse_first().await;
    assert!(matches!(first.await.unwrap(), Err(Refusal::LogUnavailable(_))));
    second.await.unwrap().unwrap();
    let audit = audit(&log);
    assert_eq!((audit.times("first"), audit.times("second"), audit.ignored), (0, 1, 1));
}

#[tokio::test]
async fn a_client_that_left_does_not_stop_its_write() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let publisher = Publisher::start(gated.clone(), Settings::default(), None).await;
    gated.close();
    let writer = publisher.writer.clone();
    let gone = tokio::spawn(async move { writer.write(put("a", "1")).await });
    eventually("it is handed over", || gated.held() == 1).await;
    gone.abort();
    gated.open().await;
    eventually("it is written", || publisher.value("a").as_deref() == Some("1")).await;
    publisher.put("b", "1").await.unwrap();
}

#[tokio::test]
async fn a_full_house_answers_overloaded_and_empties_again() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let settings = Settings { max_requests: 8, max_pipeline: 4, ..Settings::default() };
    let publisher = Publisher::start(gated.clone(), settings, None).await;
    gated.close();
    let spawn = |i: usize| {
        let writer = publisher.writer.clone();
        tokio::spawn(async move { writer.write(put("a", &format!("v{i}"))).await })
    };
    let inside: Vec<_> = (0..8).map(spawn).collect();
    eventually("the pipeline is full", || gated.held_groups().iter().sum::<usize>() == 4).await;
    assert!(matches!(publisher.put("a", "x").await, Err(Refusal::Overloaded(_))));
    gated.open().await;
    for write in inside {
        write.await.unwrap().unwrap();
    }
    publisher.put("a", "y").await.unwrap();
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way_and_takes_nothing_new() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let publisher = Publisher::start(gated.clone(), Settings::default(), None).await;
    gated.close();
    let writer = publisher.writer.clone();
    let under_way = tokio::spawn(async move { writer.write(put("a", "1")).await });
    eventually("it is handed over", || gated.held() == 1).await;
    publisher.begin_stop();
    eventually("it drains", || !publisher.writer.is_ready()).await;
    assert_eq!(publisher.put("a", "2").await, Err(Refusal::ShuttingDown));
    gated.open().await;
    under_way.await.unwrap().unwrap();
    publisher.stop().await;
    assert_eq!(audit(&log).commits.len(), 1);
}

#[tokio::test]
async fn a_shutdown_with_a_dead_log_ends_in_time_and_says_unknown() {
    let log = founded().await;
    let gated = Gated::new(log);
    let settings = Settings { drain_ms: 200, ..Settings::default() };
    let publisher = Publisher::start(gated.clone(), settings, None).await;
    gated.close();
    let writer = publisher.writer.clone();
    let under_way = tokio::spawn(async move { writer.write(put("a", "1")).await });
    eventually("it is handed over", || gated.held() == 1).await;
    let began = Instant::now();
    publisher.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(under_way.await.unwrap().unwrap_err(), Refusal::OutcomeUnknown);
}

#[tokio::test]
async fn a_clock_far_ahead_of_the_logs_stops_writing_until_it_is_set_right() {
    let log = founded().await;
    let publisher = Publisher::start(log.clone(), Settings::default(), None).await;
    publisher.put("a", "1").await.unwrap();
    let set = |ms| publisher.clock_ahead_ms.store(ms, std::sync::atomic::Ordering::Relaxed);
    set(120_000);
    match publisher.put("a", "2").await {
        Err(Refusal::LogUnavailable(why)) => assert!(why.contains("clock"), "{why}"),
        other => panic!("{other:?}"),
    }
    set(0);
    publisher.put("a", "3").await.unwrap();
    assert_eq!(audit(&log).commits.len(), 2);
}

#[tokio::test]
async fn a_log_that_is_not_ours_any_more_takes_nothing() {
    let log = founded().await;
    let publisher = Publisher::start(log.clone(), Settings::default(), None).await;
    publisher.put("a", "1").await.unwrap();
    log.truncate(headwater_schemas::Position(1));
    // Somebody else fills the log anew: the reader meets another record where it goes on.
    let other = founded().await;
    let filler = Publisher::start(other.clone(), Settings::default(), None).await;
    for i in 0..3 {
        filler.put("x", &format!("{i}")).await.unwrap();
    }
    let writer = headwater_log::Log::writer(log.as_ref()).unwrap();
    writer.append(other.records().into_iter().map(|record| record.bytes).collect()).await;
    eventually("the replica alarms", || publisher.replica.alarm().is_some()).await;
    let end = log.end();
    match publisher.put("a", "2").await {
        Err(Refusal::LogUnavailable(why)) => assert!(why.contains("another log"), "{why}"),
        unknown => panic!("{unknown:?}"),
    }
    assert_eq!(log.end(), end, "nothing was appended");
}

#[tokio::test]
async fn under_an_alarm_no_fresh_way_to_the_log_is_asked_for_and_after_it_the_write_is_settled() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let publisher = Publisher::start(gated.clone(), Settings::default(), None).await;
    publisher.put("a", "1").await.unwrap();
    let all: Vec<_> = log.records().into_iter().map(|record| record.bytes).collect();
    gated.close();
    let writer = publisher.writer.clone();
    let write = tokio::spawn(async move { writer.write(put("a", "2")).await });
    eventually("it is handed over", || gated.held() == 1).await;
    log.truncate(Position(1));
    eventually("the alarm stands", || publisher.replica.alarm().is_some()).await;
    gated.lose();
    // Longer than the first pauses between two attempts.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((gated.renewed(), gated.held()), (0, 0));
    gated.open().await;
    log.writer().unwrap().append(all[1..].to_vec()).await;
    write.await.unwrap().unwrap();
    assert!(gated.renewed() > 0);
    assert_eq!(audit(&log).times("2"), 1);
}
