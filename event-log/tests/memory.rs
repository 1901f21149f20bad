//! The log in memory, and the faults around it.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use headwater_log::{
    Appended, FaultPlan, Faulty, Log, LogReader, MemoryLog, ReadError, Seek, conformance,
};
use headwater_schemas::Position;

const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn the_log_in_memory_conforms() {
    conformance::conforms(|| async { Arc::new(MemoryLog::new()) }).await;
}

#[tokio::test]
async fn one_log_in_memory_conforms_when_used_again_and_again() {
    let log = Arc::new(MemoryLog::new());
    conformance::conforms(|| std::future::ready(Arc::clone(&log))).await;
}

#[tokio::test]
async fn a_faulty_log_without_faults_conforms() {
    let open = || async { Arc::new(Faulty::new(Arc::new(MemoryLog::new()), FaultPlan::NONE, 1)) };
    conformance::conforms(open).await;
}

fn numbered(range: std::ops::Range<u32>) -> Vec<Bytes> {
    range.map(|number| Bytes::from(number.to_string())).collect()
}

async fn with_ten() -> (MemoryLog, Box<dyn LogReader>) {
    let log = MemoryLog::new();
    log.writer().unwrap().append(numbered(0..10)).await;
    let reader = log.reader().await.unwrap();
    (log, reader)
}

#[tokio::test]
async fn a_reader_behind_a_truncation_is_out_of_range() {
    let (log, mut reader) = with_ten().await;
    reader.seek(Seek::At(Position(8))).await.unwrap();
    log.truncate(Position(5));
    let error = reader.read(NOW, 100).await.unwrap_err();
    assert!(matches!(error, ReadError::OutOfRange { position: Position(8), .. }), "{error:?}");
    let again = log.writer().unwrap().append(numbered(50..51)).await;
    assert_eq!(again, [Appended::InLog(Position(5))]);
}

