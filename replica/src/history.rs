//! What needs more than the state at the head: asked of whoever keeps every version.

mod page;
mod recent;
mod remote;

use futures::future::BoxFuture;
use headwater_schemas::{Entry, Hash, Head};

pub use page::{
    CommitsPage, CommitsQuery, DiffPage, DiffQuery, EntriesPage, EntriesQuery, KeyDiff, Order, Put,
    Version, VersionsPage, VersionsQuery,
};
pub use recent::Recent;
pub use remote::RemoteHistory;

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

/// What a question to history is answered with.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, HistoryError>>;

/// Every version and every commit of a stream. Nobody may be asked about a revision above its [head](Self::head), and
/// what it says counts only while that head is on the asker's chain.
pub trait History: Send + Sync + std::fmt::Debug {
    /// The head up to which it can be asked now.
    ///
    /// # Errors
    /// [`HistoryError`], as of all questions.
    fn head(&self) -> Asked<'_, Head>;

    /// The chain hash at a revision; 0 is the genesis. None above its head.
    fn hash_at(&self, revision: u64) -> Asked<'_, Option<Hash>>;

    /// The record of a revision as stored, whose BLAKE3 is its hash; 0 is the genesis. None above its head.
    fn record(&self, revision: u64) -> Asked<'_, Option<bytes::Bytes>>;

    /// A page of commits; the genesis is none of them.
    fn commits(&self, query: CommitsQuery) -> Asked<'_, CommitsPage>;

    /// The last revision whose commit was made at or before a time, milliseconds since the Unix epoch; 0 when none was.
    fn revision_at(&self, at_ms: i64) -> Asked<'_, u64>;

    /// The entry of a key in the state at a revision; none when it was absent.
    fn entry(&self, namespace: &str, key: &str, revision: u64) -> Asked<'_, Option<Entry>>;

    /// A page of the entries of the state at a revision, in byte order of keys.
    fn entries(&self, query: EntriesQuery) -> Asked<'_, EntriesPage>;

    /// A page of the versions of a key, newest first, deletions among them.
    fn versions(&self, query: VersionsQuery) -> Asked<'_, VersionsPage>;

    /// A page of the keys whose entries differ between two revisions, in byte order. An entry that was put again with
    /// the same bytes differs: it has another version.
    fn diff(&self, query: DiffQuery) -> Asked<'_, DiffPage>;

    /// The last revision at or before `upto` that changed a key, or any key of the namespace when none is given,
    /// deletions included; 0 when none did.
    fn last_change(&self, namespace: &str, key: Option<&str>, upto: u64) -> Asked<'_, u64>;
}
