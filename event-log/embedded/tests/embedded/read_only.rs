//! A log as evidence: read without a change, and up to the damage.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use headwater_log::{Log, ReadError, Seek};
use headwater_log_embedded::{OpenError, ReadOnlyLog};
use headwater_schemas::{Position, Record};

use crate::support::{Closed, append, commit, mark, open};

/// Every file of a folder: when it was changed, and its bytes.
fn listing(dir: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let about = |file: fs::DirEntry| {
        let changed = file.metadata().unwrap().modified().unwrap();
        let name = file.file_name().to_string_lossy().into_owned();
        (name, (changed, fs::read(file.path()).unwrap()))
    };
    files.map(about).collect()
}

/// Everything up to the log's end, and the damage that it ends with.
async fn read_all(log: &ReadOnlyLog) -> (Vec<Record>, Option<String>) {
    let mut reader = log.reader().await.unwrap();
    let mut records = Vec::new();
    loop {
        match reader.read(Duration::ZERO, 1 << 20).await {
            Ok(batch) => records.extend(batch.records),
            Err(ReadError::Corrupt(why)) => return (records, Some(why)),
            Err(other) => panic!("{other}"),
        }
        if reader.end().await.unwrap() == Position(records.len() as u64) {
            return (records, None);
        }
    }
}

/// Reads a log, which must give the first `sound` records of `closed` and then end with a damage; its words.
async fn damaged_behind(dir: &Path, closed: &Closed, sound: usize) -> String {
    let before = listing(dir);
    let log = ReadOnlyLog::open(dir).unwrap();
    let (records, why) = read_all(&log).await;
    let why = why.unwrap_or_else(|| panic!("no damage: {} records", records.len()));
    assert_eq!(records.len(), sound, "{why}");
    assert!(records.iter().map(|record| &record.bytes).eq(&closed.records[..sound]), "{why}");
    assert!(listing(dir) == before, "{why}");
    why
}

#[tokio::test]
async fn reading_a_log_changes_no_byte_and_no_name_in_its_directory() {
    for closed in [Closed::unflushed(&[40, 40_000, 9]).await, Closed::partly_flushed(14).await] {
        let before = listing(closed.path());
        let log = ReadOnlyLog::open(closed.path()).unwrap();
        assert!(listing(closed.path()) == before, "while it is open");
        let (records, damage) = read_all(&log).await;
        assert_eq!(damage, None);
        assert!(records.iter().map(|record| &record.bytes).eq(&closed.records));
        assert!(log.writer().is_none());
        drop(log);
        assert!(listing(closed.path()) == before, "afterwards");
    }
}

