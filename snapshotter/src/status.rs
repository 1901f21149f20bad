//! What a snapshotter says of itself, and what its tasks share.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use headwater_image::{Lineage, Manifest};
use headwater_replica::{Alarm, AlarmKind};
use headwater_schemas::Hash;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::metrics;
use crate::store::{Place, Store};

/// A snapshotter's own account.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Status {
    /// The revision of the rows; none while there are none.
    pub revision: Option<u64>,
    /// The chain hash at that revision.
    pub hash: Hash,
    /// Whether it follows live.
    pub live: bool,
    /// The revision of the announced image.
    pub image_revision: Option<u64>,
    /// The revision announced where images are shared, as far as it is known; none where they are not.
    pub shared_revision: Option<u64>,
    /// What stands in its way; it serves its last good state meanwhile, and cuts no image.
    pub alarm: Option<Alarm>,
    /// The last thing that went wrong, even if mended since.
    pub last_error: Option<String>,
}

/// What the follower, the cutter and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    store: RwLock<Option<Arc<Store>>>,
    status: watch::Sender<Status>,
    place: Mutex<Option<Place>>,
    /// How the rows' chain came about, where an operator led the stream to it.
    succession: Mutex<Option<Lineage>>,
    /// The last revision that did not fit its state and that nobody has accepted.
    diverged: Mutex<Option<u64>>,
    /// When the announced image was cut; 0 while there is none.
    image_cut_at_ms: AtomicI64,
    /// Somebody wants an image now.
    pub(crate) wanted: Notify,
    /// What is being done with the store on threads that may block: whoever stops waits for it, or the store stays
    /// locked for the next who opens it.
    pub(crate) work: TaskTracker,
    /// Questions to the rows that may be answered at a time: the commits to be applied need threads, too.
    pub(crate) questions: Arc<Semaphore>,
}

/// So many questions to the rows are answered at a time; more wait.
const QUESTIONS: usize = 32;

impl Shared {
    pub(crate) fn new(store: Store, place: Option<Place>, succession: Option<Lineage>) -> Self {
        let status = Status {
            revision: place.map(|place| place.head.revision),
            hash: place.map(|place| place.head.hash).unwrap_or_default(),
            ..Status::default()
        };
        Self {
            store: RwLock::new(Some(Arc::new(store))),
            status: watch::Sender::new(status),
            place: Mutex::new(place),
            succession: Mutex::new(succession),
            diverged: Mutex::default(),
            image_cut_at_ms: AtomicI64::new(0),
            wanted: Notify::new(),
            work: TaskTracker::new(),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
        }
    }

    /// The store; none while it is reopened after a failure.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_store(&self, store: Option<Arc<Store>>) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
    }

    fn place_guard(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the rows stand.
    pub(crate) fn place(&self) -> Option<Place> {
        *self.place_guard()
    }

    pub(crate) fn stands(&self, place: Option<Place>, live: bool) {
        *self.place_guard() = place;
        self.status.send_modify(|status| {
            status.revision = place.map(|place| place.head.revision);
            status.hash = place.map(|place| place.head.hash).unwrap_or_default();
            status.live = live;
        });
    }

    pub(crate) fn error(&self, error: String) {
        tracing::warn!(%error, "snapshotter");
        self.status.send_modify(|status| status.last_error = Some(error));
    }

    /// An operator led the stream to the rows' chain, or they begin anew.
    pub(crate) fn led_on(&self, succession: Option<Lineage>) {
        *self.succession_guard() = succession;
    }

    /// How the rows' chain came about, where an operator led the stream to it.
    pub(crate) fn succession(&self) -> Option<Lineage> {
        *self.succession_guard()
    }

    /// Whether an operator led the stream from an image's chain to that of the rows.
    pub(crate) fn leaves(&self, image: &Manifest) -> bool {
        self.succession_guard().is_some_and(|ours| ours.is_later_than(image.succession.as_ref()))
    }

    fn succession_guard(&self) -> MutexGuard<'_, Option<Lineage>> {
        self.succession.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit did not fit its state, and the rows are sound.
    pub(crate) fn diverged(&self, revision: u64, detail: String) {
        *self.diverged_guard() = Some(revision);
        self.alarm(Some(Alarm { kind: AlarmKind::Divergence, detail }));
    }

    /// An operator has accepted what did not fit up to a revision. An image that did not prove itself is another matter.
    pub(crate) fn accepted(&self, upto: u64) {
        let accepted = self.diverged_guard().take_if(|diverged| *diverged <= upto).is_some();
        if accepted {
            self.set_alarm(None);
        }
    }

    fn diverged_guard(&self) -> MutexGuard<'_, Option<u64>> {
        self.diverged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises an alarm, or lifts it. A divergence stays until an operator has accepted it, or somebody has
    /// looked and started the process anew, whatever else comes and goes: no image must be cut meanwhile.
    pub(crate) fn alarm(&self, alarm: Option<Alarm>) {
        let now = self.status.borrow().alarm.clone();
        if now == alarm {
            return;
        }
        if now.is_some_and(|now| now.kind == AlarmKind::Divergence) {
            return alarm.into_iter().for_each(|alarm| self.error(alarm.detail));
        }
        self.set_alarm(alarm);
    }

    fn set_alarm(&self, alarm: Option<Alarm>) {
        match &alarm {
            Some(alarm) => {
                tracing::error!(kind = ?alarm.kind, detail = %alarm.detail, "snapshotter alarm");
            }
            None => tracing::info!("snapshotter alarm lifted"),
        }
        metrics::alarm(alarm.is_some());
        self.status.send_modify(|status| {
            if let Some(alarm) = &alarm {
                status.last_error = Some(alarm.detail.clone());
                status.live = false;
            }
            status.alarm = alarm;
        });
    }

    pub(crate) fn announced(&self, revision: u64, bytes: u64, cut_at_ms: i64) {
        metrics::announced(revision, bytes);
        self.image_cut_at_ms.store(cut_at_ms, Ordering::Relaxed);
        self.status.send_modify(|status| status.image_revision = Some(revision));
    }

    pub(crate) fn shared(&self, revision: u64) {
        metrics::shared(revision);
        self.status
            .send_if_modified(|status| status.shared_revision.replace(revision) != Some(revision));
    }

    /// Sets the metrics that nothing of ours changes: how old the image is, how large the store.
    pub(crate) fn refresh_metrics(&self, now_ms: i64) {
        let cut_at_ms = self.image_cut_at_ms.load(Ordering::Relaxed);
        if cut_at_ms > 0 {
            metrics::image_age(now_ms.saturating_sub(cut_at_ms));
        }
        let sizes = self.store().map(|store| store.sizes());
        for (kind, bytes) in sizes.into_iter().flatten() {
            metrics::store_bytes(kind, bytes);
        }
    }

    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divergence_is_still_alarmed_when_another_alarm_came_and_went() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Shared::new(Store::open(dir.path()).unwrap(), None, None);
        let alarm = |kind| Some(Alarm { kind, detail: format!("{kind:?}") });
        let now = || shared.status().borrow().clone();
        shared.alarm(alarm(AlarmKind::NotOnThisLog));
        shared.alarm(alarm(AlarmKind::Divergence));
        shared.alarm(alarm(AlarmKind::LogDamaged));
        assert_eq!(now().last_error.as_deref(), Some("LogDamaged"));
        shared.alarm(None);
        assert_eq!(now().alarm, alarm(AlarmKind::Divergence));
    }
}
