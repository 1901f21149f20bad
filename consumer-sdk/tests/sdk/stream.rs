//! A stream in memory, written to by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headwater::{Builder, Client};
use headwater_image::{ImageError, WireImage};
use headwater_log::{Appended, Log, MemoryLog};
use headwater_schemas::{
    Change, Commit, Digest, Genesis, Hash, Key, Namespace, Position, State, StreamId, Totals,
    commit_schema, encode_commit, encode_genesis, fold,
};

/// How long anything here may take at most.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Stream {
    pub(crate) log: MemoryLog,
    state: Mutex<State>,
}

fn name(namespace: &str, key: &str) -> (Namespace, Key) {
    (namespace.parse().unwrap(), key.parse().unwrap())
}

pub(crate) fn put(namespace: &str, key: &str, json: &str) -> Change {
    typed(namespace, key, "application/json", json)
}

pub(crate) fn typed(namespace: &str, key: &str, content_type: &str, value: &str) -> Change {
    let (namespace, key) = name(namespace, key);
    let value = Bytes::copy_from_slice(value.as_bytes());
    Change::Put { namespace, key, content_type: content_type.into(), value, version: 0 }
}

pub(crate) fn delete(namespace: &str, key: &str) -> Change {
    let (namespace, key) = name(namespace, key);
    Change::Delete { namespace, key }
}

impl Stream {
    pub(crate) async fn found() -> Self {
        Self::founded_as(7).await
    }

    /// A stream of its own id.
    pub(crate) async fn founded_as(id: u8) -> Self {
        let genesis = Genesis {
            stream_id: StreamId([id; 16]),
            format: headwater_schemas::FORMAT,
            created_at_ms: 1,
            schema: commit_schema().to_owned(),
            cluster_id: None,
            supersedes: None,
        };
        let record = encode_genesis(&genesis);
        let state = State::found(&genesis.commit().unwrap(), Hash::of(&record));
        let stream = Self { log: MemoryLog::new(), state: Mutex::new(state) };
        stream.append(record).await;
        stream
    }

    async fn append(&self, record: Bytes) {
        let appended = self.log.writer().unwrap().append(vec![record]).await;
        assert!(matches!(appended.as_slice(), [Appended::InLog(_)]), "{appended:?}");
    }

    /// Commits the changes and says the revision. Its clock ticks once a commit.
    pub(crate) async fn commit(&self, changes: impl IntoIterator<Item = Change>) -> u64 {
        self.commit_at(0, changes).await
    }

    /// The same at a time that is not before the clock, in milliseconds since the Unix epoch.
    pub(crate) async fn commit_at(
        &self,
        at_ms: i64,
        changes: impl IntoIterator<Item = Change>,
    ) -> u64 {
        let record = {
            let mut state = self.state.lock().unwrap();
            let mut commit = self.draft(&state, changes.into_iter().collect());
            commit.at_ms = commit.at_ms.max(at_ms);
            commit.digest = digest_after(&commit, &state);
            let record = encode_commit(&commit);
            state.apply(&commit, Hash::of(&record));
            record
        };
        self.append(record).await;
        self.state.lock().unwrap().head().revision
    }

    fn draft(&self, state: &State, mut changes: Vec<Change>) -> Commit {
        for change in &mut changes {
            if let Change::Put { namespace, key, version, .. } = change {
                *version = state.get(namespace, key).map_or(1, |entry| entry.version + 1);
            }
        }
        Commit {
            stream_id: state.head().stream_id,
            format: headwater_schemas::FORMAT,
            revision: state.head().revision + 1,
            parent: state.head().hash,
            commit_id: uuid::Uuid::nil(),
            at_ms: state.head().at_ms + 1,
            actor: "test".into(),
            reason: Some("because".into()),
            idempotency: None,
            expects: Vec::new(),
            changes,
            digest: Digest::default(),
            attributes: BTreeMap::from([("ticket".to_owned(), "T-1".to_owned())]),
        }
    }

    pub(crate) async fn put(&self, namespace: &str, key: &str, json: &str) -> u64 {
        self.commit([put(namespace, key, json)]).await
    }

    pub(crate) async fn delete(&self, namespace: &str, key: &str) -> u64 {
        self.commit([delete(namespace, key)]).await
    }

    pub(crate) fn digest(&self) -> Digest {
        self.state.lock().unwrap().totals().digest()
    }

    /// Cuts an image of the state into `dir` and announces it.
    pub(crate) fn cut(&self, dir: &std::path::Path) {
        let state = self.state.lock().unwrap();
        // Genesis stands at 0, and every commit behind the one before.
        let position = Position(state.head().revision);
        let manifest =
            WireImage::write(dir, state.head(), state.totals(), position, 1_000, |visit| {
                state.iter().try_for_each(|(namespace, key, entry)| {
                    visit(namespace.as_str(), key.as_str(), entry.as_ref())?;
                    Ok::<_, ImageError>(())
                })
            });
        manifest.unwrap().write_as(dir, "latest.json").unwrap();
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder().log(Arc::new(self.log.clone())).startup_timeout(SOON)
    }

    /// A client that reads some namespaces.
    pub(crate) async fn client(&self, namespaces: &[&str]) -> Client {
        self.builder().namespaces(namespaces.iter().copied()).connect().await.unwrap()
    }
}

fn digest_after(commit: &Commit, state: &State) -> Digest {
    let totals: &Totals = state.totals();
    fold(commit, Hash::default(), totals, |namespace, key| state.get(namespace, key).cloned())
        .totals
        .digest()
}

/// What must happen soon.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("nothing happened in time")
}
