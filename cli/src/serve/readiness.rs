//! Whether a server is ready: after its first catch-up, and then for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_publisher::Writer;
use headwater_replica::{Phase, Replica};

/// Cheap to clone and to ask.
#[derive(Debug, Clone)]
pub(super) struct Readiness {
    reached: Arc<AtomicBool>,
    replica: Replica,
    writer: Option<Writer>,
}

impl Readiness {
    pub(super) fn new(replica: Replica, writer: Option<Writer>) -> Self {
        Self { reached: Arc::default(), replica, writer }
    }

    /// Why the server is not ready, if it is not. Later troubles are the status page's to tell: a server that lost
    /// its log still serves its last good state.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.reached.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(alarm) = self.replica.alarm() {
            return Err(alarm.detail.clone());
        }
        if self.replica.view().is_none() {
            let error = self.replica.status().last_error;
            return Err(error.unwrap_or_else(|| "there is no stream in the log yet".to_owned()));
        }
        if self.replica.progress().borrow().phase != Phase::Live {
            return Err("the replica has not caught up with the log yet".to_owned());
        }
        if self.writer.as_ref().is_some_and(|writer| !writer.is_ready()) {
            return Err("the writer is still reading back its idempotency keys".to_owned());
        }
        self.reached.store(true, Ordering::Relaxed);
        Ok(())
    }
}
