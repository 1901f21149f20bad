//! What a verification found.

use std::collections::BTreeSet;

use headwater_schemas::{Digest, Hash, Head, Point, Position, StreamId, Word};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::stray::{Stray, StrayKind};
use crate::{Break, Kind};

/// The most breaks, and the most ignored records, that a report lists; the rest is counted.
pub(crate) const LISTED: usize = 100;

/// Heads that were published elsewhere: a server's, a receipt's, an archive's, one from a ticket. Two of them may
/// contradict each other: then at most one stands in the chain, and the other is a break.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published(BTreeSet<(u64, Hash)>);

impl Published {
    /// Adds one.
    pub fn add(&mut self, revision: u64, hash: Hash) {
        self.0.insert((revision, hash));
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Hash)> {
        self.0.iter().copied()
    }

    /// Whether this very head was published.
    pub(crate) fn contains(&self, revision: u64, hash: Hash) -> bool {
        self.0.contains(&(revision, hash))
    }

    /// The hashes that were published for a revision.
    pub(crate) fn of(&self, revision: u64) -> impl Iterator<Item = Hash> {
        let all = (revision, Hash([0; 32]))..=(revision, Hash([0xFF; 32]));
        self.0.range(all).map(|(_, hash)| *hash)
    }
}

impl FromIterator<(u64, Hash)> for Published {
    fn from_iter<T: IntoIterator<Item = (u64, Hash)>>(heads: T) -> Self {
        Self(heads.into_iter().collect())
    }
}

/// A point of the history and the state there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The revision.
    pub revision: u64,
    /// The chain hash.
    pub hash: Hash,
    /// The digest of the state.
    pub digest: Digest,
    /// How many entries it has.
    pub entries: u64,
    /// The time of that commit, milliseconds since the Unix epoch; in JSON RFC 3339.
    #[serde(rename = "at", serialize_with = "rfc3339")]
    pub at_ms: i64,
}

impl Place {
    pub(crate) fn new(head: &Head, digest: Digest, entries: u64) -> Self {
        let Head { revision, hash, at_ms, .. } = *head;
        Self { revision, hash, digest, entries, at_ms }
    }
}

/// A time as everybody writes it.
pub(crate) fn rfc3339<S: Serializer>(at_ms: &i64, to: S) -> Result<S::Ok, S::Error> {
    match Timestamp::from_millisecond(*at_ms) {
        Ok(time) => to.collect_str(&format_args!("{time:.3}")),
        Err(_) => to.serialize_i64(*at_ms),
    }
}

/// Records that do not count, by why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// Markers of linearizable reads.
    pub markers: u64,
    /// Losers of races and copies.
    pub late: u64,
    /// Records of a revision that the chain had not reached: behind a loser, or behind a break.
    pub ahead: u64,
    /// Records of another stream.
    pub foreign: u64,
    /// What is no commit at all.
    pub other: u64,
    /// The first of them, markers aside.
    pub first: Vec<IgnoredRecord>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IgnoredRecord {
    /// Where it stands.
    pub position: Position,
    /// Why it does not count.
    pub kind: StrayKind,
    /// The revision that it claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The hash of its bytes.
    pub hash: Hash,
}

impl Ignored {
    pub(crate) fn count(&mut self, kind: StrayKind) {
        *match kind {
            StrayKind::Late => &mut self.late,
            StrayKind::Ahead => &mut self.ahead,
            StrayKind::Foreign => &mut self.foreign,
            StrayKind::Other => &mut self.other,
        } += 1;
    }

    pub(crate) fn note(&mut self, stray: &Stray) {
        if self.first.len() < LISTED {
            let (position, kind, hash) = (stray.position, stray.kind, stray.hash);
            let revision = stray.frozen.map(|frozen| frozen.revision);
            self.first.push(IgnoredRecord { position, kind, revision, hash });
        }
    }

    /// All of them but markers.
    pub fn records(&self) -> u64 {
        self.late + self.ahead + self.foreign + self.other
    }
}

/// What an operator's commit says of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The commit that says it.
    pub revision: u64,
    /// `adopts`, `accepts`, `skips` or `supersedes`.
    pub word: &'static str,
    /// The point it speaks of.
    pub point: Point,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When, milliseconds since the Unix epoch; in JSON RFC 3339.
    #[serde(rename = "at", serialize_with = "rfc3339")]
    pub at_ms: i64,
    /// For `supersedes`: how many commits carry the other stream's state over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<u64>,
}

impl Said {
    pub(crate) fn new(commit: &headwater_schemas::Commit, word: Word) -> Self {
        let commits = match word {
            Word::Supersedes(_, commits) => Some(commits),
            _ => None,
        };
        Self {
            revision: commit.revision,
            word: word.key(),
            point: word.point(),
            actor: commit.actor.to_string(),
            reason: commit.reason.clone(),
            at_ms: commit.at_ms,
            commits,
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where the log is.
    pub source: String,
    /// Whether there is no break.
    pub sound: bool,
    /// The stream that the genesis founds.
    pub stream_id: Option<StreamId>,
    /// How many records were read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many commits the chain has, genesis aside.
    pub commits: u64,
    /// How many of them are barriers of the system's own.
    pub barriers: u64,
    /// Records that do not count.
    pub ignored: Ignored,
    /// Where the chain ends.
    pub head: Option<Place>,
    /// Up to where the history is proven: linked, decoded, folded, with every digest as its commit says.
    pub proven: Option<Place>,
    /// What is broken, in order of revisions; the first hundred.
    pub breaks: Vec<Break>,
    /// The published heads that stand in this chain.
    pub confirmed: Vec<Confirmed>,
    /// What operators said of the chain.
    pub words: Vec<Said>,
}

/// A published head that stands in the chain: everything up to it is as it was when the head was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Confirmed {
    /// The revision.
    pub revision: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Report {
    /// The first break.
    pub fn first_break(&self) -> Option<&Break> {
        self.breaks.first()
    }

    /// Adds what a storage said of itself; `sound` no longer holds. A break that was found at the same revision stays.
    pub fn add(&mut self, found: Break) {
        let known = self.breaks.iter().any(|it| it.revision == found.revision);
        if !known || found.kind == Kind::Damaged {
            self.breaks.push(found);
            self.breaks.sort_by_key(|found| found.revision);
        }
        self.sound = false;
    }
}
