//! Records that do not continue the chain.

use headwater_schemas::{Frozen, Hash, Position, StreamId};
use serde::Serialize;

/// Why a record does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StrayKind {
    /// It claims a revision that another record has already: it lost a race, or is a copy.
    Late,
    /// It claims a revision that the chain has not reached: behind a write that lost a race, or behind a break.
    Ahead,
    /// It belongs to another stream.
    Foreign,
    /// It is no commit at all.
    Other,
}

/// A record that does not continue the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    /// Where it stands.
    pub(crate) position: Position,
    /// Why it does not count.
    pub(crate) kind: StrayKind,
    /// BLAKE3 of its bytes.
    pub(crate) hash: Hash,
    /// Its header, where it has one.
    pub(crate) frozen: Option<Frozen>,
}

impl Stray {
    /// Its header, if it claims to be of this stream.
    pub(crate) fn of(&self, stream: StreamId) -> Option<&Frozen> {
        self.frozen.as_ref().filter(|frozen| frozen.stream_id == stream)
    }
}
