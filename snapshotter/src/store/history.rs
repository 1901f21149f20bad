//! History over the rows: one question, one moment of the rows, one thread that may block.

mod commits;
mod states;

use std::sync::Arc;

use bytes::Bytes;
use headwater_replica::{
    Asked, CommitsPage, CommitsQuery, DiffPage, DiffQuery, EntriesPage, EntriesQuery, History,
    HistoryError, Version, VersionsPage, VersionsQuery,
};
use headwater_schemas::{Codec, Commit, Digest, Entry, Frozen, Hash, Head, Record, unread};

use super::{Rows, Store, StoreError};
use crate::status::Shared;

/// How many bytes of records one page reads: a commit of a thousand changes is read for the one that is asked about.
const MAX_READ_BYTES: usize = 32 * 1024 * 1024;

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

    /// Asks the rows of one moment, on a thread that may block.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Rows<'_>) -> Result<T, HistoryError> + Send + 'static,
    ) -> Asked<'_, T> {
        Box::pin(async move {
            // It goes with the reading, which ends though nobody waits for it any more.
            let permit = self.shared.questions.clone().acquire_owned().await;
            let permit = permit.map_err(unavailable)?;
            let store: Arc<Store> =
                self.shared.store().ok_or_else(|| unavailable("the store is being reopened"))?;
            let read = move || {
                let answer = read(&store.rows());
                drop(permit);
                answer
            };
            self.shared.work.spawn_blocking(read).await.map_err(unavailable)?
        })
    }
}

impl History for RowHistory {
    fn head(&self) -> Asked<'_, Head> {
        let place = self.shared.place();
        Box::pin(async move {
            place.map(|place| place.head).ok_or_else(|| unavailable("it has no commit yet"))
        })
    }

    fn hash_at(&self, revision: u64) -> Asked<'_, Option<Hash>> {
        self.read(move |rows| Ok(rows.record(revision)?.map(|(hash, _)| hash)))
    }

    fn record(&self, revision: u64) -> Asked<'_, Option<Bytes>> {
        self.read(move |rows| Ok(rows.record(revision)?.map(|(_, record)| record.bytes)))
    }

    fn commits(&self, query: CommitsQuery) -> Asked<'_, CommitsPage> {
        self.read(move |rows| {
            reached(rows, query.upto)?;
            commits::page(rows, &query)
        })
    }

    fn revision_at(&self, at_ms: i64) -> Asked<'_, u64> {
        self.read(move |rows| revision_at(rows, at_ms))
    }

    fn entry(&self, namespace: &str, key: &str, revision: u64) -> Asked<'_, Option<Entry>> {
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        self.read(move |rows| {
            whole(rows, revision)?;
            Ok(rows.change_at(&namespace, &key, revision)?.and_then(|change| change.entry))
        })
    }

    fn entries(&self, query: EntriesQuery) -> Asked<'_, EntriesPage> {
        self.read(move |rows| {
            whole(rows, query.revision)?;
            states::entries(rows, &query)
        })
    }

    fn versions(&self, query: VersionsQuery) -> Asked<'_, VersionsPage> {
        self.read(move |rows| {
            reached(rows, query.before.saturating_sub(1))?;
            versions(rows, &query)
        })
    }

    fn diff(&self, query: DiffQuery) -> Asked<'_, DiffPage> {
        self.read(move |rows| {
            whole(rows, query.from)?;
            whole(rows, query.to)?;
            states::diff(rows, &query)
        })
    }

    fn last_change(&self, namespace: &str, key: Option<&str>, upto: u64) -> Asked<'_, u64> {
        let (namespace, key) = (namespace.to_owned(), key.map(str::to_owned));
        self.read(move |rows| {
            let revision = match key {
                Some(key) => rows.change_at(&namespace, &key, upto)?.map(|change| change.revision),
                None => rows.of_namespace(&namespace)?.at_or_below(upto)?,
            };
            Ok(revision.unwrap_or(0))
        })
    }
}

/// The revision up to which the rows are; an error when that is below `wanted`, for what is not there yet is not absent.
fn reached(rows: &Rows<'_>, wanted: u64) -> Result<u64, HistoryError> {
    let place = rows.place()?.ok_or_else(|| unavailable("it has no commit yet"))?;
    let held = place.head.revision;
    if held < wanted {
        return Err(unavailable(format!("it is at revision {held}, not yet at {wanted}")));
    }
    Ok(held)
}

/// Makes sure that the state at a revision can be told: the first commits of a stream that was founded from another one's
/// state carry that over, and lead to none that ever was.
fn whole(rows: &Rows<'_>, revision: u64) -> Result<(), HistoryError> {
    reached(rows, revision)?;
    let oldest = rows.whole_at()?;
    if revision < oldest { Err(HistoryError::Compacted { oldest }) } else { Ok(()) }
}

/// By halves: the time of a commit never goes back.
fn revision_at(rows: &Rows<'_>, at_ms: i64) -> Result<u64, HistoryError> {
    let codec = rows.codec()?;
    let (mut at_or_before, mut above) = (0, reached(rows, 0)?.saturating_add(1));
    while above - at_or_before > 1 {
        let middle = at_or_before + (above - at_or_before) / 2;
        if commit(rows, &codec, middle)?.2.at_ms <= at_ms {
            at_or_before = middle;
        } else {
            above = middle;
        }
    }
    Ok(at_or_before)
}

fn versions(rows: &Rows<'_>, query: &VersionsQuery) -> Result<VersionsPage, HistoryError> {
    let codec = rows.codec()?;
    let (mut page, mut bytes, mut read) = (VersionsPage::default(), 0, 0);
    for change in rows.changes(query.namespace.as_str(), query.key.as_str(), query.before)? {
        let change = change?;
        let is_full = page.versions.len() >= query.limit || bytes >= query.max_bytes;
        if let Some(last) = page.versions.last()
            && (is_full || read >= MAX_READ_BYTES)
        {
            page.next = Some(last.revision);
            break;
        }
        let (_, record, commit) = commit(rows, &codec, change.revision)?;
        read += record.bytes.len();
        bytes += change.entry.as_ref().map_or(0, |entry| entry.value.len());
        page.versions.push(Version::of(&commit, change.entry));
    }
    Ok(page)
}

/// A commit of the chain, its hash and its record.
fn commit(
    rows: &Rows<'_>,
    codec: &Codec,
    revision: u64,
) -> Result<(Hash, Record, Commit), HistoryError> {
    let missing = || unavailable(format!("revision {revision} is missing"));
    let (hash, record) = rows.record(revision)?.ok_or_else(missing)?;
    let commit = decode(codec, &record)?;
    Ok((hash, record, commit))
}

/// One that could not be read stands in the chain because an operator had it skipped.
fn decode(codec: &Codec, record: &Record) -> Result<Commit, HistoryError> {
    codec.decode(&record.bytes).or_else(|_| {
        let frozen = Frozen::read(&record.bytes).map_err(unavailable)?;
        Ok(unread(&frozen, record.appended_at_ms, Digest::default()))
    })
}
