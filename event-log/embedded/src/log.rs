//! The log on disk.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Identity, Log, LogReader, LogWriter, ReadError};
use rocksdb::DB;

use crate::committer::Committer;
use crate::core::{Core, Writer};
use crate::open::{self, OpenError};
use crate::queue::Queue;
use crate::reader::Reader;
use crate::scan::scan;
use crate::shared::{Held, Shared};
use crate::{Damage, EmbeddedSettings, metrics};

/// The log of one stream, in a directory of this machine. One process has it open at a time: it is closed by
/// [`EmbeddedLog::close`], or with the last of its log, readers and writers.
#[derive(Debug)]
pub struct EmbeddedLog {
    core: Arc<Core>,
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
        let core = Arc::new(Core::new(Arc::clone(&shared), queue));
        let failed = |error| OpenError::Directory { dir: settings.dir.clone(), error };
        core.spawn("log-committer", move || committer.run()).map_err(failed)?;
        if opened.unverified > 0 {
            let verify = move || verify_rest(&shared, &db, opened.unverified);
            core.spawn("log-verifier", verify).map_err(failed)?;
        }
        Ok(Arc::new(Self { core }))
    }

    /// Reads and verifies every record; how many there are. Blocks, for about a second per million records.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] with the first damage, which also stops the log; [`ReadError::Unavailable`] when
    /// it is closed.
    pub fn verify(&self) -> Result<u64, ReadError> {
        let db = self.core.shared.db()?;
        let end = self.core.shared.progress.borrow().end;
        scan(&db, 0, Some(end), |_, _, _| ControlFlow::Continue(())).map_err(|damage| {
            self.core.shared.fail(&damage);
            ReadError::Corrupt(damage.to_string())
        })
    }

    /// How many synced batches were written since it opened.
    pub fn groups(&self) -> u64 {
        self.core.shared.groups.load(Ordering::Relaxed)
    }

    /// Sets the metrics of the store's size. Called whenever metrics are asked for; a log that is closed has none.
    pub fn refresh_metrics(&self) {
        let Ok(db) = self.core.shared.db() else { return };
        for (kind, property) in [
            ("tables", "rocksdb.total-sst-files-size"),
            ("memtables", "rocksdb.cur-size-all-mem-tables"),
        ] {
            if let Ok(Some(bytes)) = db.property_int_value(property) {
                metrics::store_bytes(kind, bytes);
            }
        }
    }

    /// Decides every append handed over before, then closes: later appends are refused and readers end with
    /// [`ReadError::Unavailable`]. When it returns, the directory is free.
    pub async fn close(&self) {
        self.core.close().await;
    }

    /// Moves everything from the write-ahead log into a table, as RocksDB does by itself now and then.
    ///
    /// # Errors
    /// What RocksDB says.
    #[doc(hidden)]
    pub fn flush(&self) -> Result<(), String> {
        let db = self.core.shared.db().map_err(|error| error.to_string())?;
        db.flush().map_err(|error| error.to_string())
    }
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
        &self.core.shared.identity
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        let reader = || Box::new(Reader::new(Arc::clone(&self.core))) as Box<dyn LogReader>;
        let reader = self.core.shared.db().map(|_| reader());
        std::future::ready(reader).boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        Some(Arc::new(Writer(Arc::clone(&self.core))))
    }
}
