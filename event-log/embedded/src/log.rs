//! The log on disk.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Identity, Log, LogReader, LogWriter, ReadError};
use rocksdb::DB;

use crate::committer::Committer;
use crate::open::{self, OpenError};
use crate::queue::Queue;
use crate::reader::Reader;
use crate::scan::scan;
use crate::shared::{Held, Shared, closed};
use crate::{Damage, EmbeddedSettings};

/// The log of one stream, in a directory of this machine. One process has it open at a time.
#[derive(Debug)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    queue: Queue,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the log, or makes an empty one in an empty directory. Blocks while it verifies what is there: call
    /// it where that is allowed.
    ///
    /// # Errors
    /// [`OpenError`]; a damaged log is left as it is.
    pub fn open(settings: EmbeddedSettings) -> Result<Arc<Self>, OpenError> {
        let opened = open::open(&settings)?;
        let place = settings.dir.display().to_string();
        let identity = Identity { kind: "embedded", place, cluster_id: None };
        let db = Arc::new(opened.db);
        let held = Held { db: Arc::clone(&db), _lock: opened.lock };
        let shared = Arc::new(Shared::new(identity, settings.ring_bytes, opened.end, held));
        let (queue, inbox) = Queue::new(&settings, Arc::clone(&shared));
        let committer = Committer {
            shared: Arc::clone(&shared),
            db: Arc::clone(&db),
            inbox,
            next: opened.end,
            last_ms: opened.last_ms,
        };
        let failed = |error| OpenError::Directory { dir: settings.dir.clone(), error };
        let mut threads = vec![spawn("log-committer", move || committer.run()).map_err(failed)?];
        if opened.unverified > 0 {
            let shared = Arc::clone(&shared);
            let verify = move || verify_rest(&shared, &db, opened.unverified);
            threads.push(spawn("log-verifier", verify).map_err(failed)?);
        }
        Ok(Arc::new(Self { shared, queue, threads: Mutex::new(threads) }))
    }

    /// Reads and verifies every record; how many there are. Blocks, for about a second per million records.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] with the first damage, which also stops the log; [`ReadError::Unavailable`] when
    /// it is closed.
    pub fn verify(&self) -> Result<u64, ReadError> {
        let db = self.shared.db()?;
        let end = self.shared.progress.borrow().end;
        scan(&db, 0, Some(end), |_, _, _| ControlFlow::Continue(())).map_err(|damage| {
            self.shared.fail(&damage);
            ReadError::Corrupt(damage.to_string())
        })
    }

    /// How many synced batches were written since it opened.
    pub fn groups(&self) -> u64 {
        self.shared.groups.load(Ordering::Relaxed)
    }

    /// Decides every append handed over before, then closes: later appends are refused and readers end with
    /// [`ReadError::Unavailable`]. When it returns, the directory is free.
    pub async fn close(&self) {
        self.queue.close().await;
        self.shared.closing.store(true, Ordering::Relaxed);
        let threads = {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *threads)
        };
        let ended = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // Neither can fail unless the runtime is ending, and then the process is.
        let _ = tokio::task::spawn_blocking(ended).await;
        self.shared.stop(closed());
        let held = self.shared.take();
        self.shared.scans.close();
        self.shared.scans.wait().await;
        let _ = tokio::task::spawn_blocking(move || drop(held)).await;
    }

    /// Moves everything from the write-ahead log into a table, as RocksDB does by itself now and then.
    ///
    /// # Errors
    /// What RocksDB says.
    #[doc(hidden)]
    pub fn flush(&self) -> Result<(), String> {
        let db = self.shared.db().map_err(|error| error.to_string())?;
        db.flush().map_err(|error| error.to_string())
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(work)
}

/// Verifies what a large log's opening left out, and stops the log when it finds damage.
fn verify_rest(shared: &Shared, db: &DB, until: u64) {
    let verified: Result<u64, Damage> = scan(db, 0, Some(until), |_, _, _| {
        if shared.closing.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    match verified {
        Ok(verified) => tracing::info!(log = %shared.identity.place, verified, "the log is whole"),
        Err(damage) => shared.fail(&damage),
    }
}

impl Log for EmbeddedLog {
    fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        let reader = self
            .shared
            .db()
            .map(|_| Box::new(Reader::new(Arc::clone(&self.shared))) as Box<dyn LogReader>);
        std::future::ready(reader).boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        Some(Arc::new(self.queue.clone()))
    }
}
