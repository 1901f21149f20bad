//! How a stream goes on after a loss or a wrong commit: what an operator's commit says of the chain before it.
//!
//! It stands in the state, in the system's own namespace [`STREAM_NAMESPACE`]. So every holder of the whole state (view,
//! image, rows) has it by the same fold as everything else, and the history tells who did it, when and why.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    Change, Commit, CommitId, Digest, Entry, EntryRef, Frozen, Hash, Head, Key, Namespace, StreamId,
};

/// The system namespace in which a stream tells of itself.
pub const STREAM_NAMESPACE: &str = "_stream";

/// What a value of it is.
const CONTENT_TYPE: &str = "application/json";

/// A point of a chain: a revision and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Point {
    /// The stream.
    pub stream_id: StreamId,
    /// The revision.
    pub revision: u64,
    /// The hash of its record.
    pub hash: Hash,
}

impl From<&Head> for Point {
    fn from(head: &Head) -> Self {
        Self { stream_id: head.stream_id, revision: head.revision, hash: head.hash }
    }
}

/// What an operator decided about the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The stream was founded from the state at this point of another one. Its genesis says so, and how many commits
    /// behind it carry that state: it is whole at that revision.
    Supersedes(Point, u64),
    /// The chain goes on from this point, its own parent; what once came behind it is given up.
    Adopts(Point),
    /// The commit at this point does not fit its state, and its changes count all the same.
    Accepts(Point),
    /// The commit at this point, its own parent, cannot be read, and changes nothing.
    Skips(Point),
}

/// A value of [`STREAM_NAMESPACE`] as JSON.
#[derive(serde::Serialize, serde::Deserialize)]
struct Text {
    #[serde(flatten)]
    point: Point,
    #[serde(skip_serializing_if = "Option::is_none")]
    commits: Option<u64>,
}

impl Word {
    /// The point it speaks of.
    pub fn point(&self) -> Point {
        match *self {
            Self::Supersedes(point, _)
            | Self::Adopts(point)
            | Self::Accepts(point)
            | Self::Skips(point) => point,
        }
    }

    /// The key it stands under.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Supersedes(..) => "supersedes",
            Self::Adopts(_) => "adopts",
            Self::Accepts(_) => "accepts",
            Self::Skips(_) => "skips",
        }
    }

    /// The change that says it; `before` is the entry that stands there now.
    #[expect(clippy::expect_used, reason = "constants that every test parses, and plain data")]
    pub fn change(&self, before: Option<&Entry>) -> Change {
        let commits = match self {
            Self::Supersedes(_, commits) => Some(*commits),
            _ => None,
        };
        let text = Text { point: self.point(), commits };
        Change::Put {
            namespace: Namespace::parse(STREAM_NAMESPACE).expect("a namespace"),
            key: Key::parse(self.key()).expect("a key"),
            content_type: CONTENT_TYPE.into(),
            value: Bytes::from(serde_json::to_vec(&text).expect("plain data is JSON")),
            version: before.map_or(1, |entry| entry.version + 1),
        }
    }

    fn read(key: &str, value: &[u8]) -> Option<Self> {
        let Text { point, commits } = serde_json::from_slice(value).ok()?;
        match key {
            "supersedes" => Some(Self::Supersedes(point, commits?)),
            "adopts" => Some(Self::Adopts(point)),
            "accepts" => Some(Self::Accepts(point)),
            "skips" => Some(Self::Skips(point)),
            _ => None,
        }
    }

    /// What a commit says of the chain, if it is an operator's.
    pub fn of(commit: &Commit) -> Option<Self> {
        commit.changes.iter().find_map(|change| match change {
            Change::Put { namespace, key, value, .. } if namespace.as_str() == STREAM_NAMESPACE => {
                Self::read(key.as_str(), value)
            }
            _ => None,
        })
    }

    /// What an entry of [`STREAM_NAMESPACE`] says.
    pub fn of_entry(key: &str, entry: EntryRef<'_>) -> Option<Self> {
        Self::read(key, entry.value)
    }

    /// The last word about which other chain a state goes on from, from its entries of [`STREAM_NAMESPACE`].
    pub fn succession<'a>(
        entries: impl IntoIterator<Item = (&'a str, EntryRef<'a>)>,
    ) -> Option<Succession> {
        let words = entries.into_iter().filter_map(|(key, entry)| {
            let word = Self::of_entry(key, entry)?;
            let succeeds = matches!(word, Self::Supersedes(..) | Self::Adopts(_));
            let (since, at_ms) = (entry.mod_revision, entry.updated_at_ms);
            succeeds.then_some(Succession { word, since, at_ms })
        });
        words.max_by_key(|succession| succession.since)
    }
}

