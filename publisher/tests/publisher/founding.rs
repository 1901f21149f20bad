//! Founding a stream.

use std::sync::Arc;

use bytes::Bytes;
use headwater_log::{FaultPlan, Faulty, Log, MemoryLog};
use headwater_publisher::genesis::{FoundError, found};
use headwater_schemas::Position;

use crate::harness::now_ms;

#[tokio::test]
async fn an_empty_log_is_founded_once() {
    let log = MemoryLog::new();
    let first = found(&log, now_ms()).await.unwrap();
    assert!(first.here);
    let again = found(&log, now_ms()).await.unwrap();
    assert_eq!((again.stream_id, again.hash, again.here), (first.stream_id, first.hash, false));
    assert_eq!(log.records().len(), 1);
}

#[tokio::test]
async fn two_that_found_at_once_end_with_one_stream() {
    for _ in 0..50 {
        let log = MemoryLog::new();
        let (a, b) = tokio::join!(found(&log, 1), found(&log, 1));
        assert_eq!(a.unwrap().stream_id, b.unwrap().stream_id);
    }
}

#[tokio::test]
async fn an_ambiguous_genesis_is_looked_for_and_made_once_more_if_missing() {
    for seed in 0..30 {
        let log = Arc::new(MemoryLog::new());
        let plan = FaultPlan { unavailable: 0, ..FaultPlan::every(150) };
        let faulty = Faulty::new(log.clone(), plan, seed);
        let Ok(founded) = found(&faulty, 1).await else { continue };
        faulty.release().await;
        assert_eq!(
            found(log.as_ref(), 1).await.unwrap().stream_id,
            founded.stream_id,
            "seed {seed}"
        );
    }
}

#[tokio::test]
async fn a_log_of_somebody_elses_is_refused() {
    let log = MemoryLog::new();
    log.writer().unwrap().append(vec![Bytes::from_static(b"not ours")]).await;
    assert!(matches!(found(&log, 1).await, Err(FoundError::NotOurs { .. })));
    assert_eq!(log.records().len(), 1);
}

#[tokio::test]
async fn an_emptied_log_is_refused() {
    let log = MemoryLog::new();
    found(&log, 1).await.unwrap();
    log.trim(Position(1));
    assert!(matches!(found(&log, 1).await, Err(FoundError::Emptied { end: Position(1), .. })));
    assert_eq!(log.records().len(), 0);
}
