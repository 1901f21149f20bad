//! What a replica says of itself.

use headwater_schemas::{Digest, Hash, Position, StreamId};

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It has no state yet.
    #[default]
    Starting,
    /// It has a state, and is not at the head yet.
    CatchingUp,
    /// It follows live commits.
    Live,
    /// It serves its last good state and cannot reach its source.
    Stale,
    /// It changes nothing until somebody acts: see the alarm.
    ReadOnly,
    /// It was closed.
    Closed,
}

/// Where the state came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nowhere yet.
    #[default]
    None,
    /// The last known good file on disk.
    Cache,
    /// An image, from a relay or a directory.
    Image,
    /// The stream's table, at one of its checkpoints.
    Table,
    /// The whole log.
    Log,
}

/// What is wrong, as a kind that programs can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The record of our head is not in this log: it was recreated, truncated, restored or is another one.
    NotOnThisLog,
    /// An accepted commit cannot be decoded or understood.
    Undecodable,
    /// An accepted commit does not fit the state it was folded into. The fold counts and is served; publishers stop
    /// writing. While it stands the cache stays before that commit, so a process started anew meets it again, until an
    /// operator accepts it with `headwater stream resume`.
    Divergence,
    /// The log itself is damaged.
    LogDamaged,
    /// A source offered another stream, another chain or an older state.
    WrongSource,
}

impl AlarmKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::NotOnThisLog,
        Self::Undecodable,
        Self::Divergence,
        Self::LogDamaged,
        Self::WrongSource,
    ];

    /// Its name, as JSON and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotOnThisLog => "not_on_this_log",
            Self::Undecodable => "undecodable",
            Self::Divergence => "divergence",
            Self::LogDamaged => "log_damaged",
            Self::WrongSource => "wrong_source",
        }
    }
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Alarm {
    /// What kind it is.
    pub kind: AlarmKind,
    /// The cause and the next step, in words.
    pub detail: String,
}

/// A replica's own account.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Status {
    /// Where it is in its life.
    pub phase: Phase,
    /// The stream, once known.
    pub stream_id: Option<StreamId>,
    /// The revision of its state.
    pub revision: u64,
    /// The chain hash at that revision.
    pub hash: Hash,
    /// The digest of its state (of the namespaces it subscribes to).
    pub digest: Digest,
    /// How many entries it holds.
    pub entries: u64,
    /// How many revisions it knows to be behind.
    pub lag_revisions: u64,
    /// Where it would read next.
    pub position: Position,
    /// Where its state came from.
    pub source: Source,
    /// Records read and not accepted since it started.
    pub ignored: u64,
    /// What stands in its way.
    pub alarm: Option<Alarm>,
    /// What is wrong with the cache: why the state cannot be left there now, else what could not be read there at the
    /// start. Another rung of the ladder, or memory, stands in.
    pub cache_error: Option<String>,
    /// The last thing that went wrong on the way, even if mended since; one line per rung of the ladder at start.
    pub last_error: Option<String>,
}
