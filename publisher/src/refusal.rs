//! Why a write makes no commit: facts inside, one exhaustive wording for the client.

use headwater_api::{Failure, Problem};
use headwater_schemas::{Key, Namespace};

/// Why a write made no commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Deleting a key that is not there.
    KeyNotFound(Namespace, Key),
    /// The condition of a single write does not hold; the revision that last changed the key, 0 = absent.
    Precondition(u64),
    /// Preconditions of a change set do not hold: every one that failed.
    Conflict(Vec<Failure>),
    /// The revision lies in the future.
    RevisionInFuture {
        /// What was asked.
        asked: u64,
        /// The head's revision.
        head: u64,
    },
    /// The revision to go back to is no longer kept.
    RevisionCompacted {
        /// What was asked.
        asked: u64,
        /// The lowest revision that is kept.
        oldest: u64,
    },
    /// The revision to go back to is older than what this server remembers, and nobody was named who keeps history.
    NoHistory {
        /// What was asked.
        asked: u64,
        /// The lowest revision that this server remembers.
        oldest: u64,
    },
    /// What is to be restored needs more changes than a commit may hold.
    TooManyChanges {
        /// The limit.
        limit: usize,
        /// How many it needs.
        actual: usize,
    },
    /// The idempotency key belongs to another request.
    KeyReused,
    /// The first request under the key is still under way here.
    KeyInUse,
    /// The encoded commit is too large, in bytes.
    CommitTooLarge {
        /// The limit.
        limit: usize,
        /// What it has.
        actual: usize,
    },
    /// Too much is under way: what is full.
    Overloaded(&'static str),
    /// Nothing was handed to the log: safe to try again.
    LogUnavailable(String),
    /// This server cannot judge the write yet.
    NotReady(String),
    /// Other writers were first too often.
    Contended,
    /// The server is going down; nothing was written.
    ShuttingDown,
    /// It may or may not have been written: retry with the same Idempotency-Key, or read.
    OutcomeUnknown,
}

impl Refusal {
    /// Whether it is a statement about the state, to be made only of a state that was read back.
    pub(crate) fn depends_on_state(&self) -> bool {
        matches!(
            self,
            Self::KeyNotFound(..)
                | Self::Precondition(_)
                | Self::Conflict(_)
                | Self::RevisionInFuture { .. }
                | Self::TooManyChanges { .. }
        )
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeyNotFound(namespace, key) => Self::key_not_found(&namespace, &key),
            Refusal::Precondition(current) => Self::precondition_failed(current),
            Refusal::Conflict(failures) => Self::conflict(&failures),
            Refusal::RevisionInFuture { asked, head } => Self::revision_in_future(asked, head),
            Refusal::RevisionCompacted { asked, oldest } => Self::revision_compacted(asked, oldest),
            Refusal::NoHistory { asked, oldest } => no_history(asked, oldest),
            Refusal::TooManyChanges { limit, actual } => Self::too_many_changes(limit, actual),
            Refusal::KeyReused => Self::idempotency_key_reused(),
            Refusal::KeyInUse => Self::idempotency_key_in_use(),
            Refusal::CommitTooLarge { limit, actual } => Self::commit_too_large(limit, actual),
            Refusal::Overloaded(what) => Self::overloaded(what),
            Refusal::LogUnavailable(why) => Self::log_unavailable(&why),
            Refusal::NotReady(why) => Self::not_ready(&why),
            Refusal::Contended => Self::contended(),
            Refusal::ShuttingDown => Self::shutting_down(),
            Refusal::OutcomeUnknown => Self::outcome_unknown(),
        }
    }
}

fn no_history(asked: u64, oldest: u64) -> Problem {
    let problem = Problem::revision_compacted(asked, oldest);
    let detail = format!(
        "this server remembers nothing before revision {oldest}, and revision {asked} is to be restored: start it with \
         --history-url, the URL of a snapshotter, or ask a server that keeps history"
    );
    Problem { detail, ..problem }
}
