//! A log in memory: for tests, and the plainest statement of what a log is.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_schemas::{Position, Record};
use tokio::sync::watch;

use crate::{Appended, Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};

/// A log in memory. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    /// Milliseconds since the Unix epoch.
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    kept: Mutex<Kept>,
    /// Counts what happened to the log, so that no reader misses a wake-up.
    events: watch::Sender<u64>,
}

/// The records still kept; the first of them stands at `first`.
#[derive(Default)]
struct Kept {
    first: u64,
    records: VecDeque<Record>,
    last_ms: i64,
}

impl Kept {
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn from(&self, position: Position) -> impl Iterator<Item = &Record> {
        let skip = usize::try_from(position.0.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.records.range(skip.min(self.records.len())..)
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        f.debug_struct("MemoryLog").field("first", &kept.first).field("end", &kept.end()).finish()
    }
}

impl MemoryLog {
    /// An empty log that stamps records by the system's clock.
    pub fn new() -> Self {
        Self::with_clock(system_ms)
    }

    /// An empty log that stamps records by `clock` (milliseconds since the Unix epoch).
    pub fn with_clock(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let place = "this process's memory".into();
        let identity = Identity { kind: "memory", place, cluster_id: None };
        let inner = Inner {
            identity,
            clock: Box::new(clock),
            kept: Mutex::default(),
            events: watch::Sender::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Drops every record at or behind `to`, as a log that was restored from an older copy; the next append
    /// takes that position again.
    pub fn truncate(&self, to: Position) {
        let mut kept = self.kept();
        let keep = usize::try_from(to.0.saturating_sub(kept.first)).unwrap_or(usize::MAX);
        kept.records.truncate(keep);
        drop(kept);
        self.wake();
    }

    /// Drops every record before `before`, as retention would.
    pub fn trim(&self, before: Position) {
        let mut kept = self.kept();
        while kept.first < before.0 && kept.records.pop_front().is_some() {
            kept.first += 1;
        }
        drop(kept);
        self.wake();
    }

    /// The records it keeps.
    pub fn records(&self) -> Vec<Record> {
        self.kept().records.iter().cloned().collect()
    }

    /// The position behind the last record.
    pub fn end(&self) -> Position {
        Position(self.kept().end())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.inner.events.send_modify(|events| *events += 1);
    }

    fn push(&self, records: Vec<Bytes>) -> Vec<Appended> {
        let now_ms = (self.inner.clock)();
        let mut kept = self.kept();
        kept.last_ms = kept.last_ms.max(now_ms);
        let appended_at_ms = kept.last_ms;
        let mut appended = Vec::with_capacity(records.len());
        for bytes in records {
            let position = Position(kept.end());
            kept.records.push_back(Record { position, appended_at_ms, bytes });
            appended.push(Appended::InLog(position));
        }
        drop(kept);
        self.wake();
        appended
    }

    fn take(&self, position: Position, max_bytes: usize) -> Result<Batch, ReadError> {
        let kept = self.kept();
        let range = kept.first..=kept.end();
        if !range.contains(&position.0) {
            let detail = format!("it holds {} up to {}", range.start(), range.end());
            return Err(ReadError::OutOfRange { position, detail });
        }
        let mut bytes = 0;
        let fits = |record: &&Record| {
            let first = bytes == 0;
            bytes += record.bytes.len().max(1);
            first || bytes <= max_bytes
        };
        let records: Vec<Record> = kept.from(position).take_while(fits).cloned().collect();
        let next = Position(position.0 + records.len() as u64);
        Ok(Batch { records, next, at_end: next.0 == kept.end() })
    }
}

/// The system's clock, milliseconds since the Unix epoch.
fn system_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Log for MemoryLog {
    fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        let reader = MemoryReader {
            log: self.clone(),
            position: Position(self.kept().first),
            events: self.inner.events.subscribe(),
        };
        std::future::ready(Ok(Box::new(reader) as Box<dyn LogReader>)).boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        Some(Arc::new(self.clone()))
    }
}

impl LogWriter for MemoryLog {
    fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>> {
        std::future::ready(self.push(records)).boxed()
    }

    fn renew(&self) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

struct MemoryReader {
    log: MemoryLog,
    position: Position,
    events: watch::Receiver<u64>,
}

impl MemoryReader {
    async fn next(&mut self, wait: Duration, max_bytes: usize) -> Result<Batch, ReadError> {
        let deadline = tokio::time::Instant::now().checked_add(wait);
        loop {
            self.events.mark_unchanged();
            let batch = self.log.take(self.position, max_bytes)?;
            if !batch.records.is_empty() || !self.woken(deadline).await {
                self.position = batch.next;
                return Ok(batch);
            }
        }
    }

    /// Waits for something to happen to the log; false at the deadline.
    async fn woken(&mut self, deadline: Option<tokio::time::Instant>) -> bool {
        // The log holds the sender and this reader holds the log: `changed` cannot fail.
        match deadline {
            Some(at) => tokio::time::timeout_at(at, self.events.changed()).await.is_ok(),
            None => self.events.changed().await.is_ok(),
        }
    }

    fn target(&self, to: Seek) -> Position {
        let kept = self.log.kept();
        match to {
            Seek::Oldest => Position(kept.first),
            Seek::Newest => Position(kept.end()),
            Seek::At(position) => position,
            Seek::BeforeTime(at_ms) => {
                let before = kept.records.partition_point(|record| record.appended_at_ms < at_ms);
                Position(kept.first + before as u64)
            }
        }
    }
}

impl LogReader for MemoryReader {
    fn identity(&self) -> &Identity {
        self.log.identity()
    }

    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        self.next(wait, max_bytes).boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.position = self.target(to);
        std::future::ready(Ok(self.position)).boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        std::future::ready(Ok(self.log.end())).boxed()
    }
}
