//! What every log must do, and what this one promises beyond.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_log::{Appended, Log, ReadError, Seek, conformance};
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings, OpenError};
use headwater_schemas::Position;

use crate::support::{append, open, read_all, settings};

#[tokio::test]
async fn the_log_on_disk_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    conformance::conforms(|| std::future::ready(Arc::clone(&log))).await;
    assert!(log.verify().unwrap() > 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_keeps_nothing_in_memory_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let settings = EmbeddedSettings {
        ring_bytes: 0,
        memtable_bytes: 64 * 1024,
        ..EmbeddedSettings::new(dir.path())
    };
    let log = EmbeddedLog::open(settings).unwrap();
    conformance::conforms(|| std::future::ready(Arc::clone(&log))).await;
    assert!(log.verify().unwrap() > 500);
}

fn numbered(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| number.to_string().into()).collect()
}

#[tokio::test]
async fn a_thousand_appends_at_once_share_their_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let writer = log.writer().unwrap();
    let waits: Vec<_> = numbered(1000).into_iter().map(|r| writer.append(vec![r])).collect();
    for (position, appended) in futures::future::join_all(waits).await.into_iter().enumerate() {
        assert_eq!(appended, [Appended::InLog(Position(position as u64))]);
    }
    assert!((1..500).contains(&log.groups()), "{} syncs", log.groups());
}

#[tokio::test]
async fn a_closed_log_opens_again_with_everything_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let log = open(dir.path()).unwrap();
        append(&log, vec![Bytes::from(format!("round {round}"))]).await;
        let records = read_all(&log).await;
        let expected: Vec<_> = (0..=round).map(|r| Bytes::from(format!("round {r}"))).collect();
        assert_eq!(records.iter().map(|r| r.bytes.clone()).collect::<Vec<_>>(), expected);
        assert!(records.is_sorted_by_key(|r| r.appended_at_ms));
        log.close().await;
    }
}

#[tokio::test]
async fn a_closed_log_refuses_appends_and_ends_its_readers() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let writer = log.writer().unwrap();
    let mut reader = log.reader().await.unwrap();
    reader.seek(Seek::Newest).await.unwrap();
    let before = writer.append(numbered(3));
    log.close().await;
    assert!(before.await.iter().all(|how| matches!(how, Appended::InLog(_))));
    assert!(matches!(writer.append(numbered(1)).await[..], [Appended::Refused(_)]));
    let read = reader.read(Duration::from_secs(600), 100).await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    assert!(matches!(log.reader().await.err(), Some(ReadError::Unavailable(_))));
    assert!(log.verify().unwrap_err().is_retryable());
}

#[tokio::test]
async fn closing_wakes_a_waiting_reader() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let mut reader = log.reader().await.unwrap();
    let (read, ()) = tokio::join!(reader.read(Duration::from_secs(600), 100), log.close());
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
}

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = EmbeddedSettings { queue_records: 4, queue_bytes: 100, ..settings(dir.path()) };
    let log = EmbeddedLog::open(bounds).unwrap();
    let writer = log.writer().unwrap();
    for too_much in [numbered(5), vec![Bytes::from(vec![0; 60]); 2]] {
        let count = too_much.len();
        let appended = writer.append(too_much).await;
        assert_eq!(appended.len(), count);
        for how in appended {
            assert!(
                matches!(&how, Appended::Refused(why) if why.contains("queue full")),
                "{how:?}"
            );
        }
    }
    append(&log, numbered(4)).await;
    assert_eq!(read_all(&log).await.len(), 4);
}

#[tokio::test]
async fn a_record_that_no_reader_could_decode_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = EmbeddedSettings { max_record_bytes: 10, ..settings(dir.path()) };
    let log = EmbeddedLog::open(bounds).unwrap();
    let appended = log.writer().unwrap().append(vec![Bytes::from_static(b"eleven byte")]).await;
    assert!(matches!(&appended[..], [Appended::Refused(why)] if why.contains("at most 10")));
    append(&log, vec![Bytes::from_static(b"ten  bytes")]).await;
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_free_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains(&format!("another headwater process (pid {})", std::process::id())));
    assert!(told.contains("--data"), "{told}");
    log.close().await;
    open(dir.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_missing_directory_is_made_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir.path().join("data/log")).unwrap();
    let mode = std::fs::metadata(dir.path().join("data/log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(log.identity().kind, "embedded");
    assert!(log.identity().place.ends_with("data/log"));
}

#[tokio::test]
async fn a_path_that_is_a_file_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = open(&file).unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()));
}

#[tokio::test]
async fn a_log_lives_as_long_as_its_readers_and_writers_and_then_frees_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let (writer, mut reader) = (log.writer().unwrap(), log.reader().await.unwrap());
    drop(log);
    assert_eq!(writer.append(numbered(1)).await, [Appended::InLog(Position(0))]);
    assert_eq!(reader.read(Duration::from_secs(600), 100).await.unwrap().records.len(), 1);
    drop(writer.append(vec![Bytes::from_static(b"under way")]));
    drop((writer, reader));
    let log = open(dir.path()).unwrap();
    assert_eq!(read_all(&log).await.len(), 2, "what was handed over is there");
    log.close().await;
}
