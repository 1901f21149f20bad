//! A stream in memory, so that nothing but the SDK is measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater::{Client, Commit, Digest, Hash, StreamId};
use headwater_image::{Mapped, MappedBuilder};
use headwater_log::{Appended, Log, LogWriter, MemoryLog};
use headwater_schemas::{
    Change, Folded, Genesis, Position, State, commit_schema, encode_commit, encode_genesis, fold,
};
use tokio::runtime::{Builder, Runtime};

use crate::Result;

/// The namespace that holds every key.
pub(crate) const GLOBAL: &str = "global";
/// Layers over it, each with one key in a hundred.
pub(crate) const UPPER: [&str; 2] = ["payments", "payments.prod"];
/// Changes in one commit while a stream is filled.
const GROUP: usize = 1_000;
/// How long a client may take to have everything.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn key(index: usize) -> String {
    format!("service-{}/setting-{index:07}", index % 1_000)
}

pub(crate) fn value(number: usize) -> Bytes {
    let mode = "adaptive";
    Bytes::from(format!(
        "{{\"max_connections\": {number:>9}, \"timeout_ms\": 2500, \"mode\": \"{mode}\"}}"
    ))
}

pub(crate) struct Stream {
    log: MemoryLog,
    writer: Arc<dyn LogWriter>,
    state: State,
    runtime: Runtime,
}

impl Stream {
    /// A stream whose lowest layer holds `keys` keys.
    pub(crate) fn of(keys: usize) -> Result<Self> {
        let genesis = Genesis {
            stream_id: StreamId([9; 16]),
            format: headwater_schemas::FORMAT,
            created_at_ms: 1,
            schema: commit_schema().to_owned(),
            cluster_id: None,
            supersedes: None,
        };
        let record = encode_genesis(&genesis);
        let state = State::found(&genesis.commit()?, Hash::of(&record));
        let log = MemoryLog::new();
        let writer = log.writer().ok_or("the log in memory has no writer")?;
        let runtime = Builder::new_current_thread().build()?;
        let mut stream = Self { log, writer, state, runtime };
        stream.append(vec![record])?;
        let all: Vec<usize> = (0..keys).collect();
        let few: Vec<usize> = all.iter().copied().step_by(100).collect();
        for (namespace, indices) in [(GLOBAL, &all), (UPPER[0], &few), (UPPER[1], &few)] {
            for group in indices.chunks(GROUP) {
                let puts = group.iter().map(|index| put(namespace, &key(*index), value(*index)));
                let puts = puts.collect::<Result<_>>()?;
                stream.commit(puts)?;
            }
        }
        Ok(stream)
    }

    /// Commits one value and says the revision.
    pub(crate) fn put(&mut self, namespace: &str, key: &str, value: Bytes) -> Result<u64> {
        self.commit(vec![put(namespace, key, value)?])
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<u64> {
        let (record, folded) = self.draft(changes);
        self.append(vec![record])?;
        Ok(folded.head.revision)
    }

    /// The record of a commit, which stands in no log yet, and what it did.
    fn draft(&mut self, mut changes: Vec<Change>) -> (Bytes, Folded) {
        for change in &mut changes {
            if let Change::Put { namespace, key, version, .. } = change {
                *version = self.state.get(namespace, key).map_or(1, |entry| entry.version + 1);
            }
        }
        let head = *self.state.head();
        let mut commit = Commit {
            stream_id: head.stream_id,
            format: headwater_schemas::FORMAT,
            revision: head.revision + 1,
            parent: head.hash,
            commit_id: uuid::Uuid::nil(),
            at_ms: head.at_ms + 1,
            actor: "bench".into(),
            reason: None,
            idempotency: None,
            expects: Vec::new(),
            changes,
            digest: Digest::default(),
            attributes: BTreeMap::new(),
        };
        let lookup = |namespace: &_, key: &_| self.state.get(namespace, key).cloned();
        let ahead = fold(&commit, Hash::default(), self.state.totals(), lookup);
        commit.digest = ahead.totals.digest();
        let record = encode_commit(&commit);
        let folded = self.state.apply(&commit, Hash::of(&record));
        (record, folded)
    }

    /// One commit for each name, in no log yet: its record, and what it did.
    pub(crate) fn drafts(&mut self, names: &[String]) -> Result<(Vec<Bytes>, Vec<Folded>)> {
        let mut drafts = (Vec::new(), Vec::new());
        for (number, name) in names.iter().enumerate() {
            let (record, folded) = self.draft(vec![put(GLOBAL, name, value(number))?]);
            drafts.0.push(record);
            drafts.1.push(folded);
        }
        Ok(drafts)
    }

    /// Puts records into the log, all of them.
    pub(crate) fn append(&mut self, records: Vec<Bytes>) -> Result<()> {
        let appended = self.runtime.block_on(self.writer.append(records));
        match appended.iter().find(|it| !matches!(it, Appended::InLog(_))) {
            None => Ok(()),
            Some(other) => Err(format!("the log in memory took no record: {other:?}").into()),
        }
    }

    /// The state as an image in memory.
    pub(crate) fn image(&self) -> Result<Mapped> {
        let mut image = MappedBuilder::default();
        for (namespace, key, entry) in self.state.iter() {
            image.push(namespace.as_str(), key.as_str(), entry.as_ref())?;
        }
        Ok(image.finish(self.state.head(), self.state.totals(), Position(1), None)?)
    }

    /// A client that begins with an image in its cache, as a service does at every start but the first.
    pub(crate) fn client_of_image(&self, cache: &Path) -> Result<Client> {
        let first = self.builder().cache_dir(cache).connect_blocking()?;
        self.runtime.block_on(first.close());
        Ok(self.builder().cache_dir(cache).connect_blocking()?)
    }

    pub(crate) fn builder(&self) -> headwater::Builder {
        let layers = [GLOBAL].into_iter().chain(UPPER);
        let builder = Client::builder().log(Arc::new(self.log.clone())).namespaces(layers);
        builder.startup_timeout(PATIENCE)
    }
}

fn put(namespace: &str, key: &str, value: Bytes) -> Result<Change> {
    let (namespace, key) = (namespace.parse()?, key.parse()?);
    Ok(Change::Put { namespace, key, content_type: "application/json".into(), value, version: 0 })
}
