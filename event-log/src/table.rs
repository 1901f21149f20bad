//! The table of a stream: its state as the last record of each key, for tools that know nothing of a log.
//!
//! ```text
//!  Lease::held ──▶ Table::writer (whoever wrote before is fenced) ──▶ TableWriter::write, a batch at a time, whole
//!                                                                          │
//!                                                  Table::reader ──▶ TableReader::read, whole batches only
//! ```
//!
//! It is a projection of the log: never read for correctness, and made again from the state at any time.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::ReadError;

/// One record of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableRecord {
    /// Which row.
    pub key: Bytes,
    /// What stands there; none when it was deleted.
    pub value: Option<Bytes>,
    /// What is said of the record beside that.
    pub headers: Vec<(&'static str, Bytes)>,
}

/// What one read of a table gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableBatch {
    /// Keys and values, in order; empty when the wait ended without any.
    pub records: Vec<(Bytes, Option<Bytes>)>,
    /// Whether everything has been read that was there when the reader was opened.
    pub at_end: bool,
}

/// Why a batch was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Another writer was opened since: write nothing until the lease is held again.
    #[error("another process writes the table now: {0}")]
    Fenced(String),
    /// It failed, wholly: open a new writer, which reads the table again.
    #[error("the table cannot be written: {0}")]
    Failed(String),
}

/// One reader of a table, from its beginning; only what was written whole.
///
/// # Cancel safety
/// A cancelled `read` loses nothing.
pub trait TableReader: Send {
    /// Reads what follows: at once what is there (at most about `max_bytes`), else waits up to `wait`.
    ///
    /// # Errors
    /// [`ReadError`]; the position does not move.
    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<TableBatch, ReadError>>;
}

/// The one writer of a table: whoever opened one before can write no more.
pub trait TableWriter: Send {
    /// Writes a batch as a whole: a reader sees all of it or nothing. After an error the writer is of no use.
    ///
    /// # Errors
    /// [`TableError`].
    fn write(&mut self, batch: Vec<TableRecord>) -> BoxFuture<'_, Result<(), TableError>>;
}

/// This process's turn to write a table, which at most one process has. Dropped: given up.
pub trait Lease: Send + Sync {
    /// Whether it is this process's turn; it changes as the turn comes and goes.
    fn held(&self) -> watch::Receiver<bool>;

    /// Gives it up, and waits a moment until that is known: the next one need not wait for a time-out.
    fn release(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// A table: where its readers and its writer come from.
pub trait Table: Send + Sync + fmt::Debug {
    /// Where it is, for messages: `topic@brokers`.
    fn place(&self) -> &str;

    /// A new reader, at the beginning; none where the stream has no table.
    ///
    /// # Errors
    /// [`ReadError`].
    fn reader(&self) -> BoxFuture<'_, Result<Option<Box<dyn TableReader>>, ReadError>>;

    /// A writer. From now on every other one is fenced, and what it left half written is undone.
    ///
    /// # Errors
    /// [`TableError`].
    fn writer(&self) -> BoxFuture<'_, Result<Box<dyn TableWriter>, TableError>>;

    /// Stands in line for the turn to write.
    ///
    /// # Errors
    /// [`TableError::Failed`].
    fn lease(&self) -> BoxFuture<'_, Result<Box<dyn Lease>, TableError>>;
}
