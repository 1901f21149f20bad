//! One line of set-up for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_log::{Appended, Log};
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings, OpenError};
use headwater_schemas::{
    Change, Commit, CommitId, Digest, FORMAT, Hash, Record, StreamId, encode_commit,
};
use tempfile::TempDir;

pub(crate) fn settings(dir: &Path) -> EmbeddedSettings {
    EmbeddedSettings { memtable_bytes: 1 << 20, ..EmbeddedSettings::new(dir) }
}

pub(crate) fn open(dir: &Path) -> Result<Arc<EmbeddedLog>, OpenError> {
    EmbeddedLog::open(settings(dir))
}

/// The commit of a revision, `size` bytes of value in it, and its number spelled out at the value's end.
pub(crate) fn commit(revision: u64, size: usize) -> Bytes {
    encode_commit(&Commit {
        stream_id: StreamId([7; 16]),
        format: FORMAT,
        revision,
        parent: Hash::of(&revision.to_le_bytes()),
        commit_id: CommitId::nil(),
        at_ms: 1,
        actor: "somebody".into(),
        reason: None,
        idempotency: None,
        expects: Vec::new(),
        changes: vec![Change::Put {
            namespace: "some.namespace".parse().unwrap(),
            key: "some/key".parse().unwrap(),
            content_type: "text/plain".into(),
            value: format!("{:>size$}", mark(revision)).into(),
            version: revision + 1,
        }],
        digest: Digest::default(),
        attributes: Default::default(),
    })
}

/// Text that stands in the commit of this revision and nowhere else.
pub(crate) fn mark(revision: u64) -> String {
    format!("value-of-{revision:06}")
}

pub(crate) async fn append(log: &EmbeddedLog, records: Vec<Bytes>) {
    let count = records.len();
    let appended = log.writer().unwrap().append(records).await;
    let in_log = appended.iter().filter(|how| matches!(how, Appended::InLog(_))).count();
    assert_eq!(in_log, count, "{appended:?}");
}

/// Everything in the log.
pub(crate) async fn read_all(log: &EmbeddedLog) -> Vec<Record> {
    let mut reader = log.reader().await.unwrap();
    let mut records = Vec::new();
    loop {
        let batch = reader.read(Duration::ZERO, 1 << 20).await.unwrap();
        records.extend(batch.records);
        if batch.at_end {
            return records;
        }
    }
}

/// A closed log whose record at each position is the commit of that revision, each a group of its own.
pub(crate) struct Closed {
    dir: TempDir,
    pub(crate) records: Vec<Bytes>,
    /// How long the write-ahead log was behind each record, in bytes.
    pub(crate) ends: Vec<u64>,
}

impl Closed {
    /// Everything in the write-ahead log.
    pub(crate) async fn unflushed(sizes: &[usize]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path()).unwrap();
        let mut closed = Self { dir, records: Vec::new(), ends: Vec::new() };
        for (revision, size) in (0..).zip(sizes) {
            closed.records.push(commit(revision, *size));
            append(&log, vec![commit(revision, *size)]).await;
            closed.ends.push(fs::metadata(closed.newest("log")).unwrap().len());
        }
        log.close().await;
        closed
    }

    /// The first ten in a table, the others in the write-ahead log.
    pub(crate) async fn partly_flushed(count: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path()).unwrap();
        let mut closed = Self { dir, records: Vec::new(), ends: Vec::new() };
        for revision in 0..count {
            if revision == 10 {
                log.flush().unwrap();
                closed.ends.fill(0);
            }
            closed.records.push(commit(revision, 50));
            append(&log, vec![commit(revision, 50)]).await;
            closed.ends.push(fs::metadata(closed.newest("log")).unwrap().len());
        }
        log.close().await;
        closed
    }

    /// Everything in one table.
    pub(crate) async fn flushed(count: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(EmbeddedSettings::new(dir.path())).unwrap();
        let records: Vec<_> = (0..count).map(|revision| commit(revision, 50)).collect();
        for some in records.chunks(1000) {
            append(&log, some.to_vec()).await;
        }
        log.flush().unwrap();
        log.close().await;
        Self { dir, records, ends: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The newest file whose name ends so.
    pub(crate) fn newest(&self, extension: &str) -> PathBuf {
        newest(self.path(), extension)
    }

    /// A copy, with one file's bytes changed.
    pub(crate) fn copy(&self, extension: &str, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let file = newest(copy.path(), extension);
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        copy
    }
}

fn newest(dir: &Path, extension: &str) -> PathBuf {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|e| e == extension)).max().unwrap()
}
