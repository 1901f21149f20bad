//! A stream of this process's own, in memory. What is written to it takes the way of every commit: record, chain, fold,
//! view, handles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{
    Appended, Batch, Identity, Log, LogReader, LogWriter, MemoryLog, ReadError, Seek,
};
use headwater_schemas::{
    Change, Commit, CommitId, Digest, Entry, FORMAT, Genesis, Hash, Key, MAX_ITEMS,
    MAX_RECORD_BYTES, Namespace, Position, State, StreamId, Totals, commit_schema, encode_commit,
    encode_genesis, fold,
};
use tokio::sync::watch;

/// Why a commit cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotCommitted {
    #[error("{0} changes at once; the most is {MAX_ITEMS}")]
    TooMany(usize),
    #[error("a commit of {0} bytes; the most is {MAX_RECORD_BYTES}")]
    TooLarge(usize),
    #[error("the log in memory refused it: {0}")]
    Refused(String),
}

/// The stream: a log in memory, the model of its state, and whether it can be reached.
#[derive(Debug)]
pub(crate) struct LocalStream {
    log: MemoryLog,
    state: Mutex<State>,
    /// Why it cannot be reached, if so.
    outage: watch::Sender<Option<Arc<str>>>,
    /// Why it could not be reached when it was founded: whoever founded it so has yet to say more.
    unsaid: Option<Arc<str>>,
    /// Who is named as the writer of everything.
    actor: Arc<str>,
}

impl LocalStream {
    /// A new stream, founded and empty. `outage` says why it cannot be reached yet, if so.
    pub(crate) fn found(actor: &str, outage: Option<&str>) -> Result<Arc<Self>, NotCommitted> {
        let genesis = Genesis {
            stream_id: StreamId(CommitId::new_v4().into_bytes()),
            format: FORMAT,
            created_at_ms: now_ms(),
            schema: commit_schema().to_owned(),
            cluster_id: None,
            supersedes: None,
        };
        let record = encode_genesis(&genesis);
        let founding =
            genesis.commit().map_err(|error| NotCommitted::Refused(error.to_string()))?;
        let unsaid: Option<Arc<str>> = outage.map(Arc::from);
        let stream = Self {
            log: MemoryLog::new(),
            state: Mutex::new(State::found(&founding, Hash::of(&record))),
            outage: watch::Sender::new(unsaid.clone()),
            unsaid,
            actor: actor.into(),
        };
        stream.append(record)?;
        Ok(Arc::new(stream))
    }

    /// The stream as a log to follow.
    pub(crate) fn log(self: &Arc<Self>) -> Arc<dyn Log> {
        let told = Arc::new(Mutex::new(self.unsaid.clone()));
        Arc::new(LocalLog { stream: self.clone(), told })
    }

    /// Commits the changes, all or none, and says the revision. Versions are filled in here, and a deletion of what is
    /// not there is left out; where nothing is left the commit is an empty one.
    pub(crate) fn commit(&self, changes: Vec<Change>) -> Result<u64, NotCommitted> {
        let mut state = self.state();
        let changes = sensible(changes, &state);
        if changes.len() > MAX_ITEMS {
            return Err(NotCommitted::TooMany(changes.len()));
        }
        let mut commit = self.draft(&state, changes);
        commit.digest = digest_after(&commit, &state);
        let record = encode_commit(&commit);
        if record.len() > MAX_RECORD_BYTES {
            return Err(NotCommitted::TooLarge(record.len()));
        }
        let hash = Hash::of(&record);
        self.append(record)?;
        state.apply(&commit, hash);
        Ok(commit.revision)
    }

    /// The newest revision.
    pub(crate) fn revision(&self) -> u64 {
        self.state().head().revision
    }

    /// The entry that stands at a key now.
    pub(crate) fn entry(&self, namespace: &Namespace, key: &Key) -> Option<Entry> {
        self.state().get(namespace, key).cloned()
    }

    /// Every key there is and its entry.
    pub(crate) fn entries(&self) -> Vec<(Namespace, Key, Entry)> {
        let state = self.state();
        let all = state.iter().filter(|(namespace, ..)| !namespace.is_system());
        all.map(|(namespace, key, entry)| (namespace.clone(), key.clone(), entry.clone())).collect()
    }

    /// From now on it cannot be reached (with the reason), or can again.
    pub(crate) fn reachable(&self, outage: Option<&str>) {
        let outage: Option<Arc<str>> = outage.map(Arc::from);
        self.outage.send_if_modified(|now| {
            let changed = *now != outage;
            *now = outage;
            changed
        });
    }

