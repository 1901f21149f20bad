//! Cutting images: when, and the one way: write, prove, announce, and clear away the old.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_image::{ImageError, WhyNot, WireImage};
use headwater_replica::{Alarm, AlarmKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::prove::{ProofError, prove};
use crate::settings::Settings;
use crate::shelf::{Shelf, ShelfError};
use crate::status::{Shared, Status};
use crate::steps::{Step, Steps};
use crate::store::{Rows, Store, StoreError};

/// The shortest time between two cuts, however often one is asked for.
const MIN_REST: Duration = Duration::from_secs(1);
/// Cuts for the count of commits alone take at most a fifth of a core: after each, so many times its own time passes.
const REST_FACTOR: u32 = 4;
/// The pause after a cut that failed.
const FAILED_REST: Duration = Duration::from_secs(30);

/// Why there is no new image.
#[derive(Debug, thiserror::Error)]
enum CutError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error("the cutting task died: {0}")]
    Died(String),
}

/// Cuts images from the rows.
#[derive(Debug, Clone)]
pub(crate) struct Cutter {
    pub(crate) shared: Arc<Shared>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) settings: Settings,
    pub(crate) steps: Steps,
    /// Cancelled when the process drains: a cut is given up in the middle, for it can take long.
    pub(crate) stop: CancellationToken,
}

/// When the last cut was, and how long it wants to be left alone.
struct Rhythm {
    last: Instant,
    /// No cut at all before this.
    rested: Instant,
    /// No cut for the count of commits alone before this.
    counted: Instant,
    wanted: bool,
}

impl Cutter {
    /// Runs until stopped; a cut that has begun is given up then.
    pub(crate) async fn run(self) {
        let mut status = self.shared.status();
        let now = Instant::now();
        let mut rhythm = Rhythm { last: now, rested: now, counted: now, wanted: false };
        loop {
            let seen = status.borrow_and_update().clone();
            let wake = match self.due_at(&seen, &mut rhythm) {
                Some(due) if due <= Instant::now() => {
                    self.cut_now(&mut rhythm).await;
                    continue;
                }
                wake => wake,
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = status.changed() => if changed.is_err() { return },
                () = self.shared.wanted.notified() => rhythm.wanted = true,
                () = sleep_until(wake) => {}
            }
        }
    }

    /// When the next cut is due as things are; none while nothing is new or something is wrong.
    fn due_at(&self, status: &Status, rhythm: &mut Rhythm) -> Option<Instant> {
        let revision = status.revision?;
        if status.alarm.is_some() {
            return None;
        }
        let announced = self.shelf.latest_there().filter(|latest| !self.shared.leaves(latest));
        let announced = announced.map(|latest| latest.revision);
        let after_time = rhythm.last + Duration::from_secs(self.settings.cut_every_seconds);
        let due = match announced {
            None if status.live => rhythm.last,
            Some(announced) if announced >= revision => {
                // Whoever wanted one has it.
                rhythm.wanted = false;
                return None;
            }
            _ if rhythm.wanted => rhythm.last,
            Some(announced) if revision - announced >= self.settings.cut_every_commits.max(1) => {
                after_time.min(rhythm.counted)
            }
            _ => after_time,
        };
        Some(due.max(rhythm.rested))
    }

    async fn cut_now(&self, rhythm: &mut Rhythm) {
        let started = Instant::now();
        let result = match self.shared.store() {
            Some(store) => self.on_a_thread(store).await,
            None => Err(StoreError::Failed("it is being reopened".into()).into()),
        };
        let now = Instant::now();
        rhythm.last = now;
        rhythm.wanted = false;
        match result {
            Ok(()) => {
                let took = now - started;
                metrics::cut(took);
                rhythm.rested = now + MIN_REST;
                rhythm.counted = now + (took * REST_FACTOR).max(MIN_REST);
            }
            Err(error) => {
                self.failed(&error);
                rhythm.rested = now + FAILED_REST;
            }
        }
    }

