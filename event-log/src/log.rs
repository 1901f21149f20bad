//! The two traits of a log.
//!
//! ```text
//!  LogWriter::append ──▶ [ r0 r1 r2 … ] ──▶ LogReader::read
//!        │                     ▲                 │
//!        └─ Appended           └── Position ─────┘  a hint where to start, never a revision
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use headwater_schemas::{Position, Record};

/// What a log is, for status pages and error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `memory`, `embedded` or `kafka`.
    pub kind: &'static str,
    /// Where it is: a directory, or `topic@brokers`.
    pub place: String,
    /// On Kafka, the id of the cluster.
    pub cluster_id: Option<String>,
}

/// What one read gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The records, in order; empty when the wait ended without any.
    pub records: Vec<Record>,
    /// Where the next read begins.
    pub next: Position,
    /// Whether the reader stood at the log's end when this batch was taken.
    pub at_end: bool,
}

/// Where to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// The first record still kept.
    Oldest,
    /// Behind the last record.
    Newest,
    /// This position; gaps are skipped.
    At(Position),
    /// The first record appended at or after this time (milliseconds since the Unix epoch).
    BeforeTime(i64),
}

/// Why a log cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// It cannot be reached now: keep the state, back off, read again.
    #[error("the log cannot be reached: {0}")]
    Unavailable(String),
    /// The position is not in the log: it was truncated, trimmed or recreated. Check the head, bootstrap again.
    #[error("position {position:?} is out of the log's range: {detail}")]
    OutOfRange {
        /// Where the reader stood.
        position: Position,
        /// What the log says.
        detail: String,
    },
    /// The log is damaged: keep the last good state, alarm.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
}

impl ReadError {
    /// Whether reading again later can help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// One reader of a log, with a position of its own.
///
/// # Cancel safety
/// A cancelled `read` loses nothing: the next one begins at the same place.
pub trait LogReader: Send {
    /// What is being read.
    fn identity(&self) -> &Identity;

    /// Reads what follows: at once what is there (at most about `max_bytes`, at least one record), else waits
    /// up to `wait` for something to arrive.
    ///
    /// # Errors
    /// [`ReadError`]; the position does not move.
    fn read(&mut self, wait: Duration, max_bytes: usize)
    -> BoxFuture<'_, Result<Batch, ReadError>>;

    /// Moves the reader and says where it stands.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; the position does not move.
    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>>;

    /// The position behind the last record, asked of the log itself (on Kafka, of the leader) after this call began.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>>;
}

/// How one append ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log, durable, at this position. Whether it counts is [`headwater_schemas::accept`]'s to say.
    InLog(Position),
    /// It may or may not be in the log, now or later: only a barrier can tell.
    Ambiguous(String),
    /// It is not in the log and never will be.
    Refused(String),
}

/// A log that can be appended to. Cheap to share.
pub trait LogWriter: Send + Sync + fmt::Debug {
    /// Hands records over, in this order and behind all that was handed over before, as one batch where the
    /// log has such a thing. The handover is done when the call returns; the future tells how each record
    /// ended, in order, and may be dropped.
    fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>>;

    /// Gives up this writer's way to the log and takes a fresh one (on Kafka, a new producer): whatever the
    /// old one still holds can no longer be waited for. Called after an ambiguous append.
    fn renew(&self) -> BoxFuture<'static, ()>;
}

/// A log: where readers and writers of one stream come from.
pub trait Log: Send + Sync + fmt::Debug {
    /// What it is.
    fn identity(&self) -> &Identity;

    /// A new reader, at the oldest record.
    ///
    /// # Errors
    /// [`ReadError`].
    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>>;

    /// A writer; none where this process may not write.
    fn writer(&self) -> Option<std::sync::Arc<dyn LogWriter>>;
}
