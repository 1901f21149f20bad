//! What can be wrong with a history, and where.

use std::fmt;

use headwater_schemas::Position;
use serde::Serialize;

/// The kind of a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The record is not the one that was written: what follows names another hash, or it no longer continues the chain.
    Changed,
    /// The record is not there, and what followed it is.
    Missing,
    /// The record stands behind the one that follows it.
    Swapped,
    /// Two records claim the place, and the log goes on with the one that does not count.
    Fork,
    /// The record continues the chain and cannot be decoded.
    Undecodable,
    /// The state that the commit leads to has another digest than the commit says.
    Digest,
    /// A precondition that its writer vouches for did not hold.
    Expectation,
    /// The commit is older than the one before it.
    Time,
    /// An operator's word names a point that it does not follow or that is not in the chain, or has something skipped that can be read.
    Word,
    /// The log has no genesis, or begins behind it.
    Beginning,
    /// The log ends below a published head.
    Cut,
    /// The revision has another hash than a published head says.
    Published,
    /// The storage says itself that the record is damaged.
    Damaged,
}

impl Kind {
    /// In a word, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Swapped => "swapped",
            Self::Fork => "fork",
            Self::Undecodable => "undecodable",
            Self::Digest => "digest",
            Self::Expectation => "expectation",
            Self::Time => "time",
            Self::Word => "word",
            Self::Beginning => "beginning",
            Self::Cut => "cut",
            Self::Published => "published",
            Self::Damaged => "damaged",
        }
    }
}

/// Where a history is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The first revision that is not proven because of it.
    pub revision: u64,
    /// What it is.
    pub kind: Kind,
    /// Where in the log it shows, if at one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// What was found, in a sentence.
    pub detail: String,
}

impl Break {
    /// One at `revision`.
    pub fn new(revision: u64, kind: Kind, detail: impl fmt::Display) -> Self {
        Self { revision, kind, position: None, detail: detail.to_string() }
    }

    /// The same, seen at a position of the log.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {}: {}: {}", self.revision, self.kind.name(), self.detail)
    }
}
