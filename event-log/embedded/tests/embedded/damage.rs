//! A byte that changed after it was written: found, and named by its revision.

use std::time::Duration;

use headwater_log::{Appended, Log, ReadError, Seek};
use headwater_log_embedded::{Damage, EmbeddedLog, EmbeddedSettings, OpenError};
use headwater_schemas::Position;

use crate::support::{Closed, mark, open, read_all, settings};

fn damage(opened: Result<std::sync::Arc<EmbeddedLog>, OpenError>) -> Damage {
    match opened {
        Err(OpenError::Damaged { damage, .. }) => damage,
        Err(other) => panic!("another refusal: {other}"),
        Ok(_) => panic!("it opened"),
    }
}

/// Where the value of a revision stands in a file.
fn find(bytes: &[u8], revision: u64) -> usize {
    let mark = mark(revision);
    bytes.windows(mark.len()).position(|window| window == mark.as_bytes()).unwrap()
}

#[tokio::test]
async fn any_byte_changed_in_the_write_ahead_log_is_found_at_its_revision() {
    let sizes: Vec<usize> = (0..40).map(|i| if i % 13 == 7 { 40_000 } else { 40 }).collect();
    let closed = Closed::unflushed(&sizes).await;
    // Everywhere, and in many headers: checksum, length, kind, sequence, count, key.
    let starts = std::iter::once(0).chain(closed.ends.iter().copied()).step_by(9);
    let headers = starts.flat_map(|start| (start..start + 32).step_by(3));
    let end = *closed.ends.last().unwrap();
    every_change_is_found(&closed, (0..end).step_by(2503).chain(headers)).await;
}

#[tokio::test]
async fn damage_right_behind_the_tables_is_found_at_its_revision() {
    let closed = Closed::partly_flushed(14).await;
    every_change_is_found(&closed, 0..closed.ends[11]).await;
}

/// Changes one bit at each of these places of the write-ahead log, and opens.
async fn every_change_is_found(closed: &Closed, places: impl Iterator<Item = u64>) {
    let end = *closed.ends.last().unwrap();
    let (mut refused, mut count) = (0, 0);
    for at in places.filter(|at| *at < end) {
        let bit = 1 << (at % 8);
        let copy = closed.copy("log", |bytes| bytes[usize::try_from(at).unwrap()] ^= bit);
        let opened = open(copy.path());
        let revision = closed.ends.iter().filter(|end| **end <= at).count() as u64;
        count += 1;
        if let Ok(log) = opened {
            // Padding between blocks: nobody's byte.
            let kept = read_all(&log).await;
            assert_eq!(kept.len(), closed.records.len(), "byte {at} of revision {revision}");
            log.close().await;
        } else {
            let damage = damage(opened);
            assert_eq!(damage.revision, Some(revision), "byte {at}: {damage}");
            assert_eq!(damage.position, Some(revision), "byte {at}: {damage}");
            refused += 1;
        }
    }
    assert!(refused * 100 >= count * 98, "{refused} of {count}");
}

#[tokio::test]
async fn a_byte_changed_in_a_group_is_found_at_its_own_record() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let records = (0..100).map(|revision| crate::support::commit(revision, 50)).collect();
    crate::support::append(&log, records).await;
    assert_eq!(log.groups(), 1);
    log.close().await;
    for revision in [0, 1, 57, 99] {
        let file = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let file = file.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
        let sound = std::fs::read(&file).unwrap();
        let mut bytes = sound.clone();
        let at = find(&bytes, revision);
        bytes[at] ^= 4;
        std::fs::write(&file, bytes).unwrap();
        let damage = damage(open(dir.path()));
        assert_eq!(
            (damage.position, damage.revision),
            (Some(revision), Some(revision)),
            "{damage}"
        );
        std::fs::write(&file, sound).unwrap();
    }
    let log = open(dir.path()).unwrap();
    assert_eq!(log.verify().unwrap(), 100, "a refusal changes nothing");
}

#[tokio::test]
async fn a_value_changed_in_a_table_is_found_at_its_revision() {
    let closed = Closed::flushed(2000).await;
    for revision in [0, 1, 2, 999, 1000, 1534, 1998, 1999] {
        let copy = closed.copy("sst", |bytes| {
            let at = find(bytes, revision);
            bytes[at + 3] ^= 0x20;
        });
        let error = open(copy.path()).unwrap_err();
        assert!(error.to_string().contains(&format!("revision {revision} is damaged")), "{error}");
        let damage = damage(Err(error));
        assert_eq!(
            (damage.position, damage.revision),
            (Some(revision), Some(revision)),
            "{damage}"
        );
    }
}

