//! Folding what changed into a new base image, in the background, on a thread of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_image::{ImageError, Mapped, MappedBuilder};
use tokio::task::JoinHandle;

use crate::cache::{self, Cached};
use crate::layers::Layers;
use crate::replica::Settings;
use crate::{View, measure};

/// So many changed keys are folded at once; more as the base grows, so that each fold pays for itself.
const MANY_KEYS: usize = 20_000;
/// So many changed bytes of values are folded at once.
const MANY_BYTES: u64 = 32 * 1024 * 1024;
/// The shortest pause between two folds that only freshen the cache.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause is so many times what the last fold took: at most 2 % of a core goes into freshening.
const PAUSE_FACTOR: u32 = 50;

/// What a fold leads to.
#[derive(Debug)]
pub(crate) struct NewBase {
    pub(crate) base: Arc<Mapped>,
    /// Marked for the view that was folded.
    pub(crate) layers: Option<Layers>,
    /// Whether it stands in the cache.
    cached: Cached,
}

/// A fold under way.
type Folding = JoinHandle<Result<NewBase, ImageError>>;

/// The folding of one replica's view.
#[derive(Debug)]
pub(crate) struct Rebase {
    settings: Settings,
    running: Option<(Instant, Folding)>,
    /// What the cache holds.
    cached_revision: Option<u64>,
    not_before: Instant,
    /// When the next fold is due, if anything changed.
    due_at: Option<Instant>,
    /// The last fold came to nothing: the next one waits, however much changed.
    failed: bool,
    /// Why the state could not be left in the cache the last time.
    not_cached: Option<String>,
    /// Bases that were replaced and that somebody may still read.
    retired: Vec<Arc<Mapped>>,
}

impl Rebase {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            running: None,
            cached_revision: None,
            not_before: Instant::now(),
            due_at: None,
            failed: false,
            not_cached: None,
            retired: Vec::new(),
        }
    }

    /// The base of a view is about to be replaced. It is kept until nobody else has it and dropped apart: unmapping a large
    /// one takes milliseconds, for which neither a commit nor a reader is to wait.
    pub(crate) fn retire(&mut self, view: &View) {
        self.retired.extend(view.base().cloned());
    }

    fn drop_retired(&mut self) {
        let unused = self.retired.extract_if(.., |base| Arc::strong_count(base) == 1);
        let unused: Vec<_> = unused.collect();
        if !unused.is_empty() {
            tokio::task::spawn_blocking(move || drop(unused));
        }
    }

    /// Waits for a fold under way, whose state is of no use any more.
    pub(crate) async fn settle(&mut self) {
        if let Some((_, running)) = self.running.take() {
            drop(running.await);
        }
    }

    /// From now on states are left in this cache, or in none: what stands there stays.
    pub(crate) fn cache_in(&mut self, dir: Option<PathBuf>) {
        self.settings.cache_dir = dir;
    }

    /// The state was replaced: what is being folded is of no use any more. `cached` is the revision of the new one if
    /// it stands in the cache.
    pub(crate) fn begin(&mut self, cached: Option<u64>) {
        self.running = None;
        self.due_at = None;
        self.cached_revision = cached;
    }

    pub(crate) fn start_if_due(&mut self, view: &Arc<View>, now: Instant) {
        self.drop_retired();
        if self.running.is_some() {
            return;
        }
        let entries = usize::try_from(view.totals().entries()).unwrap_or(usize::MAX);
        let many =
            view.changed_keys() >= MANY_KEYS.max(entries / 8) || view.changed_bytes() >= MANY_BYTES;
        let stale = self.settings.cache_dir.is_some()
            && self.cached_revision.is_none_or(|cached| view.revision() > cached);
        let now_due = (many && !self.failed) || ((many || stale) && now >= self.not_before);
        self.due_at = (many || stale).then_some(self.not_before);
        if now_due {
            self.due_at = None;
            self.running = Some((now, self.spawn(view.clone())));
        }
    }

    fn spawn(&self, view: Arc<View>) -> Folding {
        let settings = self.settings.clone();
        tokio::task::spawn_blocking(move || {
            let (base, cached) = fold(&view, &settings)?;
            let layers = Layers::of(&settings.layers, &view);
            Ok(NewBase { base: Arc::new(base), layers, cached })
        })
    }

    /// Resolves with a new base when a fold has ended well, with nothing when one ended badly or is due.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn wakes(&mut self) -> Option<NewBase> {
        let Some((began, running)) = &mut self.running else {
            match self.due_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
            return None;
        };
        let ended = running.await;
        let took = began.elapsed();
        self.running = None;
        self.not_before = Instant::now() + PAUSE.max(took * PAUSE_FACTOR);
        measure::fold_seconds(took.as_secs_f64());
        self.take(ended.map_err(ImageError::source).flatten())
    }

    fn take(&mut self, folded: Result<NewBase, ImageError>) -> Option<NewBase> {
        self.failed = folded.is_err();
        match folded {
            Ok(new) => {
                self.note(new.base.head().revision, new.cached.clone());
                Some(new)
            }
            Err(error) => {
                tracing::warn!(%error, "the state could not be folded into a new base; trying again later");
                None
            }
        }
    }

    /// Whether the state of a revision stands in the cache.
    pub(crate) fn note(&mut self, revision: u64, cached: Cached) {
        self.not_cached = match cached {
            Cached::Yes => {
                self.cached_revision = Some(revision);
                None
            }
            Cached::NoCache => return,
            Cached::Failed(reason) => Some(reason),
        };
    }

    /// Why the state could not be left in the cache the last time.
    pub(crate) fn not_cached(&self) -> Option<&str> {
        self.not_cached.as_deref()
    }

    /// Leaves `view` in the cache before the end.
    pub(crate) async fn finish(&mut self, view: &Arc<View>) -> Result<(), ImageError> {
        self.running = None;
        if self.settings.cache_dir.is_none() || self.cached_revision == Some(view.revision()) {
            return Ok(());
        }
        let NewBase { cached, .. } =
            self.spawn(view.clone()).await.map_err(ImageError::source)??;
        self.note(view.revision(), cached);
        Ok(())
    }
}

pub(crate) fn fold(view: &View, settings: &Settings) -> Result<(Mapped, Cached), ImageError> {
    let mut builder = MappedBuilder::default();
    for (namespace, key, entry) in view.iter() {
        builder.push(namespace, key, entry)?;
    }
    let built =
        builder.finish(view.head(), view.totals(), view.position(), settings.subscription())?;
    Ok(cache::keep(built, settings))
}