#[tokio::test]
async fn a_log_on_a_read_only_folder_is_read() {
    let closed = Closed::partly_flushed(14).await;
    for file in fs::read_dir(closed.path()).unwrap() {
        fs::set_permissions(file.unwrap().path(), Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(closed.path(), Permissions::from_mode(0o555)).unwrap();
    let read = read_all(&ReadOnlyLog::open(closed.path()).unwrap()).await;
    fs::set_permissions(closed.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!((read.0.len(), read.1), (14, None));
}

#[tokio::test]
async fn a_log_that_is_written_to_is_refused_and_one_that_is_read_takes_no_writer() {
    let closed = Closed::partly_flushed(12).await;
    let writing = open(closed.path()).unwrap();
    let refused = ReadOnlyLog::open(closed.path()).unwrap_err();
    assert!(matches!(&refused, OpenError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    writing.close().await;
    drop(writing);
    let one = ReadOnlyLog::open(closed.path()).unwrap();
    let two = ReadOnlyLog::open(closed.path()).unwrap();
    let refused = open(closed.path()).unwrap_err().to_string();
    assert!(refused.contains("it only reads"), "{refused}");
    drop((one, two));
    open(closed.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_folder_without_a_log_is_refused_and_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(ReadOnlyLog::open(dir.path()), Err(OpenError::Directory { .. })));
    assert!(listing(dir.path()).is_empty());
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(ReadOnlyLog::open(&nowhere), Err(OpenError::Directory { .. })));
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn a_reader_goes_where_it_is_sent() {
    let closed = Closed::partly_flushed(14).await;
    let log = ReadOnlyLog::open(closed.path()).unwrap();
    let mut reader = log.reader().await.unwrap();
    assert_eq!(reader.seek(Seek::Newest).await.unwrap(), Position(14));
    let batch = reader.read(Duration::from_secs(60), 1).await.unwrap();
    assert!(batch.records.is_empty() && batch.at_end, "it never waits");
    assert_eq!(reader.seek(Seek::At(Position(9))).await.unwrap(), Position(9));
    let batch = reader.read(Duration::ZERO, 1).await.unwrap();
    assert_eq!((batch.records[0].position, batch.next), (Position(9), Position(10)));
    let time = batch.records[0].appended_at_ms;
    let found = reader.seek(Seek::BeforeTime(time)).await.unwrap();
    assert!(found <= Position(9));
    assert_eq!(reader.seek(Seek::BeforeTime(0)).await.unwrap(), Position(0));
    reader.seek(Seek::At(Position(99))).await.unwrap();
    let beyond = reader.read(Duration::ZERO, 1).await;
    assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })), "{beyond:?}");
}

#[tokio::test]
async fn a_damaged_write_ahead_log_is_read_up_to_the_changed_byte() {
    let sizes: Vec<usize> = (0..30).map(|i| if i % 13 == 7 { 40_000 } else { 40 }).collect();
    let closed = Closed::unflushed(&sizes).await;
    let end = *closed.ends.last().unwrap();
    let mut damaged = 0;
    for at in (3..end).step_by(4_001) {
        let copy = closed.copy("log", |bytes| bytes[usize::try_from(at).unwrap()] ^= 4);
        if open(copy.path()).is_ok() {
            // Padding between blocks: nobody's byte.
            continue;
        }
        damaged += 1;
        let revision = closed.ends.iter().filter(|end| **end <= at).count();
        let why = damaged_behind(copy.path(), &closed, revision).await;
        assert!(
            why.contains(&format!("revision {revision} is damaged (position {revision})")),
            "{why}"
        );
    }
    assert!(damaged > 15, "{damaged}");
}

#[tokio::test]
async fn the_records_before_a_changed_one_in_its_group_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    append(&log, (0..100).map(|revision| commit(revision, 50)).collect()).await;
    log.close().await;
    let mut closed = Closed::unflushed(&[]).await;
    closed.records = (0..100).map(|revision| commit(revision, 50)).collect();
    let file = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(15).position(|it| it == mark(57).as_bytes()).unwrap();
    bytes[at] ^= 4;
    fs::write(&file, bytes).unwrap();
    let why = damaged_behind(dir.path(), &closed, 57).await;
    assert!(why.contains("revision 57 is damaged"), "{why}");
}

#[tokio::test]
async fn a_write_ahead_log_cut_inside_an_older_write_is_read_up_to_there() {
    let closed = Closed::partly_flushed(14).await;
    // A byte taken out: what follows no longer stands where it was.
    let at = usize::try_from(closed.ends[11]).unwrap() - 20;
    let copy = closed.copy("log", |bytes| {
        bytes.remove(at);
    });
    damaged_behind(copy.path(), &closed, 11).await;
    // The end torn off, as by a crash: no damage, and a shorter log.
    let copy = closed.copy("log", |bytes| bytes.truncate(at));
    let (records, damage) = read_all(&ReadOnlyLog::open(copy.path()).unwrap()).await;
    assert_eq!((records.len(), damage), (11, None));
}

#[tokio::test]
async fn a_damaged_table_is_read_up_to_the_changed_record() {
    let closed = Closed::flushed(2_000).await;
    for revision in [0, 1, 999, 1_534, 1_999] {
        let copy = closed.copy("sst", |bytes| {
            let mark = mark(revision);
            let at = bytes.windows(mark.len()).position(|it| it == mark.as_bytes()).unwrap();
            bytes[at + 3] ^= 0x20;
        });
        let sound = usize::try_from(revision).unwrap();
        let why = damaged_behind(copy.path(), &closed, sound).await;
        assert!(why.contains(&format!("revision {revision} is damaged")), "{why}");
    }
}