/// How a chain came about where an operator led the stream to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    /// What was said.
    pub word: Word,
    /// The revision of the commit that says so.
    pub since: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// What a record that continues the chain and cannot be read counts as once an operator has had it skipped: a commit
/// without changes. Who wrote it, when and why cannot be read; `at_ms` stands for its time.
pub fn unread(frozen: &Frozen, at_ms: i64, digest: Digest) -> Commit {
    Commit {
        stream_id: frozen.stream_id,
        format: frozen.format,
        revision: frozen.revision,
        parent: frozen.parent,
        commit_id: CommitId::nil(),
        at_ms,
        actor: "headwater".into(),
        reason: Some("it cannot be read here, and changes nothing".into()),
        idempotency: None,
        expects: Vec::new(),
        changes: Vec::new(),
        digest,
        attributes: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point() -> Point {
        Point { stream_id: StreamId([1; 16]), revision: 7, hash: Hash([2; 32]) }
    }

    fn words() -> [Word; 4] {
        let p = point();
        [Word::Supersedes(p, 3), Word::Adopts(p), Word::Accepts(p), Word::Skips(p)]
    }

    #[test]
    fn each_word_is_read_as_it_was_written() {
        for word in words() {
            let Change::Put { key, value, .. } = word.change(None) else { panic!("a put") };
            assert_eq!(Word::read(key.as_str(), &value), Some(word));
        }
        let Change::Put { value, .. } = words()[1].change(None) else { panic!("a put") };
        let text = String::from_utf8(value.to_vec()).unwrap();
        let (stream, hash) = ("01".repeat(16), "02".repeat(32));
        assert_eq!(text, format!(r#"{{"stream_id":"{stream}","revision":7,"hash":"{hash}"}}"#));
    }

    #[test]
    fn what_is_none_says_nothing() {
        assert_eq!(Word::read("adopts", b"{}"), None);
        assert_eq!(Word::read("supersedes", br#"{"revision":1}"#), None);
        let Change::Put { value, .. } = words()[1].change(None) else { panic!("a put") };
        assert_eq!(Word::read("other", &value), None);
        assert_eq!(Word::read("supersedes", &value), None, "it must say how many commits");
    }

    #[test]
    fn the_last_word_about_another_chain_counts() {
        let entry = |word: &Word, mod_revision| {
            let Change::Put { value, .. } = word.change(None) else { panic!("a put") };
            Entry {
                content_type: CONTENT_TYPE.into(),
                value,
                version: 1,
                create_revision: 0,
                mod_revision,
                updated_at_ms: 10 * i64::try_from(mod_revision).unwrap(),
                actor: "ada".into(),
            }
        };
        let [supersedes, adopts, accepts, _] = words();
        let all = [
            ("accepts", entry(&accepts, 9)),
            ("adopts", entry(&adopts, 5)),
            ("supersedes", entry(&supersedes, 0)),
        ];
        let all = || all.iter().map(|(key, entry)| (*key, entry.as_ref()));
        let last = Succession { word: adopts, since: 5, at_ms: 50 };
        assert_eq!(Word::succession(all()), Some(last));
        assert_eq!(Word::succession(all().take(1)), None);
    }
}
