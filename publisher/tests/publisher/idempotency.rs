//! One Idempotency-Key, one revision, the same answer.

use std::sync::Arc;

use headwater_log::MemoryLog;
use headwater_publisher::{Refusal, Settings, Write, Writer, Written, genesis};

use crate::chain::audit;
use crate::harness::{Gated, Publisher, eventually, founded, keyed, now_ms, publisher, put};

async fn answer(writer: &Writer, write: Write) -> (headwater_api::ReceiptBody, bool, bool) {
    match writer.write(write).await.unwrap() {
        Written::Committed { receipt, replayed } => {
            (receipt.body.clone(), receipt.created(), replayed)
        }
        Written::DryRun(_) | Written::Unchanged(_) => panic!("a dry run"),
    }
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_here_elsewhere_and_after_a_restart() {
    let log = founded().await;
    let (here, elsewhere) = (publisher(log.clone()).await, publisher(log.clone()).await);
    let write = keyed("k-1", put("a", "1"));
    let first = answer(&here.writer, write.clone()).await;
    assert_eq!((first.1, first.2), (true, false));
    here.put("a", "2").await.unwrap();
    let replay = (first.0.clone(), true, true);
    assert_eq!(answer(&here.writer, write.clone()).await, replay);
    eventually("the other has read it", || elsewhere.revision() == 2).await;
    assert_eq!(answer(&elsewhere.writer, write.clone()).await, replay);
    here.stop().await;
    let restarted = publisher(log.clone()).await;
    assert_eq!(answer(&restarted.writer, write).await, replay);
    assert_eq!(audit(&log).commits.len(), 2);
}

#[tokio::test]
async fn another_request_under_a_used_key_is_refused() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    publisher.receipt(keyed("k", put("a", "1"))).await.unwrap();
    assert_eq!(publisher.receipt(keyed("k", put("a", "2"))).await, Err(Refusal::KeyReused));
    assert_eq!(audit(&log).commits.len(), 1);
}

#[tokio::test]
async fn a_key_under_way_is_in_use_and_free_again_when_its_write_was_refused() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let publisher = publisher(gated.clone()).await;
    gated.close();
    let writer = publisher.writer.clone();
    let first = tokio::spawn(async move { writer.write(keyed("k", put("a", "1"))).await });
    eventually("it is handed over", || gated.held() == 1).await;
    assert_eq!(publisher.receipt(keyed("k", put("a", "1"))).await, Err(Refusal::KeyInUse));
    gated.refuse_first().await;
    assert!(matches!(first.await.unwrap(), Err(Refusal::LogUnavailable(_))));
    assert_eq!(publisher.receipt(keyed("k", put("a", "1"))).await.unwrap().revision, 1);
}

#[tokio::test]
async fn two_publishers_that_get_one_request_at_once_make_one_commit() {
    let log = founded().await;
    let (a, b) = (publisher(log.clone()).await, publisher(log.clone()).await);
    for i in 0..40 {
        let write = keyed(&format!("key-{i}"), put("a", &format!("v{i}")));
        let (x, y) = tokio::join!(a.receipt(write.clone()), b.receipt(write));
        assert_eq!(x.unwrap(), y.unwrap());
    }
    let audit = audit(&log);
    assert!((0..40).all(|i| audit.times(&format!("v{i}")) == 1));
}

#[tokio::test]
async fn a_full_window_refuses_keyed_writes_only() {
    let log = founded().await;
    let settings = Settings { idempotency_keys: 2, ..Settings::default() };
    let publisher = Publisher::start(log, settings, None).await;
    for i in 0..2 {
        publisher.receipt(keyed(&format!("k{i}"), put("a", "1"))).await.unwrap();
    }
    assert!(matches!(
        publisher.receipt(keyed("k2", put("a", "1"))).await,
        Err(Refusal::Overloaded(_))
    ));
    assert_eq!(
        publisher.receipt(keyed("k1", put("a", "1"))).await.unwrap().revision,
        2,
        "a replay has room"
    );
    publisher.put("a", "1").await.unwrap();
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_window_by_the_logs_clock() {
    let clock = Arc::new(std::sync::atomic::AtomicI64::new(now_ms()));
    let ticking = clock.clone();
    let log =
        Arc::new(MemoryLog::with_clock(move || ticking.load(std::sync::atomic::Ordering::Relaxed)));
    genesis::found(log.as_ref(), now_ms()).await.unwrap();
    let publisher = publisher(log.clone()).await;
    publisher.receipt(keyed("k", put("a", "1"))).await.unwrap();
    clock.fetch_add(23 * 3_600_000, std::sync::atomic::Ordering::Relaxed);
    publisher.put("b", "1").await.unwrap();
    assert_eq!(
        publisher.receipt(keyed("k", put("a", "1"))).await.unwrap().revision,
        1,
        "within the day"
    );
    clock.fetch_add(2 * 3_600_000, std::sync::atomic::Ordering::Relaxed);
    publisher.put("b", "2").await.unwrap();
    assert_eq!(
        publisher.receipt(keyed("k", put("a", "1"))).await.unwrap().revision,
        4,
        "a day later"
    );
}
