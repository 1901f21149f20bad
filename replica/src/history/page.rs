//! Questions to history, and the pages they are answered with. A page may end before its limits; only a place to go on
//! from says that there is more.

use std::sync::Arc;

use bytes::Bytes;
use headwater_schemas::{Change, Commit, CommitId, Entry, Hash, Key, Namespace};

/// In which order commits are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The oldest first.
    #[default]
    Ascending,
    /// The newest first.
    Descending,
}

/// Which commits are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitsQuery {
    /// Only later revisions.
    pub after: u64,
    /// This revision and earlier ones.
    pub upto: u64,
    /// Only commits that change something in this namespace.
    pub namespace: Option<Namespace>,
    /// Only commits that change a key which begins so, in that namespace if one is given; empty for all.
    pub prefix: String,
    /// Only commits of this actor.
    pub actor: Option<String>,
    /// Which come first.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
    /// About how many bytes of records at most, one commit at least.
    pub max_bytes: usize,
}

impl CommitsQuery {
    /// Whether a commit within the revisions asked for is one that is wanted.
    pub fn matches(&self, commit: &Commit) -> bool {
        let actor = self.actor.as_deref().is_none_or(|actor| *actor == *commit.actor);
        actor && (!self.wants_changes() || commit.changes.iter().any(|change| self.touches(change)))
    }

    /// Whether it is by their changes that commits are chosen.
    pub fn wants_changes(&self) -> bool {
        self.namespace.is_some() || !self.prefix.is_empty()
    }

    fn touches(&self, change: &Change) -> bool {
        change.is_under(self.namespace.as_ref().map(Namespace::as_str), &self.prefix)
    }

    /// What is left of the question when everything to `scanned_to` was looked at; none when that was all.
    #[must_use]
    pub fn rest(&self, scanned_to: u64) -> Option<Self> {
        let rest = match self.order {
            Order::Ascending => Self { after: scanned_to, ..self.clone() },
            Order::Descending => Self { upto: scanned_to, ..self.clone() },
        };
        (rest.after < rest.upto).then_some(rest)
    }
}

/// Some commits of the chain.
#[derive(Debug, Clone, Default)]
pub struct CommitsPage {
    /// The commits in the order asked for, each with the hash of its stored record.
    pub commits: Vec<(Hash, Commit)>,
    /// How far was looked. Ascending: every commit up to this one, which the next page comes [after](CommitsQuery::after).
    /// Descending: every commit above this one, [up to](CommitsQuery::upto) which the next page goes.
    pub scanned_to: u64,
}

/// Which entries of an older state are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesQuery {
    /// The namespace.
    pub namespace: Namespace,
    /// A byte prefix of keys; empty for all.
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<Key>,
    /// The revision of the state.
    pub revision: u64,
    /// How many at most.
    pub limit: usize,
    /// About how many bytes of values at most, one entry at least.
    pub max_bytes: usize,
}

/// Some entries of an older state.
#[derive(Debug, Clone, Default)]
pub struct EntriesPage {
    /// In byte order of keys.
    pub entries: Vec<(Key, Entry)>,
    /// The key behind which the next page begins, one of the page or a later one; none at the end.
    pub next: Option<Key>,
}

/// Which versions of a key are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsQuery {
    /// The namespace.
    pub namespace: Namespace,
    /// The key.
    pub key: Key,
    /// Only versions that earlier revisions made.
    pub before: u64,
    /// How many at most.
    pub limit: usize,
    /// About how many bytes of values at most, one version at least.
    pub max_bytes: usize,
}

/// What one commit made of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The revision of the commit.
    pub revision: u64,
    /// When it was made, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who made it.
    pub actor: Arc<str>,
    /// Why.
    pub reason: Option<String>,
    /// Its identity.
    pub commit_id: CommitId,
    /// What it put; none when it deleted the key.
    pub put: Option<Put>,
}

/// A value that a commit put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The media type of the value.
    pub content_type: Arc<str>,
    /// The bytes, kept exactly.
    pub value: Bytes,
    /// 1, 2, 3 … since the key was created.
    pub version: u64,
}

impl From<Entry> for Put {
    fn from(entry: Entry) -> Self {
        Self { content_type: entry.content_type, value: entry.value, version: entry.version }
    }
}

impl Version {
    /// What `commit` made of a key: the entry it led to, or none.
    pub fn of(commit: &Commit, entry: Option<Entry>) -> Self {
        Self {
            revision: commit.revision,
            at_ms: commit.at_ms,
            actor: commit.actor.clone(),
            reason: commit.reason.clone(),
            commit_id: commit.commit_id,
            put: entry.map(Put::from),
        }
    }
}

/// Some versions of a key.
#[derive(Debug, Clone, Default)]
pub struct VersionsPage {
    /// Newest first.
    pub versions: Vec<Version>,
    /// The revision before which the next page begins; none at the end.
    pub next: Option<u64>,
}

/// Which differences are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffQuery {
    /// The namespace.
    pub namespace: Namespace,
    /// A byte prefix of keys; empty for all.
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<Key>,
    /// The revision of the old state.
    pub from: u64,
    /// The revision of the new state; it may be the earlier one.
    pub to: u64,
    /// How many at most.
    pub limit: usize,
    /// About how many bytes of values at most, one difference at least.
    pub max_bytes: usize,
}

/// A key whose entries in two states differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDiff {
    /// The key.
    pub key: Key,
    /// Its entry in the old state; none when it was absent.
    pub old: Option<Entry>,
    /// Its entry in the new state; none when it was absent.
    pub new: Option<Entry>,
}

/// Some differences between two states.
#[derive(Debug, Clone, Default)]
pub struct DiffPage {
    /// In byte order of keys.
    pub changes: Vec<KeyDiff>,
    /// The key behind which the next page begins, one of the page or a later one; none at the end.
    pub next: Option<Key>,
}
