//! Sharing images: what was cut, proved and announced on this shelf is put where all readers get it.
//!
//! ```text
//!  shelf ─▶ may it follow what is announced there? ─▶ put, read back ─▶ announce ─▶ retain
//! ```
//! Several snapshotters share one place; whoever is first announces. The network delays this and never stops the
//! snapshotter: what failed is tried again, and is told.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use headwater_image::{Manifest, WhyNot};
use headwater_image_store::{Announced, Store as ImageStore, StoreError as ImageStoreError};
use headwater_replica::{Alarm, AlarmKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::shelf::Shelf;
use crate::status::Shared;
use crate::steps::{Step, Steps};
use crate::store::StoreError;

/// How often the announcement is looked at when nothing is new here: should a server have let an older one through,
/// or somebody have deleted it, it is mended then.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The pause after a failure: doubles from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Why an image was not shared.
#[derive(Debug, thiserror::Error)]
enum ShareError {
    #[error(transparent)]
    Images(#[from] ImageStoreError),
    #[error(transparent)]
    Rows(#[from] StoreError),
    #[error(
        "{url}: the announced image of revision {revision} has the chain hash {theirs}, our chain {ours} there"
    )]
    Fork { url: String, revision: u64, theirs: String, ours: String },
    #[error("the thread that reads the rows died: {0}")]
    Died(String),
}

impl ShareError {
    /// Whether a person must look.
    fn alarm(&self) -> Option<AlarmKind> {
        match self {
            Self::Images(ImageStoreError::Refused { why: WhyNot::Differs { .. }, .. }) => {
                Some(AlarmKind::Divergence)
            }
            Self::Images(ImageStoreError::Refused { .. }) | Self::Fork { .. } => {
                Some(AlarmKind::WrongSource)
            }
            Self::Images(_) | Self::Rows(_) | Self::Died(_) => None,
        }
    }
}

/// Shares images.
#[derive(Debug)]
pub(crate) struct Sharer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) images: ImageStore,
    pub(crate) keep: usize,
    pub(crate) steps: Steps,
}

impl Sharer {
    /// Runs until stopped; what is on its way then is given up, and what is announced stays whole.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.share_all() => {}
        }
    }

    async fn share_all(&self) {
        let mut status = self.shared.status();
        let mut pause = RETRY.0;
        loop {
            // Taken before the work: what is announced meanwhile must wake us.
            let shown = status.borrow_and_update().image_revision;
            let began = Instant::now();
            match self.share().await {
                Ok(announced) => {
                    if announced {
                        metrics::share(began.elapsed());
                    }
                    pause = RETRY.0;
                }
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                    continue;
                }
            }
            let newer = status.wait_for(|status| status.image_revision != shown);
            // In time or not, it is looked at again; without a sender there is nothing to look at.
            if matches!(tokio::time::timeout(LOOK_EVERY, newer).await, Ok(Err(_))) {
                return;
            }
        }
    }

    fn failed(&self, error: &ShareError) {
        metrics::share_error();
        match error.alarm() {
            Some(kind) => {
                let detail = format!(
                    "{error}; no image is cut or announced until somebody has looked and this process was started anew"
                );
                self.shared.alarm(Some(Alarm { kind, detail }));
            }
            None => self.shared.error(format!("an image is not shared yet: {error}")),
        }
    }

    /// Shares the image that the shelf announces, if it may follow what is announced there, and says whether it was.
    async fn share(&self) -> Result<bool, ShareError> {
        let standing = self.shared.status().borrow().alarm.is_some();
        let Some(ours) = self.shelf.latest_there().filter(|_| !standing) else { return Ok(false) };
        if self.shared.leaves(&ours) {
            return Ok(false);
        }
        if let Some(latest) = self.images.latest().await? {
            let theirs = &latest.manifest;
            // An operator led the stream from one to the other: they are of two chains, as they should be.
            let left = self.shared.leaves(theirs) || ours.leaves(theirs) || theirs.leaves(&ours);
            if !left {
                self.check_chain(theirs).await?;
            }
            match ours.may_follow(&latest.manifest) {
                Ok(()) => {}
                Err(why) if why.is_harmless() => {
                    self.shared.shared(latest.manifest.revision);
                    return Ok(false);
                }
                Err(why) => {
                    let url = self.images.url().to_owned();
                    return Err(ImageStoreError::Refused { url, why }.into());
                }
            }
        }
        self.steps.at(Step::Put)?;
        let there = self.images.put_image(self.shelf.dir(), &ours).await?;
        self.steps.at(Step::Share)?;
        let announced = self.images.announce(&there).await?;
        let revision = match announced {
            Announced::Now => there.revision,
            Announced::Already { revision } => revision,
        };
        self.shared.shared(revision);
        tracing::info!(revision, place = self.images.url(), ?announced, "image shared");
        self.steps.at(Step::RetainShared)?;
        self.images.retain(self.keep, SystemTime::now()).await?;
        self.steps.at(Step::Shared)?;
        Ok(announced == Announced::Now)
    }

    /// Holds what is announced against our own chain, as far as that goes.
    async fn check_chain(&self, announced: &Manifest) -> Result<(), ShareError> {
        let (Some(store), Some(place)) = (self.shared.store(), self.shared.place()) else {
            return Ok(());
        };
        let revision = announced.revision;
        // Another stream is told as such, and a later revision is not known here yet.
        if announced.stream_id != place.head.stream_id || revision > place.head.revision {
            return Ok(());
        }
        let read = move || store.rows().record(revision).map(|row| row.map(|(hash, _)| hash));
        let read = self.shared.work.spawn_blocking(read).await;
        let row = read.map_err(|error| ShareError::Died(error.to_string()))??;
        match row {
            Some(hash) if hash != announced.hash => {
                let (url, theirs) = (self.images.url().to_owned(), announced.hash.to_string());
                Err(ShareError::Fork { url, revision, theirs, ours: hash.to_string() })
            }
            _ => Ok(()),
        }
    }
}
