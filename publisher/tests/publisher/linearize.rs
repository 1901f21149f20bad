//! A linearizable read reflects every write acknowledged before it began, by any publisher.

use std::sync::Arc;

use headwater_api::Code;
use headwater_log::{FaultPlan, Faulty};
use headwater_publisher::Settings;
use headwater_schemas::marker_nonce;

use crate::harness::{Gated, Publisher, eventually, founded, publisher, put};
use crate::metered::Metered;

#[tokio::test]
async fn what_another_acknowledged_before_is_read() {
    let log = founded().await;
    let (a, b) = (publisher(log.clone()).await, publisher(log.clone()).await);
    for i in 0..100 {
        let value = format!("{i}");
        a.put("k", &value).await.unwrap();
        b.writer.linearize().await.unwrap();
        assert_eq!(b.value("k"), Some(value));
    }
}

#[tokio::test]
async fn reads_at_once_share_a_marker() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    let reads = (0..500).map(|_| publisher.writer.linearize());
    assert!(futures::future::join_all(reads).await.iter().all(Result::is_ok));
    let markers = log.records().iter().filter(|r| marker_nonce(&r.bytes).is_some()).count();
    // One of them compared the clocks at the start.
    assert!((2..=6).contains(&markers), "{markers} markers");
    assert_eq!(publisher.revision(), 0, "a marker is no commit");
}

#[tokio::test]
async fn a_lost_marker_is_sent_again_and_in_the_end_the_read_fails() {
    let log = founded().await;
    let faulty = Arc::new(Faulty::new(log.clone(), FaultPlan::NONE, 3));
    let publisher = publisher(faulty.clone()).await;
    faulty.set_plan(FaultPlan { drop: 500, ..FaultPlan::NONE });
    for _ in 0..20 {
        publisher.writer.linearize().await.unwrap();
    }
    let gated = Gated::new(log);
    let settings = Settings { linearize_timeout_ms: 200, ..Settings::default() };
    let stuck = Publisher::start(gated.clone(), settings, None).await;
    gated.close();
    assert_eq!(stuck.writer.linearize().await.unwrap_err().code, Code::LogUnavailable);
}

#[tokio::test]
async fn a_read_waits_for_what_was_acknowledged_before_it_even_behind_an_older_write_of_ours() {
    let log = founded().await;
    let metered = Metered::new(log.clone());
    let (here, behind) = (publisher(log.clone()).await, publisher(metered.clone()).await);
    metered.close();
    // The reader that waits already takes one more record.
    here.put("filler", "1").await.unwrap();
    eventually("it is read", || behind.revision() == 1).await;
    let (before, writer) = (log.end(), behind.writer.clone());
    let ours = tokio::spawn(async move { writer.write(put("ours", "1")).await });
    eventually("ours is in the log", || log.end() > before).await;
    eventually("the other has read it", || here.revision() == 2).await;
    here.put("k", "1").await.unwrap();
    let writer = behind.writer.clone();
    let read = tokio::spawn(async move { writer.linearize().await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    metered.allow(1);
    ours.await.unwrap().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!read.is_finished(), "k was acknowledged before the read began and is not read yet");
    metered.open();
    read.await.unwrap().unwrap();
    assert_eq!(behind.value("k").as_deref(), Some("1"));
}