/// The first 2,000 records in a table, 1,000 in a second one, the others in the write-ahead log.
async fn two_tables() -> Closed {
    let mut closed = Closed::flushed(2_000).await;
    let log = open(closed.path()).unwrap();
    for range in [2_000..3_000, 3_000..3_010] {
        let records: Vec<_> = range.map(|revision| commit(revision, 50)).collect();
        append(&log, records.clone()).await;
        if records.len() == 1_000 {
            log.flush().unwrap();
        }
        closed.records.extend(records);
    }
    log.close().await;
    closed
}

#[tokio::test]
async fn a_lost_table_is_named_and_all_before_it_is_read() {
    let closed = two_tables().await;
    let name = closed.newest("sst").file_name().unwrap().to_os_string();
    let copy = closed.copy("sst", |_| ());
    fs::remove_file(copy.path().join(&name)).unwrap();
    let why = damaged_behind(copy.path(), &closed, 2_000).await;
    assert!(why.contains("revision 2000 is damaged (position 2000)"), "{why}");
    assert!(why.contains(&*name.to_string_lossy()), "{why}");
}

#[tokio::test]
async fn a_cut_table_is_named_and_read_up_to_where_it_was_cut() {
    let closed = two_tables().await;
    let name = closed.newest("sst").file_name().unwrap().to_os_string();
    let table = fs::read(closed.newest("sst")).unwrap();
    // In the middle of a record, of a block, of what stands behind the blocks, and of the table's last bytes.
    for cut in [0, 10, 20_000, 100_000, table.len() - 2_000, table.len() - 1] {
        let copy = closed.copy("sst", |bytes| bytes.truncate(cut));
        let whole = |revision: &u64| {
            let mark = mark(*revision);
            table[..cut].windows(mark.len()).any(|it| it == mark.as_bytes())
        };
        // All of the table's records may be whole; those behind it stand in the write-ahead log.
        let sound = (2_000..3_010_u64).find(|revision| *revision < 3_000 && !whole(revision));
        let sound = usize::try_from(sound.unwrap_or(3_010)).unwrap();
        let why = damaged_behind(copy.path(), &closed, sound).await;
        assert!(why.contains(&format!("revision {sound} is damaged (position {sound})")), "{why}");
        assert!(why.contains(&*name.to_string_lossy()), "{cut}: {why}");
    }
}

#[tokio::test]
async fn any_byte_changed_in_a_table_harms_no_record_before_it() {
    let closed = two_tables().await;
    let length = usize::try_from(fs::metadata(closed.newest("sst")).unwrap().len()).unwrap();
    let offsets = (0..length).step_by(29_973).chain((length - 3_000..length).step_by(211));
    let mut damaged = 0;
    for at in offsets {
        let copy = closed.copy("sst", |bytes| bytes[at] ^= 1 << (at % 8));
        let before = listing(copy.path());
        let log = ReadOnlyLog::open(copy.path()).unwrap();
        let (records, why) = read_all(&log).await;
        assert!(records.len() >= 2_000, "byte {at}: {why:?}");
        // Where it is only RocksDB's way to the records, all of them are whole.
        let whole = closed.records.len() == records.len();
        assert!(whole || why.is_some(), "byte {at}");
        let sound = &closed.records[..records.len()];
        assert!(records.iter().map(|record| &record.bytes).eq(sound), "byte {at}");
        assert!(listing(copy.path()) == before, "byte {at}");
        damaged += usize::from(why.is_some());
    }
    assert!(damaged > 10, "{damaged}");
}

#[tokio::test]
async fn a_log_without_its_list_of_tables_is_damaged_and_every_record_is_read() {
    for lost in ["CURRENT", "MANIFEST"] {
        for closed in [Closed::unflushed(&[40; 12]).await, two_tables().await] {
            let files = fs::read_dir(closed.path()).unwrap().map(|file| file.unwrap().path());
            let is_lost = |path: &std::path::PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(lost))
            };
            files.filter(is_lost).for_each(|path| fs::remove_file(path).unwrap());
            damaged_behind(closed.path(), &closed, closed.records.len()).await;
        }
    }
}
