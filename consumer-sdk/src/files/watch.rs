//! Learning that the folder may have changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// How much longer than the quiet a busy folder is waited for.
const PATIENCE: u32 = 20;

/// Watches the folder, and the folder that it stands in: it may be replaced whole, or not be there yet.
pub(super) struct Watch {
    dir: PathBuf,
    woken: Arc<Notify>,
    /// None where the system has no watches left: then the folder is looked at now and then.
    watcher: Option<RecommendedWatcher>,
    /// The folder that the watch is on, which is another one after a replacement.
    watched: Option<PathBuf>,
}

impl Watch {
    pub(super) fn new(dir: &Path) -> Self {
        let woken = Arc::new(Notify::new());
        // The system names paths without links.
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let (wake, names) = (woken.clone(), dir.file_name().map(ToOwned::to_owned));
        let parent = dir.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let beside = parent.clone();
        let concerns = move |path: &Path| {
            path.parent() != beside.as_deref() || path.file_name() == names.as_deref()
        };
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let wakes = match event {
                Ok(event) if event.kind.is_access() => false,
                Ok(event) => event.paths.is_empty() || event.paths.iter().any(|it| concerns(it)),
                Err(_) => true,
            };
            if wakes {
                wake.notify_one();
            }
        });
        let mut watcher = watcher.inspect_err(|error| no_watch(&dir, error)).ok();
        if let (Some(watcher), Some(parent)) = (&mut watcher, parent)
            && let Err(error) = watcher.watch(&parent, RecursiveMode::NonRecursive)
        {
            no_watch(&parent, &error);
        }
        Self { dir, woken, watcher, watched: None }
    }

    /// Watches the folder that stands there now.
    pub(super) fn aim(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let now = fs::canonicalize(&self.dir).ok();
        // A folder of the same name may be another one: watching once more costs little and misses none.
        if let Some(before) = self.watched.take()
            && now.as_ref() != Some(&before)
        {
            let _ = watcher.unwatch(&before);
        }
        if let Some(now) = now {
            match watcher.watch(&now, RecursiveMode::Recursive) {
                Ok(()) => self.watched = Some(now),
                Err(error) => no_watch(&now, &error),
            }
        }
    }

    /// Waits until the system says that something changed, at most for `at_most`; whether it did.
    pub(super) async fn changed(&self, at_most: Duration) -> bool {
        timeout(at_most, self.woken.notified()).await.is_ok()
    }

    /// Waits until nothing has changed for a while; a folder that never rests is not waited for for ever.
    pub(super) async fn quiet(&self, quiet: Duration) {
        let patience = Instant::now() + quiet * PATIENCE;
        while Instant::now() < patience {
            let until = patience.min(Instant::now() + quiet);
            if timeout_at(until, self.woken.notified()).await.is_err() {
                return;
            }
        }
    }
}

fn no_watch(dir: &Path, error: &notify::Error) {
    tracing::warn!(dir = %dir.display(), %error, "no watch on the folder: it is looked at now and then");
}
