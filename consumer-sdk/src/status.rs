//! What a client says of itself.

use headwater_replica::{Alarm, Phase, Source};
use headwater_schemas::{Digest, Hash, StreamId};

use crate::files::RefusedFile;
use crate::hook::HookStatus;

/// A client's own account, for health pages and logs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Where the client is in its life.
    pub phase: Phase,
    /// Whether the state may be old: anything but [`Phase::Live`].
    pub stale: bool,
    /// The stream it follows, once known.
    pub stream_id: Option<StreamId>,
    /// The revision of its state.
    pub revision: u64,
    /// The chain hash at that revision.
    pub hash: Hash,
    /// The digest of its state (of its namespaces, when it reads only some): equal wherever the revision is equal.
    pub digest: Digest,
    /// How many entries it holds.
    pub entries: u64,
    /// How many revisions it knows to be behind.
    pub lag_revisions: u64,
    /// Where its state came from.
    pub source: Source,
    /// What needs a person, if anything does; the last good state is served meanwhile.
    pub alarm: Option<Alarm>,
    /// What is wrong with the cache: why the state cannot be left there now, else what could not be read there at the
    /// start. Another source of the first state, or memory, stands in.
    pub cache_error: Option<String>,
    /// The last thing that went wrong on the way, even if mended since.
    pub last_error: Option<String>,
    /// The revision that every handle has processed.
    pub processed_revision: u64,
    /// What of a folder of files is not taken, in order of path; see [`Builder::files`](crate::Builder::files).
    pub refused_files: Vec<RefusedFile>,
    /// Every live handle, in order of key.
    pub handles: Vec<HandleStatus>,
}

/// One handle's own account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HandleStatus {
    /// Its key, or the prefix that it is derived from.
    pub key: String,
    /// The namespaces it looks in; the later wins.
    pub namespaces: Vec<String>,
    /// The revision that put the value it holds; 0 for a default.
    pub revision: u64,
    /// Whether the key was deleted: the handle holds its default, else the last value.
    pub deleted: bool,
    /// Why the newest value was refused, if it was; the handle holds the last good one.
    pub rejected: Option<String>,
    /// The key that is to blame: of a derived value or a group, the one under the prefix, if the error names one.
    pub rejected_key: Option<String>,
    /// Its hooks, and how their last calls ended.
    pub hooks: Vec<HookStatus>,
}
