//! What needs more than the state at the head: asked of whoever keeps every version.

use futures::future::BoxFuture;
use headwater_schemas::{Commit, Hash, Head};

/// Why history cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HistoryError {
    /// Nobody here keeps it, or it is behind: ask again later, or elsewhere.
    #[error("history cannot be had now: {0}")]
    Unavailable(String),
    /// It is no longer kept; `oldest` is the lowest revision that is.
    #[error("history before revision {oldest} is no longer kept")]
    Compacted {
        /// The lowest revision still kept.
        oldest: u64,
    },
}

/// Some commits of the chain.
#[derive(Debug, Clone, Default)]
pub struct CommitsPage {
    /// The commits, ascending, each with the hash of its stored record.
    pub commits: Vec<(Hash, Commit)>,
    /// Every commit up to this revision was looked at; the next page begins behind it.
    pub scanned_to: u64,
}

/// Every version and every commit of a stream.
pub trait History: Send + Sync + std::fmt::Debug {
    /// The head it holds; an answer counts only when this is on the asker's chain.
    fn head(&self) -> Option<Head>;

    /// The commits after `after` (exclusive) up to `upto` (inclusive), ascending, of one actor if given: at most
    /// `limit` and about `max_bytes` of them.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn commits(
        &self,
        after: u64,
        upto: u64,
        actor: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<CommitsPage, HistoryError>>;

    /// The last revision at or before `upto` that changed a key, deletions included; 0 when none did.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn last_change(
        &self,
        namespace: &str,
        key: &str,
        upto: u64,
    ) -> BoxFuture<'_, Result<u64, HistoryError>>;
}
