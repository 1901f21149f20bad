//! History over the rows.

use std::sync::Arc;

use futures::future::BoxFuture;
use headwater_replica::{CommitsPage, History, HistoryError};
use headwater_schemas::{Codec, Commit, Digest, Frozen, Hash, Head, Record, unread};

use super::{Rows, Store, StoreError};
use crate::status::Shared;

/// Every version and every commit, as far as the rows are.
#[derive(Debug, Clone)]
pub(crate) struct RowHistory {
    shared: Arc<Shared>,
}

fn unavailable(error: impl std::fmt::Display) -> HistoryError {
    HistoryError::Unavailable(error.to_string())
}

impl From<StoreError> for HistoryError {
    fn from(error: StoreError) -> Self {
        unavailable(error)
    }
}

impl RowHistory {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs a read of the rows on a thread that may block.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, HistoryError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, HistoryError>> {
        let store = self.shared.store();
        Box::pin(async move {
            let store = store.ok_or_else(|| unavailable("the store is being reopened"))?;
            self.shared.work.spawn_blocking(move || read(&store)).await.map_err(unavailable)?
        })
    }
}

impl History for RowHistory {
    fn head(&self) -> Option<Head> {
        self.shared.place().map(|place| place.head)
    }

    fn commits(
        &self,
        after: u64,
        upto: u64,
        actor: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<CommitsPage, HistoryError>> {
        let actor = actor.map(str::to_owned);
        self.read(move |store| {
            let rows = store.rows();
            let held = rows.place()?.ok_or_else(|| unavailable("no commit yet"))?.head.revision;
            if held < upto {
                return Err(unavailable(format!("it is at revision {held}, not yet at {upto}")));
            }
            let mut page = Page { upto, limit, max_bytes, bytes: 0, found: CommitsPage::default() };
            page.found.scanned_to = after;
            match actor {
                Some(actor) => page.of_actor(&rows, &actor, after)?,
                None => page.of_all(&rows, after)?,
            }
            Ok(page.found)
        })
    }

    fn last_change(
        &self,
        namespace: &str,
        key: &str,
        upto: u64,
    ) -> BoxFuture<'_, Result<u64, HistoryError>> {
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        self.read(move |store| Ok(store.rows().last_change(&namespace, &key, upto)?))
    }
}

/// A page being filled.
struct Page {
    upto: u64,
    limit: usize,
    max_bytes: usize,
    bytes: usize,
    found: CommitsPage,
}

impl Page {
    fn is_full(&self) -> bool {
        self.found.commits.len() >= self.limit || self.bytes >= self.max_bytes
    }

    fn take(&mut self, hash: Hash, record: &Record, commit: Commit) {
        self.bytes = self.bytes.saturating_add(record.bytes.len());
        self.found.commits.push((hash, commit));
    }

    fn of_all(&mut self, rows: &Rows<'_>, after: u64) -> Result<(), HistoryError> {
        let codec = codec(rows)?;
        for row in rows.records(after, self.upto)? {
            if self.is_full() {
                return Ok(());
            }
            let (revision, hash, record) = row?;
            let commit = decode(&codec, &record)?;
            self.take(hash, &record, commit);
            self.found.scanned_to = revision;
        }
        self.found.scanned_to = self.upto.max(after);
        Ok(())
    }

    fn of_actor(&mut self, rows: &Rows<'_>, actor: &str, after: u64) -> Result<(), HistoryError> {
        let codec = codec(rows)?;
        for revision in rows.by_actor(actor, after, self.upto)? {
            if self.is_full() {
                return Ok(());
            }
            let revision = revision?;
            let missing = || unavailable(format!("revision {revision} is missing"));
            let (hash, record) = rows.record(revision)?.ok_or_else(missing)?;
            let commit = decode(&codec, &record)?;
            // The index holds half a hash: another actor's may be the same.
            if *commit.actor == *actor {
                self.take(hash, &record, commit);
            }
            self.found.scanned_to = revision;
        }
        self.found.scanned_to = self.upto.max(after);
        Ok(())
    }
}

/// A commit of the chain; one that could not be read stands there because an operator had it skipped.
fn decode(codec: &Codec, record: &Record) -> Result<Commit, HistoryError> {
    codec.decode(&record.bytes).or_else(|_| {
        let frozen = Frozen::read(&record.bytes).map_err(unavailable)?;
        Ok(unread(&frozen, record.appended_at_ms, Digest::default()))
    })
}

/// Every schema the stream has carried, so that each commit is read by its own.
fn codec(rows: &Rows<'_>) -> Result<Codec, HistoryError> {
    let chain = rows.chain()?.ok_or_else(|| unavailable("no commit yet"))?;
    Ok(chain.codec().clone())
}