    /// Forgets the records before the last one: whoever follows has read it.
    pub(crate) fn trim(&self) {
        self.log.trim(Position(self.log.end().0.saturating_sub(1)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A log in memory takes a record at the call.
    fn append(&self, record: bytes::Bytes) -> Result<(), NotCommitted> {
        match self.log.append(vec![record]).now_or_never().as_deref() {
            Some([Appended::InLog(_)]) => Ok(()),
            other => Err(NotCommitted::Refused(format!("{other:?}"))),
        }
    }

    fn draft(&self, state: &State, changes: Vec<Change>) -> Commit {
        let head = state.head();
        Commit {
            stream_id: head.stream_id,
            format: FORMAT,
            revision: head.revision + 1,
            parent: head.hash,
            commit_id: CommitId::now_v7(),
            at_ms: now_ms().max(head.at_ms),
            actor: self.actor.clone(),
            reason: None,
            idempotency: None,
            expects: Vec::new(),
            changes,
            digest: Digest::default(),
            attributes: BTreeMap::new(),
        }
    }
}

/// The last change of each key, with its version; deletions of what is not there are left out.
fn sensible(changes: Vec<Change>, state: &State) -> Vec<Change> {
    let mut last = BTreeMap::new();
    for change in changes {
        last.insert((change.namespace().clone(), change.key().clone()), change);
    }
    let changes = last.into_iter().filter_map(|((namespace, key), mut change)| {
        let before = state.get(&namespace, &key);
        match &mut change {
            Change::Put { version, .. } => *version = before.map_or(1, |entry| entry.version + 1),
            Change::Delete { .. } => before.map(drop)?,
        }
        Some(change)
    });
    changes.collect()
}

fn digest_after(commit: &Commit, state: &State) -> Digest {
    let totals: &Totals = state.totals();
    fold(commit, Hash::default(), totals, |namespace, key| state.get(namespace, key).cloned())
        .totals
        .digest()
}

/// Milliseconds since the Unix epoch, by this machine's clock.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The stream's log, as long as it can be reached.
#[derive(Debug)]
struct LocalLog {
    stream: Arc<LocalStream>,
    /// The outage that a reader was told of last.
    told: Arc<Mutex<Option<Arc<str>>>>,
}

impl LocalLog {
    /// One refusal tells of an outage. The next reader waits for its end, or for another reason to tell: so no back-off
    /// keeps the client away once the stream can be reached.
    async fn reader_when_reachable(&self) -> Result<Box<dyn LogReader>, ReadError> {
        let mut outage = self.stream.outage.subscribe();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let news = outage.wait_for(|now| now.is_none() || *now != told).await;
        // The stream holds the sender, and this log the stream.
        let why = news.ok().and_then(|why| why.clone());
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = why.clone();
        if let Some(why) = why {
            return Err(ReadError::Unavailable(why.to_string()));
        }
        let inner = self.stream.log.reader().await?;
        Ok(Box::new(LocalReader { inner, outage, told: self.told.clone() }))
    }
}

impl Log for LocalLog {
    fn identity(&self) -> &Identity {
        self.stream.log.identity()
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        self.reader_when_reachable().boxed()
    }

    /// Readers of it do not write.
    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        None
    }
}

struct LocalReader {
    inner: Box<dyn LogReader>,
    outage: watch::Receiver<Option<Arc<str>>>,
    told: Arc<Mutex<Option<Arc<str>>>>,
}

/// Resolves when the stream can no longer be reached.
async fn cut(
    outage: &mut watch::Receiver<Option<Arc<str>>>,
    told: &Mutex<Option<Arc<str>>>,
) -> ReadError {
    let Ok(why) = outage.wait_for(Option::is_some).await else {
        // Its stream is gone, and with it everybody who could write.
        return std::future::pending().await;
    };
    *told.lock().unwrap_or_else(PoisonError::into_inner) = why.clone();
    ReadError::Unavailable(why.as_deref().unwrap_or_default().to_owned())
}

impl LogReader for LocalReader {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        let Self { inner, outage, told } = self;
        async move {
            tokio::select! {
                biased;
                why = cut(outage, told) => Err(why),
                batch = inner.read(wait, max_bytes) => batch,
            }
        }
        .boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.inner.seek(to)
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.inner.end()
    }
}