    async fn on_a_thread(&self, store: Arc<Store>) -> Result<(), CutError> {
        let cutter = self.clone();
        let cut = self.shared.work.spawn_blocking(move || cutter.cut(&store)).await;
        cut.map_err(|error| CutError::Died(error.to_string()))?
    }

    fn failed(&self, error: &CutError) {
        if self.stop.is_cancelled() {
            return tracing::debug!(%error, "a cut was given up");
        }
        metrics::cut_error();
        let alarm = match error {
            CutError::Proof(ProofError::Unproved { .. })
            | CutError::Image(ImageError::Totals { .. }) => AlarmKind::Divergence,
            CutError::Shelf(ShelfError::Refused { why: WhyNot::Differs { .. }, .. }) => {
                AlarmKind::Divergence
            }
            CutError::Shelf(ShelfError::Refused { why, .. }) if !why.is_harmless() => {
                AlarmKind::WrongSource
            }
            _ => return self.shared.error(format!("no image: {error}")),
        };
        let detail = format!("{error}; no image is cut until this process was started anew");
        self.shared.alarm(Some(Alarm { kind: alarm, detail }));
    }

    /// Writes, proves, announces, retains. A crash between any two leaves what was announced before.
    fn cut(&self, store: &Store) -> Result<(), CutError> {
        let rows = store.rows();
        let Some(place) = rows.place()? else { return Ok(()) };
        if place.head.revision < rows.whole_at()? {
            // What the founder of this stream carries over is still coming: half a state is none.
            return Ok(());
        }
        let totals = rows.totals()?;
        let succession = rows.succession()?;
        self.shelf.check_stream(place.head.stream_id, succession.as_ref())?;
        let before = self.shelf.images()?;
        self.steps.at(Step::Cut)?;
        let mut manifest = WireImage::write(
            self.shelf.dir(),
            &place.head,
            &totals,
            place.position,
            now_ms(),
            |visit| self.every_entry(&rows, &totals, visit),
        )?;
        manifest.succession = succession;
        self.steps.at(Step::Shelved)?;
        if let Err(error) =
            prove(&rows, &before, &place.head, &totals, &|| self.stop.is_cancelled())
        {
            // It was never announced; what is left of it is only in the way.
            let _ = fs::remove_file(self.shelf.dir().join(&manifest.name));
            return Err(error.into());
        }
        self.steps.at(Step::Announce)?;
        let (revision, bytes, cut_at_ms) =
            (manifest.revision, manifest.bytes, manifest.created_at_ms);
        self.shelf.announce(manifest)?;
        self.shared.announced(revision, bytes, cut_at_ms);
        metrics::image_cut();
        tracing::info!(revision, bytes, "image announced");
        self.steps.at(Step::Retain)?;
        self.shelf.retain(self.settings.keep, SystemTime::now())?;
        self.steps.at(Step::Retained)?;
        Ok(())
    }

    /// Gives every entry in order of (namespace, key): the totals know the namespaces in order, the rows their keys.
    fn every_entry(
        &self,
        rows: &Rows<'_>,
        totals: &headwater_schemas::Totals,
        visit: &mut headwater_image::Visitor<'_>,
    ) -> Result<(), ImageError> {
        for (namespace, _) in totals.namespaces() {
            let namespace = namespace.as_str();
            rows.each(namespace, |key, entry| {
                if self.stop.is_cancelled() {
                    return Err(Visit(ImageError::source("the process is stopping")));
                }
                visit(namespace, key, entry).map_err(Visit)
            })
            .map_err(|Visit(error)| error)?;
        }
        Ok(())
    }
}

/// An image's error on its way through the rows.
struct Visit(ImageError);

impl From<StoreError> for Visit {
    fn from(error: StoreError) -> Self {
        Self(ImageError::source(error))
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
