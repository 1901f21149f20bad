//! Commits made by hand: what a publisher would append.

use std::sync::Arc;

use bytes::Bytes;
use headwater_log::{Appended, Log};
use headwater_schemas::{
    Change, Commit, Digest, FORMAT, Genesis, Hash, Point, Position, State, StreamId, commit_schema,
    encode_commit, encode_genesis, fold,
};

/// Time of the genesis, milliseconds since the Unix epoch.
pub(crate) const BEGIN_MS: i64 = 1_795_335_330_000;

/// A writer of one chain, which is never wrong.
pub(crate) struct Chain {
    log: Option<Arc<dyn Log>>,
    pub(crate) state: State,
    /// What lies between two commits, in milliseconds.
    pub(crate) step_ms: i64,
}

pub(crate) fn put(namespace: &str, key: &str, content_type: &str, value: &[u8]) -> Change {
    Change::Put {
        namespace: namespace.parse().unwrap(),
        key: key.parse().unwrap(),
        content_type: content_type.into(),
        value: Bytes::copy_from_slice(value),
        version: 0,
    }
}

pub(crate) fn json(namespace: &str, key: &str, value: &str) -> Change {
    put(namespace, key, "application/json", value.as_bytes())
}

pub(crate) fn delete(namespace: &str, key: &str) -> Change {
    Change::Delete { namespace: namespace.parse().unwrap(), key: key.parse().unwrap() }
}

impl Chain {
    /// A chain without a log, and its genesis' record.
    pub(crate) fn begin(id: u8) -> (Self, Bytes) {
        Self::begin_from(id, None)
    }

    /// The same of a stream that is founded from another one's state, which so many commits carry over.
    fn begin_from(id: u8, supersedes: Option<(Point, u64)>) -> (Self, Bytes) {
        let genesis = Genesis {
            stream_id: StreamId([id; 16]),
            format: FORMAT,
            created_at_ms: BEGIN_MS,
            schema: commit_schema().into(),
            cluster_id: None,
            supersedes,
        };
        let record = encode_genesis(&genesis);
        let state = State::found(&genesis.commit().unwrap(), Hash::of(&record));
        (Self { log: None, state, step_ms: 1_000 }, record)
    }

    /// Another writer that stands where this one does.
    pub(crate) fn fork(&self) -> Self {
        Self { log: self.log.clone(), state: self.state.clone(), step_ms: self.step_ms }
    }

    /// Founds a stream in an empty log.
    pub(crate) async fn found(log: Arc<dyn Log>, id: u8) -> Self {
        Self::found_from(log, id, None).await
    }

    pub(crate) async fn found_from(
        log: Arc<dyn Log>,
        id: u8,
        supersedes: Option<(Point, u64)>,
    ) -> Self {
        let (chain, record) = Self::begin_from(id, supersedes);
        let chain = Self { log: Some(log), ..chain };
        chain.append(vec![record]).await;
        chain
    }

    pub(crate) async fn append(&self, records: Vec<Bytes>) -> Vec<Position> {
        let writer = self.log.as_ref().unwrap().writer().unwrap();
        let position = |end| match end {
            Appended::InLog(position) => position,
            other => panic!("{other:?}"),
        };
        writer.append(records).await.into_iter().map(position).collect()
    }

    /// The next commit's record; it counts from here on.
    pub(crate) fn next(&mut self, actor: &str, mut changes: Vec<Change>) -> Bytes {
        for change in &mut changes {
            if let Change::Put { namespace, key, version, .. } = change {
                *version = self.state.get(namespace, key).map_or(1, |entry| entry.version + 1);
            }
        }
        let head = *self.state.head();
        let mut commit = Commit {
            stream_id: head.stream_id,
            format: FORMAT,
            revision: head.revision + 1,
            parent: head.hash,
            commit_id: uuid::Uuid::from_u128(u128::from(head.revision) + 1),
            at_ms: head.at_ms + self.step_ms,
            actor: actor.into(),
            reason: Some("because".into()),
            idempotency: None,
            expects: Vec::new(),
            changes,
            digest: Digest::default(),
            attributes: [("tool".to_owned(), "test".to_owned())].into(),
        };
        let state = &self.state;
        let folded =
            fold(&commit, Hash::default(), state.totals(), |n, k| state.get(n, k).cloned());
        commit.digest = folded.totals.digest();
        let record = encode_commit(&commit);
        assert_eq!(self.state.apply(&commit, Hash::of(&record)).divergence, None);
        record
    }

    /// Appends one commit.
    pub(crate) async fn commit(&mut self, actor: &str, changes: Vec<Change>) -> u64 {
        let record = self.next(actor, changes);
        self.append(vec![record]).await;
        self.state.head().revision
    }

    /// Appends one commit for each change, in one go.
    pub(crate) async fn each(&mut self, changes: impl IntoIterator<Item = Change>) -> u64 {
        let records = changes.into_iter().map(|change| self.next("ann", vec![change])).collect();
        self.append(records).await;
        self.state.head().revision
    }
}
