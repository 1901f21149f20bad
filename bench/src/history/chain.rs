//! A log that is made while it is read: commits of one put each, round and round over the keys, so that every key has
//! twenty versions, every namespace a hundred keys, and no chain need lie on a disk before it is taken in.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};
use headwater_schemas::{
    Change, Commit, CommitId, Digest, Entry, FORMAT, Genesis, Hash, Head, Key, Namespace, Position,
    Record, State, StreamId, Totals, commit_schema, encode_commit, encode_genesis, fold,
};

const BEGIN_MS: i64 = 1_795_335_330_000;
/// What lies between two commits.
const STEP_MS: i64 = 100;
const VERSIONS: u64 = 20;
const KEYS_OF_A_NAMESPACE: u64 = 100;
/// Prime, so that every actor changes every namespace.
const ACTORS: u64 = 47;

/// A chain of so many commits.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) length: u64,
    identity: Identity,
}

impl Made {
    pub(crate) fn new(length: u64) -> Self {
        let place = format!("{length} made commits");
        Self { length, identity: Identity { kind: "memory", place, cluster_id: None } }
    }

    fn keys(&self) -> u64 {
        (self.length / VERSIONS).max(1)
    }

    /// How many versions every key has at least.
    pub(crate) fn versions(&self) -> usize {
        VERSIONS.min(self.length / self.keys()) as usize
    }

    /// How many namespaces there are; each is changed once in so many commits.
    pub(crate) fn namespaces(&self) -> u64 {
        (self.keys() / KEYS_OF_A_NAMESPACE).max(1)
    }

    pub(crate) fn time(&self, revision: u64) -> i64 {
        BEGIN_MS + revision as i64 * STEP_MS
    }

    pub(crate) fn actor(&self, revision: u64) -> String {
        format!("actor-{}", revision.wrapping_mul(2_654_435_761) % ACTORS)
    }

    /// The key that a revision puts.
    pub(crate) fn name(&self, revision: u64) -> (Namespace, Key) {
        let index = revision % self.keys();
        let namespace = Namespace::parse(&format!("bench.n{}", index % self.namespaces()));
        let key = Key::parse(&format!("service-{}/setting-{index:08}", index % 997));
        match (namespace, key) {
            (Ok(namespace), Ok(key)) => (namespace, key),
            _ => unreachable!("both are names"),
        }
    }

    fn version(&self, revision: u64) -> u64 {
        (revision - 1) / self.keys() + 1
    }

    fn value(&self, revision: u64) -> Bytes {
        format!("{{\"max_connections\": {revision}, \"timeout_ms\": 2500, \"mode\": \"adaptive\"}}")
            .into()
    }

    /// The entry that a revision leads to.
    fn entry(&self, revision: u64) -> Entry {
        let version = self.version(revision);
        Entry {
            content_type: "application/json".into(),
            value: self.value(revision),
            version,
            create_revision: revision - (version - 1) * self.keys(),
            mod_revision: revision,
            updated_at_ms: self.time(revision),
            actor: self.actor(revision).into(),
        }
    }

    fn genesis(&self) -> (Bytes, Head, Totals) {
        let genesis = Genesis {
            stream_id: StreamId([1; 16]),
            format: FORMAT,
            created_at_ms: BEGIN_MS,
            schema: commit_schema().into(),
            cluster_id: None,
            supersedes: None,
        };
        let record = encode_genesis(&genesis);
        let Ok(founding) = genesis.commit() else { unreachable!("this build's own schema") };
        let state = State::found(&founding, Hash::of(&record));
        (record, *state.head(), state.totals().clone())
    }

    /// The commit behind a head, its record, and what it leads to.
    fn next(&self, head: &Head, totals: &Totals) -> (Bytes, Head, Totals) {
        let revision = head.revision + 1;
        let ((namespace, key), version) = (self.name(revision), self.version(revision));
        let entry = self.entry(revision);
        let (content_type, value) = (entry.content_type, entry.value);
        let mut commit = Commit {
            stream_id: head.stream_id,
            format: FORMAT,
            revision,
            parent: head.hash,
            commit_id: CommitId::from_u128(u128::from(revision)),
            at_ms: self.time(revision),
            actor: entry.actor,
            reason: Some("a made change".into()),
            idempotency: None,
            expects: Vec::new(),
            changes: vec![Change::Put { namespace, key, content_type, value, version }],
            digest: Digest::default(),
            attributes: std::collections::BTreeMap::new(),
        };
        let before = (version > 1).then(|| self.entry(revision - self.keys()));
        let folded = fold(&commit, Hash::default(), totals, |_, _| before.clone());
        commit.digest = folded.totals.digest();
        let record = encode_commit(&commit);
        let head = Head { hash: Hash::of(&record), ..folded.head };
        (record, head, folded.totals)
    }
}

impl Log for Made {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        let reader = Reader { made: self.clone(), last: None };
        async move { Ok(Box::new(reader) as Box<dyn LogReader>) }.boxed()
    }

    fn writer(&self) -> Option<std::sync::Arc<dyn LogWriter>> {
        None
    }
}

/// Makes one record after the other.
struct Reader {
    made: Made,
    last: Option<(Head, Totals)>,
}

impl Reader {
    fn step(&mut self) -> Option<Record> {
        let (bytes, head, totals) = match &self.last {
            None => self.made.genesis(),
            Some((head, _)) if head.revision >= self.made.length => return None,
            Some((head, totals)) => self.made.next(head, totals),
        };
        self.last = Some((head, totals));
        Some(Record { position: Position(head.revision), appended_at_ms: head.at_ms, bytes })
    }

    fn position(&self) -> Position {
        Position(self.last.as_ref().map_or(0, |(head, _)| head.revision + 1))
    }
}

impl LogReader for Reader {
    fn identity(&self) -> &Identity {
        &self.made.identity
    }

    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        async move {
            let (mut records, mut bytes) = (Vec::new(), 0);
            while bytes < max_bytes
                && let Some(record) = self.step()
            {
                bytes += record.bytes.len();
                records.push(record);
            }
            if records.is_empty() {
                tokio::time::sleep(wait).await;
            }
            let at_end = self.position().0 > self.made.length;
            Ok(Batch { records, next: self.position(), at_end })
        }
        .boxed()
    }

    /// It only goes forward: who takes in a chain once asks for nothing else.
    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        let told = match to {
            Seek::Oldest if self.last.is_none() => Ok(Position(0)),
            _ => Err(ReadError::Unavailable("a made chain is read once, from its begin".into())),
        };
        async move { told }.boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        let end = Position(self.made.length + 1);
        async move { Ok(end) }.boxed()
    }
}
