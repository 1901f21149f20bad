//! The parts put together.

use std::sync::Arc;

use headwater_image_store::Store as ImageStore;
use headwater_log::Log;
use headwater_replica::{History, Replica};
use tokio_util::sync::CancellationToken;

use crate::cut::{Cutter, now_ms};
use crate::follow::Follower;
use crate::settings::Settings;
use crate::share::Sharer;
use crate::shelf::Shelf;
use crate::status::{Shared, Status};
use crate::steps::Steps;
use crate::store::{RowHistory, Store, StoreError};

/// Why a snapshotter cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rows cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image shelf cannot be used.
    #[error("{0}")]
    Shelf(String),
}

/// A handle to a snapshotter. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshotter {
    shared: Arc<Shared>,
}

impl Snapshotter {
    /// Opens the rows and the image shelf of the stream that `log` holds. Starts no task: run the [`Loop`].
    /// `replica` must hold all namespaces of the same log. Images are shared in `images`, if anywhere. Blocks while
    /// RocksDB opens.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do.
    pub fn open(
        settings: Settings,
        log: Arc<dyn Log>,
        replica: Replica,
        images: Option<ImageStore>,
    ) -> Result<(Self, Loop), OpenError> {
        Self::open_with(settings, log, replica, images, Steps::default())
    }

    /// The same, with a hook at every step where a crash would show.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        settings: Settings,
        log: Arc<dyn Log>,
        replica: Replica,
        images: Option<ImageStore>,
        steps: Steps,
    ) -> Result<(Self, Loop), OpenError> {
        let store = Store::open(&settings.dir)?;
        let (place, succession) = (store.rows().place()?, store.rows().succession()?);
        let shelf = Shelf::open(&settings.image_dir);
        let shelf = Arc::new(shelf.map_err(|error| OpenError::Shelf(error.to_string()))?);
        let shared = Arc::new(Shared::new(store, place, succession));
        if let Some(latest) = shelf.latest_there() {
            shared.announced(latest.revision, latest.bytes, latest.created_at_ms);
        }
        let sharer = images.map(|images| Sharer {
            shared: shared.clone(),
            shelf: shelf.clone(),
            images,
            keep: settings.keep,
            steps: steps.clone(),
        });
        let cutter = Cutter {
            shared: shared.clone(),
            shelf,
            settings: settings.clone(),
            steps: steps.clone(),
            stop: CancellationToken::new(),
        };
        let follower = Follower { shared: shared.clone(), log, replica, settings, steps };
        Ok((Self { shared }, Loop { follower, cutter, sharer }))
    }

    /// Every version and every commit, as far as the rows are.
    pub fn history(&self) -> Arc<dyn History> {
        Arc::new(RowHistory::new(self.shared.clone()))
    }

    /// Asks for an image now: somebody's revision is too old to follow from. At most one is cut a second, and none
    /// while nothing is new.
    pub fn request_image(&self) {
        self.shared.wanted.notify_one();
    }

    /// The snapshotter's own account.
    pub fn status(&self) -> Status {
        self.shared.status().borrow().clone()
    }

    /// Sets the metrics that nothing of its own changes: how old the image is, how large the store. Called whenever
    /// metrics are asked for; reads a few numbers of RocksDB's, and no rows.
    pub fn refresh_metrics(&self) {
        self.shared.refresh_metrics(now_ms());
    }

    /// Waits until its own account satisfies `done`, and gives it. None when the snapshotter is gone.
    pub async fn until(&self, done: impl FnMut(&Status) -> bool) -> Option<Status> {
        let mut status = self.shared.status();
        status.wait_for(done).await.ok().map(|status| status.clone())
    }
}

/// What keeps the rows, cuts the images and shares them.
#[derive(Debug)]
pub struct Loop {
    follower: Follower,
    cutter: Cutter,
    sharer: Option<Sharer>,
}

impl Loop {
    /// Runs until `stop` is cancelled. What is being written then is written whole or not at all.
    pub async fn run(self, stop: CancellationToken) {
        let shared = self.follower.shared.clone();
        let cutter = Cutter { stop: stop.clone(), ..self.cutter };
        let sharer = self.sharer;
        let sharing = async {
            if let Some(sharer) = sharer {
                sharer.run(stop.clone()).await;
            }
        };
        tokio::join!(self.follower.run(stop.clone()), cutter.run(), sharing);
        shared.work.close();
        shared.work.wait().await;
    }
}