#[tokio::test]
async fn a_reader_before_a_trim_is_out_of_range_and_finds_the_oldest() {
    let (log, mut reader) = with_ten().await;
    log.trim(Position(4));
    let error = reader.read(NOW, 100).await.unwrap_err();
    assert!(matches!(error, ReadError::OutOfRange { .. }), "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(reader.seek(Seek::Oldest).await.unwrap(), Position(4));
    assert_eq!(reader.read(NOW, 100).await.unwrap().records.len(), 6);
}

#[tokio::test]
async fn a_truncation_wakes_a_waiting_reader() {
    let (log, mut reader) = with_ten().await;
    reader.seek(Seek::Newest).await.unwrap();
    let read = reader.read(Duration::from_secs(600), 100);
    let (read, ()) = tokio::join!(read, async { log.truncate(Position(2)) });
    assert!(matches!(read, Err(ReadError::OutOfRange { .. })), "{read:?}");
}

#[tokio::test]
async fn append_times_follow_the_clock_but_never_back() {
    let clock = Arc::new(AtomicI64::new(500));
    let log = MemoryLog::with_clock({
        let clock = Arc::clone(&clock);
        move || clock.load(Ordering::Relaxed)
    });
    for time in [500, 700, 600, 800] {
        clock.store(time, Ordering::Relaxed);
        log.writer().unwrap().append(numbered(0..1)).await;
    }
    let times: Vec<_> = log.records().iter().map(|record| record.appended_at_ms).collect();
    assert_eq!(times, [500, 700, 700, 800]);
    let mut reader = log.reader().await.unwrap();
    assert_eq!(reader.seek(Seek::BeforeTime(600)).await.unwrap(), Position(1));
    assert_eq!(reader.seek(Seek::BeforeTime(701)).await.unwrap(), Position(3));
}

/// A log whose every append suffers the one fault that `plan` sets to 1,000.
fn always(plan: FaultPlan) -> (MemoryLog, Faulty) {
    let log = MemoryLog::new();
    (log.clone(), Faulty::new(Arc::new(log), plan, 7))
}

async fn append_one(log: &Faulty) -> Vec<Appended> {
    log.writer().unwrap().append(numbered(0..1)).await
}

#[tokio::test]
async fn a_dropped_append_is_ambiguous_and_not_in_the_log() {
    let (memory, faulty) = always(FaultPlan { drop: 1000, ..FaultPlan::NONE });
    assert!(matches!(append_one(&faulty).await[..], [Appended::Ambiguous(_)]));
    assert_eq!((memory.end(), faulty.counts().dropped), (Position(0), 1));
}

#[tokio::test]
async fn a_refused_append_is_not_in_the_log() {
    let (memory, faulty) = always(FaultPlan { refuse: 1000, ..FaultPlan::NONE });
    assert!(matches!(append_one(&faulty).await[..], [Appended::Refused(_)]));
    assert_eq!((memory.end(), faulty.counts().refused), (Position(0), 1));
}

#[tokio::test]
async fn a_duplicated_append_is_in_the_log_twice() {
    let (memory, faulty) = always(FaultPlan { duplicate: 1000, ..FaultPlan::NONE });
    assert_eq!(append_one(&faulty).await, [Appended::InLog(Position(0))]);
    assert_eq!((memory.end(), faulty.counts().duplicated), (Position(2), 1));
}

#[tokio::test]
async fn an_ambiguous_append_is_in_the_log() {
    let (memory, faulty) = always(FaultPlan { ambiguous: 1000, ..FaultPlan::NONE });
    assert!(matches!(append_one(&faulty).await[..], [Appended::Ambiguous(_)]));
    assert_eq!((memory.end(), faulty.counts().ambiguous), (Position(1), 1));
}

#[tokio::test]
async fn a_delayed_append_lands_behind_a_later_one_or_when_released() {
    let plan = FaultPlan { delay: 1000, delay_appends: 1, ..FaultPlan::NONE };
    let (memory, faulty) = always(plan);
    let writer = faulty.writer().unwrap();
    assert!(matches!(writer.append(numbered(1..2)).await[..], [Appended::Ambiguous(_)]));
    assert_eq!(memory.end(), Position(0));
    faulty.set_plan(FaultPlan::NONE);
    writer.append(numbered(2..3)).await;
    let landed: Vec<_> = memory.records().into_iter().map(|record| record.bytes).collect();
    assert_eq!(landed, numbered(1..3));

    faulty.set_plan(plan);
    writer.append(numbered(9..10)).await;
    assert_eq!(faulty.release().await, 1);
    assert_eq!(memory.end(), Position(3));
    assert_eq!(faulty.counts().delayed, 2);
}

#[tokio::test]
async fn an_unavailable_reader_does_not_move() {
    let (memory, faulty) = always(FaultPlan { unavailable: 1000, ..FaultPlan::NONE });
    memory.writer().unwrap().append(numbered(0..5)).await;
    let mut reader = faulty.reader().await.unwrap();
    for _ in 0..3 {
        assert!(reader.read(NOW, 100).await.unwrap_err().is_retryable());
        assert!(reader.seek(Seek::Newest).await.unwrap_err().is_retryable());
        assert!(reader.end().await.unwrap_err().is_retryable());
    }
    faulty.set_plan(FaultPlan::NONE);
    assert_eq!(reader.read(NOW, 100).await.unwrap().records.len(), 5);
    assert_eq!(faulty.counts().unavailable, 9);
}

async fn storm(seed: u64) -> (Vec<Appended>, Vec<Bytes>, String) {
    let memory = MemoryLog::new();
    let faulty = Faulty::new(Arc::new(memory.clone()), FaultPlan::every(100), seed);
    let writer = faulty.writer().unwrap();
    let mut answers = Vec::new();
    for number in 0..300 {
        answers.extend(writer.append(numbered(number..number + 1)).await);
    }
    faulty.release().await;
    let landed = memory.records().into_iter().map(|record| record.bytes).collect();
    (answers, landed, format!("{:?}", faulty.counts()))
}

#[tokio::test]
async fn the_same_seed_gives_the_same_storm_and_another_seed_another() {
    assert_eq!(storm(3).await, storm(3).await);
    assert_ne!(storm(3).await.1, storm(4).await.1);
}

#[tokio::test]
async fn a_storm_never_loses_what_is_in_the_log_nor_shows_what_was_refused() {
    for seed in 0..20 {
        let (answers, landed, _) = storm(seed).await;
        for (number, answer) in answers.iter().enumerate() {
            let there = landed.contains(&Bytes::from(number.to_string()));
            match answer {
                Appended::InLog(_) => assert!(there, "seed {seed}: {number} is lost"),
                Appended::Refused(_) => assert!(!there, "seed {seed}: {number} came back"),
                Appended::Ambiguous(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn a_table_in_memory_conforms() {
    headwater_log::table_conformance::conforms(|| async {
        Arc::new(headwater_log::MemoryTable::new())
    })
    .await;
}