#[tokio::test]
async fn any_byte_changed_in_a_table_is_a_refusal_or_harms_no_record() {
    let closed = Closed::flushed(300).await;
    let length = std::fs::metadata(closed.newest("sst")).unwrap().len();
    let length = usize::try_from(length).unwrap();
    // All over the records, and closely over the index, the properties and the footer behind them.
    let offsets = (0..length).step_by(997).chain((length - 3000..length).step_by(61));
    let mut refused = 0;
    for at in offsets {
        let copy = closed.copy("sst", |bytes| bytes[at] ^= 1 << (at % 8));
        match open(copy.path()) {
            Ok(log) => {
                let kept = read_all(&log).await.into_iter().map(|record| record.bytes);
                assert!(kept.eq(closed.records.iter().cloned()), "byte {at}");
                log.close().await;
            }
            Err(OpenError::Damaged { .. } | OpenError::Storage { .. }) => refused += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refused > 50, "{refused}");
}

#[tokio::test]
async fn damage_in_the_old_part_of_a_large_log_stops_it_soon_after_its_start() {
    let closed = Closed::flushed(12_000).await;
    let copy = closed.copy("sst", |bytes| {
        let at = find(bytes, 137);
        bytes[at] ^= 1;
    });
    let only_the_tail = EmbeddedSettings { verify_on_open_bytes: 0, ..settings(copy.path()) };
    let log = EmbeddedLog::open(only_the_tail).unwrap();
    // The verification may have found it already, or finds it while this waits.
    let mut reader = match log.reader().await {
        Ok(reader) => reader,
        Err(error) => panic!("{error}"),
    };
    let stopped = loop {
        let _ = reader.seek(Seek::Newest).await;
        if let Err(error) = reader.read(Duration::from_secs(60), 100).await {
            break error;
        }
    };
    assert!(
        matches!(&stopped, ReadError::Corrupt(why) if why.contains("revision 137")),
        "{stopped}"
    );
    let appended = log.writer().unwrap().append(vec!["more".into()]).await;
    assert!(matches!(&appended[..], [Appended::Refused(why)] if why.contains("revision 137")));
    log.close().await;
}

#[tokio::test]
async fn damage_in_the_tail_of_a_large_log_is_a_refusal() {
    let closed = Closed::flushed(12_000).await;
    let copy = closed.copy("sst", |bytes| {
        let at = find(bytes, 11_000);
        bytes[at] ^= 1;
    });
    let only_the_tail = EmbeddedSettings { verify_on_open_bytes: 0, ..settings(copy.path()) };
    assert_eq!(damage(EmbeddedLog::open(only_the_tail)).revision, Some(11_000));
}

#[tokio::test]
async fn a_reader_that_meets_damage_says_where_and_stops_the_log() {
    let closed = Closed::flushed(2000).await;
    let log = open(closed.path()).unwrap();
    // Changed under the open log.
    let file = closed.newest("sst");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = find(&bytes, 1500);
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut reader = log.reader().await.unwrap();
    reader.seek(Seek::At(Position(1490))).await.unwrap();
    let error = reader.read(Duration::ZERO, 1 << 20).await.unwrap_err();
    assert!(matches!(&error, ReadError::Corrupt(why) if why.contains("revision 1500")), "{error}");
    assert!(log.verify().is_err());
    let appended = log.writer().unwrap().append(vec!["more".into()]).await;
    assert!(matches!(appended[..], [Appended::Refused(_)]));
    log.close().await;
}

#[tokio::test]
async fn a_lost_table_or_manifest_is_a_refusal_and_never_an_empty_log() {
    let closed = Closed::flushed(100).await;
    for lost in ["CURRENT", "sst"] {
        let copy = closed.copy("sst", |_| {});
        let path = match lost {
            "sst" => copy.path().join(closed.newest("sst").file_name().unwrap()),
            name => copy.path().join(name),
        };
        std::fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let error = open(copy.path()).unwrap_err();
            let expected = matches!(error, OpenError::Storage { .. } | OpenError::Damaged { .. });
            assert!(expected, "{error}");
        }
    }
}
