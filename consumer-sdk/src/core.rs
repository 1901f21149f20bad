//! What the client's own thread and everything that reads share.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use headwater_replica::{Phase, Replica};
use tokio::runtime;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::Closed;
use crate::files::RefusedFile;
use crate::local::LocalStream;
use crate::registry::Registry;
use crate::status::Status;

/// The shared part: it keeps nothing alive but itself.
pub(crate) struct Core {
    pub(crate) replica: Replica,
    /// The stream it follows, when this process itself writes it.
    pub(crate) local: Option<Arc<LocalStream>>,
    /// What of its folder of files is not taken.
    pub(crate) refused_files: ArcSwap<Vec<RefusedFile>>,
    pub(crate) registry: Registry,
    /// The revision that every handle has processed.
    pub(crate) processed: watch::Sender<u64>,
    /// Becomes true when the client's own thread has done all its work.
    pub(crate) ended: watch::Sender<bool>,
    /// Why it ended, when nobody asked it to.
    pub(crate) failure: OnceLock<String>,
    pub(crate) stop: CancellationToken,
    /// The client's own event loop.
    pub(crate) runtime: runtime::Handle,
}

impl Core {
    /// The shared part of the client whose event loop this runs on.
    pub(crate) fn new(
        replica: Replica,
        local: Option<Arc<LocalStream>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            replica,
            local,
            refused_files: ArcSwap::default(),
            registry: Registry::default(),
            processed: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            failure: OnceLock::new(),
            stop,
            runtime: runtime::Handle::current(),
        }
    }

    pub(crate) async fn wait_for(&self, revision: u64) -> Result<(), Closed> {
        let mut ended = self.ended.subscribe();
        let mut processed = self.processed.subscribe();
        let waited = async {
            processed.wait_for(|processed| *processed >= revision).await.map_err(|_| Closed)?;
            self.replica.wait_for(revision).await.map_err(|_| Closed)
        };
        tokio::select! {
            biased;
            waited = waited => waited,
            _ = ended.wait_for(|ended| *ended) => Err(Closed),
        }
    }

    pub(crate) async fn wait_ended(&self) {
        // The sender is our own, so it cannot be gone.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    pub(crate) fn status(&self) -> Status {
        let mut replica = self.replica.status();
        if *self.ended.borrow() {
            replica.phase = Phase::Closed;
        }
        Status {
            phase: replica.phase,
            stale: replica.phase != Phase::Live,
            stream_id: replica.stream_id,
            revision: replica.revision,
            hash: replica.hash,
            digest: replica.digest,
            entries: replica.entries,
            lag_revisions: replica.lag_revisions,
            source: replica.source,
            alarm: replica.alarm,
            cache_error: replica.cache_error,
            last_error: self.failure.get().cloned().or(replica.last_error),
            processed_revision: *self.processed.borrow(),
            refused_files: self.refused_files.load_full().to_vec(),
            handles: self.registry.statuses(),
        }
    }
}

/// What every client, handle, reader and subscription holds: when the last is gone, the client's own thread ends.
pub(crate) struct Life {
    pub(crate) core: Arc<Core>,
    _stop: DropGuard,
}

impl Life {
    pub(crate) fn new(core: Arc<Core>, stop: DropGuard) -> Self {
        Self { core, _stop: stop }
    }
}
