//! What committer, readers and writers of one log share.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use headwater_log::{Identity, ReadError};
use headwater_schemas::{Position, Record};
use rocksdb::DB;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::open::Lock;
use crate::ring::{Budget, Ring};
use crate::{Damage, metrics, scan};

/// What readers wait for.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// The position behind the last durable record.
    pub(crate) end: u64,
    /// Why nothing can be read any more.
    pub(crate) stopped: Option<ReadError>,
}

/// One open log.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) progress: watch::Sender<Progress>,
    /// Synced batches so far.
    pub(crate) groups: AtomicU64,
    /// Tells the threads to end.
    pub(crate) closing: AtomicBool,
    /// Reads from disk under way: the database closes behind the last.
    pub(crate) scans: TaskTracker,
    /// Why nothing can be written any more; set once.
    refusal: OnceLock<String>,
    ring: Mutex<Ring>,
    held: Mutex<Option<Held>>,
}

/// What closing gives back.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) db: Arc<DB>,
    /// Kept locked, never read again.
    pub(crate) _lock: Lock,
}

impl Shared {
    pub(crate) fn new(identity: Identity, ring_bytes: usize, end: u64, held: Held) -> Self {
        Self {
            identity,
            progress: watch::Sender::new(Progress { end, stopped: None }),
            groups: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            scans: TaskTracker::new(),
            refusal: OnceLock::new(),
            ring: Mutex::new(Ring::new(ring_bytes)),
            held: Mutex::new(Some(held)),
        }
    }

    /// Whether the log takes writes.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn writable(&self) -> Result<(), String> {
        self.refusal.get().map_or(Ok(()), |why| Err(why.clone()))
    }

    /// From now on every append is refused. The first reason stays.
    pub(crate) fn fail_writes(&self, why: &str) {
        if self.refusal.set(why.into()).is_ok() {
            metrics::failed();
            tracing::error!(log = %self.identity.place, "the log takes no more writes: {why}");
        }
    }

    /// Damage was found in the open log: nobody reads or writes it any more.
    pub(crate) fn fail(&self, damage: &Damage) {
        self.fail_writes(&format!("the log is damaged: {damage}"));
        self.stop(ReadError::Corrupt(damage.to_string()));
    }

    /// Ends reading, with the first reason given.
    pub(crate) fn stop(&self, why: ReadError) {
        self.progress.send_modify(|progress| {
            progress.stopped.get_or_insert(why);
        });
    }

    /// A group is durable: shows it to the readers.
    pub(crate) fn publish(&self, records: Vec<Record>, end: u64) {
        let mut ring = lock(&self.ring);
        records.into_iter().for_each(|record| ring.push(record));
        drop(ring);
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.progress.send_modify(|progress| progress.end = end);
    }

    /// The latest records from `position` on, if they are still in memory.
    pub(crate) fn latest(&self, position: u64, max_bytes: usize) -> Option<Vec<Record>> {
        lock(&self.ring).from(position, max_bytes)
    }

    /// The database.
    ///
    /// # Errors
    /// The log is closed.
    pub(crate) fn db(&self) -> Result<Arc<DB>, ReadError> {
        let held = lock(&self.held);
        held.as_ref().map(|held| Arc::clone(&held.db)).ok_or_else(closed)
    }

    /// Gives the database away, to be closed.
    pub(crate) fn take(&self) -> Option<Held> {
        lock(&self.held).take()
    }

    /// Does `work` on the database, where it may block.
    ///
    /// # Errors
    /// The log is closed, or what `work` says. Damage stops the log.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DB) -> Result<T, Damage> + Send + 'static,
    ) -> Result<T, ReadError> {
        // The token first: whoever closes the log waits for it, so the database is not dropped here by surprise.
        let token = self.scans.token();
        let db = self.db()?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&db);
            drop((db, token));
            done
        });
        let done = done.await;
        let done = done.map_err(|error| ReadError::Unavailable(error.to_string()))?;
        done.map_err(|damage| {
            self.fail(&damage);
            ReadError::Corrupt(damage.to_string())
        })
    }
}

/// What a closed log says.
pub(crate) fn closed() -> ReadError {
    ReadError::Unavailable("the log is closed".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads records from disk: from `position` up to `end`, at least one and about `max_bytes`.
///
/// # Errors
/// [`Damage`].
pub(crate) fn read(
    db: &DB,
    position: u64,
    end: u64,
    max_bytes: usize,
) -> Result<Vec<Record>, Damage> {
    let mut records = Vec::new();
    let mut budget = Budget::new(max_bytes);
    scan::scan(db, position, Some(end), |at, appended_at_ms, bytes| {
        if !budget.takes(bytes.len()) {
            return ControlFlow::Break(());
        }
        let bytes = Bytes::copy_from_slice(bytes);
        records.push(Record { position: Position(at), appended_at_ms, bytes });
        ControlFlow::Continue(())
    })?;
    Ok(records)
}
