//! Histories, and the logs that hold them.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_audit::{Published, Report, verify};
use headwater_log::{Log, LogReader, MemoryLog};
use headwater_schemas::{
    Change, Commit, Digest, FORMAT, Genesis, Hash, Key, Namespace, Point, State, StreamId, Totals,
    commit_schema, encode_commit, encode_genesis, fold,
};

pub(crate) const STREAM: StreamId = StreamId([7; 16]);
const BEGAN_MS: i64 = 1_700_000_000_000;

/// A history as a correct writer would write it.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) records: Vec<Bytes>,
    pub(crate) states: Vec<State>,
}

impl Story {
    pub(crate) fn found(supersedes: Option<(Point, u64)>) -> Self {
        let genesis = Genesis {
            stream_id: STREAM,
            format: FORMAT,
            created_at_ms: BEGAN_MS,
            schema: commit_schema().into(),
            cluster_id: None,
            supersedes,
        };
        let record = encode_genesis(&genesis);
        let state = State::found(&genesis.commit().unwrap(), Hash::of(&record));
        Self { records: vec![record], states: vec![state] }
    }

    /// A genesis and so many commits: puts of a few keys, now and then a deletion.
    pub(crate) fn of(commits: u64) -> Self {
        Self::with_values(commits, 20)
    }

    /// The same with values of about so many bytes.
    pub(crate) fn with_values(commits: u64, bytes: usize) -> Self {
        let mut story = Self::found(None);
        for number in 1..=commits {
            let value = format!("\"{number}{}\"", "x".repeat(bytes));
            let key = format!("db/{}", number % 5);
            let change = if number % 7 == 0 { delete(&key) } else { put(&key, value.as_bytes()) };
            story.commit(vec![change]);
        }
        story
    }

    pub(crate) fn state(&self) -> &State {
        self.states.last().unwrap()
    }

    pub(crate) fn tip(&self) -> (u64, Hash) {
        let head = self.state().head();
        (head.revision, head.hash)
    }

    pub(crate) fn point(&self, revision: usize) -> Point {
        Point::from(self.states[revision].head())
    }

    /// Adds a commit of these changes.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> &mut Self {
        self.altered(changes, |_| ())
    }

    /// Adds one that was altered before it was written.
    pub(crate) fn altered(
        &mut self,
        changes: Vec<Change>,
        alter: impl FnOnce(&mut Commit),
    ) -> &mut Self {
        let mut commit = drafted(self.state(), changes);
        alter(&mut commit);
        let record = encode_commit(&commit);
        let mut state = self.state().clone();
        state.apply(&commit, Hash::of(&record));
        self.records.push(record);
        self.states.push(state);
        self
    }

    pub(crate) fn published(&self) -> Published {
        [self.tip()].into_iter().collect()
    }
}

/// The commit that makes these changes right after a state.
pub(crate) fn drafted(state: &State, changes: Vec<Change>) -> Commit {
    let head = state.head();
    let mut commit = Commit {
        stream_id: head.stream_id,
        format: FORMAT,
        revision: head.revision + 1,
        parent: head.hash,
        commit_id: uuid::Uuid::from_u128(u128::from(head.revision) + 1),
        at_ms: head.at_ms + 1_000,
        actor: if head.revision.is_multiple_of(2) { "ada".into() } else { "ben".into() },
        reason: Some(format!("reason {}", head.revision + 1)),
        idempotency: None,
        expects: Vec::new(),
        changes,
        digest: Digest::default(),
        attributes: BTreeMap::new(),
    };
    let lookup = |namespace: &Namespace, key: &Key| state.get(namespace, key).cloned();
    commit.digest = fold(&commit, Hash::default(), state.totals(), lookup).totals.digest();
    let _: &Totals = state.totals();
    commit
}

pub(crate) fn put(key: &str, value: &[u8]) -> Change {
    Change::Put {
        namespace: "app".parse().unwrap(),
        key: key.parse().unwrap(),
        content_type: "application/json".into(),
        value: Bytes::copy_from_slice(value),
        version: 1,
    }
}

pub(crate) fn delete(key: &str) -> Change {
    Change::Delete { namespace: "app".parse().unwrap(), key: key.parse().unwrap() }
}

/// A log that holds these records.
pub(crate) async fn log(records: &[Bytes]) -> MemoryLog {
    let log = MemoryLog::with_clock(|| BEGAN_MS);
    log.writer().unwrap().append(records.to_vec()).await;
    log
}

pub(crate) async fn reader(records: &[Bytes]) -> Box<dyn LogReader> {
    log(records).await.reader().await.unwrap()
}

pub(crate) async fn verified(records: &[Bytes], published: &Published) -> Report {
    verify(reader(records).await, published, |_| ()).await.unwrap()
}

/// The first break: its revision and kind.
pub(crate) fn first(report: &Report) -> (u64, &'static str) {
    let found = report.first_break();
    found.map(|it| (it.revision, it.kind.name())).unwrap_or_else(|| panic!("sound: {report:?}"))
}

/// The bytes with one bit changed.
pub(crate) fn flipped(bytes: &Bytes, at: usize, bit: u8) -> Bytes {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1 << bit;
    changed.into()
}
