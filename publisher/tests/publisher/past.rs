//! A history that folds the whole log again for every answer: too slow to serve, too simple to be wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use headwater_log::MemoryLog;
use headwater_replica::{
    Asked, CommitsPage, CommitsQuery, DiffPage, DiffQuery, EntriesPage, EntriesQuery, History,
    HistoryError, KeyDiff, VersionsPage, VersionsQuery,
};
use headwater_schemas::{Entry, Hash, Head, Key, Namespace, State};

use crate::chain::states;

#[derive(Debug)]
pub(crate) struct Past {
    log: Arc<MemoryLog>,
    /// It stands still at this revision, as one that is behind.
    stands_at: Mutex<Option<u64>>,
    away: AtomicBool,
    /// Nothing before this revision is kept.
    oldest: u64,
    /// A page of a diff ends after so many keys.
    page: usize,
}

impl Past {
    pub(crate) fn of(log: &Arc<MemoryLog>) -> Self {
        let (stands_at, away) = (Mutex::default(), AtomicBool::default());
        Self { log: log.clone(), stands_at, away, oldest: 0, page: 2 }
    }

    pub(crate) fn compacted(log: &Arc<MemoryLog>, oldest: u64) -> Self {
        Self { oldest, ..Self::of(log) }
    }

    pub(crate) fn stand_still(&self, at: u64) {
        *self.stands_at.lock().unwrap() = Some(at);
    }

    pub(crate) fn go_away(&self) {
        self.away.store(true, Ordering::Relaxed);
    }

    /// The states it knows, by revision.
    fn states(&self) -> Result<Vec<State>, HistoryError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(HistoryError::Unavailable("history is away".into()));
        }
        let mut states = states(&self.log);
        if let Some(at) = *self.stands_at.lock().unwrap() {
            states.truncate(usize::try_from(at).unwrap() + 1);
        }
        Ok(states)
    }

    fn state(&self, revision: u64) -> Result<State, HistoryError> {
        if revision < self.oldest {
            return Err(HistoryError::Compacted { oldest: self.oldest });
        }
        let mut states = self.states()?;
        Ok(states.swap_remove(usize::try_from(revision).unwrap()))
    }

    fn differences(&self, query: &DiffQuery) -> Result<DiffPage, HistoryError> {
        let (old, new) = (self.state(query.from)?, self.state(query.to)?);
        let keys = |state: &State| -> Vec<Key> {
            let keys = state.prefix(&query.namespace, &query.prefix).map(|(key, _)| key.clone());
            keys.filter(|key| query.after.as_ref().is_none_or(|after| key > after)).collect()
        };
        let all: std::collections::BTreeSet<Key> =
            keys(&old).into_iter().chain(keys(&new)).collect();
        let entry = |state: &State, key: &Key| state.get(&query.namespace, key).cloned();
        let all = all.into_iter().map(|key| {
            let (old, new) = (entry(&old, &key), entry(&new, &key));
            KeyDiff { key, old, new }
        });
        let mut changes: Vec<KeyDiff> = all.filter(|diff| diff.old != diff.new).collect();
        let more = changes.len() > self.page;
        changes.truncate(self.page);
        let next = changes.last().filter(|_| more).map(|diff| diff.key.clone());
        Ok(DiffPage { changes, next })
    }
}

fn now<'a, T: Send + 'a>(answer: Result<T, HistoryError>) -> Asked<'a, T> {
    std::future::ready(answer).boxed()
}

impl History for Past {
    fn head(&self) -> Asked<'_, Head> {
        now(self.states().map(|states| *states.last().unwrap().head()))
    }

    fn entry(&self, namespace: &str, key: &str, revision: u64) -> Asked<'_, Option<Entry>> {
        let (namespace, key): (Namespace, Key) = (namespace.parse().unwrap(), key.parse().unwrap());
        now(self.state(revision).map(|state| state.get(&namespace, &key).cloned()))
    }

    fn diff(&self, query: DiffQuery) -> Asked<'_, DiffPage> {
        now(self.differences(&query))
    }

    fn last_change(&self, namespace: &str, key: Option<&str>, upto: u64) -> Asked<'_, u64> {
        let (namespace, key): (Namespace, Key) =
            (namespace.parse().unwrap(), key.unwrap().parse().unwrap());
        let upto = usize::try_from(upto).unwrap();
        now(self.states().map(|states| {
            let differs =
                |pair: &&[State]| pair[0].get(&namespace, &key) != pair[1].get(&namespace, &key);
            let last = states[..=upto].windows(2).rfind(differs);
            last.map_or(0, |pair| pair[1].head().revision)
        }))
    }

    fn hash_at(&self, revision: u64) -> Asked<'_, Option<Hash>> {
        now(self.state(revision).map(|state| Some(state.head().hash)))
    }

    fn record(&self, _: u64) -> Asked<'_, Option<Bytes>> {
        unasked()
    }

    fn commits(&self, _: CommitsQuery) -> Asked<'_, CommitsPage> {
        unasked()
    }

    fn revision_at(&self, _: i64) -> Asked<'_, u64> {
        unasked()
    }

    fn entries(&self, _: EntriesQuery) -> Asked<'_, EntriesPage> {
        unasked()
    }

    fn versions(&self, _: VersionsQuery) -> Asked<'_, VersionsPage> {
        unasked()
    }
}

fn unasked<'a, T: Send + 'a>() -> Asked<'a, T> {
    now(Err(HistoryError::Unavailable("a writer has no use for this".into())))
}
