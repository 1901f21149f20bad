//! The replica: a cheap handle for readers, and the loop that keeps it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use headwater_client::Client;
use headwater_image::{Keep, Subscription};
use headwater_image_store::Store;
use headwater_log::{Log, Table};
use headwater_schemas::{Hash, Namespace, Position};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::ancestry::Ancestry;
use crate::bootstrap::Against;
use crate::core::Core;
use crate::freshness::Freshness;
use crate::{
    Alarm, Applied, Phase, Source, Status, Tail, View, bootstrap, follow, images, measure, remote,
};

/// Bytes of applied commits kept for live followers. Less cuts slow followers off sooner (they take an image);
/// more costs memory.
const TAIL_BYTES: usize = 64 * 1024 * 1024;

/// What a replica needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the last known good state is kept; without it a start needs an image or the log.
    pub cache_dir: Option<PathBuf>,
    /// Directories with images of this stream, as a snapshotter leaves them.
    pub image_dirs: Vec<PathBuf>,
    /// Other places with images of this stream, the nearest first. Of equal images a directory's is taken before
    /// theirs, and theirs before the relay's.
    pub image_stores: Vec<Store>,
    /// The namespaces it holds; none means all. `_schemas` always belongs to them.
    pub namespaces: Option<Vec<Namespace>>,
    /// Namespaces that are read laid over each other, the weakest first: [`View::find`] is quick through these. Default
    /// none.
    pub layers: Arc<[Namespace]>,
    /// How many bytes of applied commits the tail keeps. Default 64 MiB.
    pub tail_bytes: usize,
    /// Hold the base image in memory instead of mapping its file, where the disk cannot be trusted. Default off.
    pub image_in_memory: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            image_dirs: Vec::new(),
            image_stores: Vec::new(),
            namespaces: None,
            layers: Arc::default(),
            tail_bytes: TAIL_BYTES,
            image_in_memory: false,
        }
    }
}

impl Settings {
    /// Those of a server with this data directory: it holds every namespace, and begins with its own last known good
    /// state or the newest image.
    pub fn of_server(data: &Path) -> Self {
        Self {
            cache_dir: Some(data.join("replica")),
            image_dirs: vec![data.join("images")],
            ..Self::default()
        }
    }

    /// The namespaces it holds, `_schemas` among them; none means all.
    pub(crate) fn subscription(&self) -> Option<Subscription> {
        self.namespaces.clone().map(Subscription::new)
    }

    /// How base images are held.
    pub(crate) fn keep(&self) -> Keep {
        if self.image_in_memory { Keep::Copied } else { Keep::Mapped }
    }
}

/// Where commits come from.
#[derive(Debug)]
pub enum Follow {
    /// Straight from the log: everything is verified here.
    Log(Arc<dyn Log>),
    /// From relays, the nearest first; one at a time.
    Relays(Vec<Client>),
    /// From images alone, of the places in the settings: the newest that is announced, again and again.
    Images,
}

/// Who is told of everything the loop sees, in order. Bounded: the loop waits for a slow observer.
pub type Observer = mpsc::Sender<Seen>;

/// One thing the loop saw.
#[derive(Debug, Clone)]
pub enum Seen {
    /// The first state, or one that did not come commit by commit: compare with what you had.
    Reset {
        /// The state.
        view: Arc<View>,
    },
    /// A commit was applied.
    Applied {
        /// The commit and what it did.
        applied: Arc<Applied>,
        /// The state after it.
        view: Arc<View>,
    },
    /// The head moved over commits that changed nothing here (a filtered replica's only).
    Advanced {
        /// The state at the new head.
        view: Arc<View>,
    },
    /// A record that does not continue the chain.
    Ignored {
        /// The hash of its bytes.
        hash: Hash,
        /// The revision it claims, if it is a commit at all.
        revision: Option<u64>,
        /// Where it stands.
        position: Position,
    },
    /// A marker.
    Marker {
        /// What its writer put into it.
        nonce: u128,
    },
    /// Everything up to the log's end was read.
    AtEnd {
        /// The position behind it.
        next: Position,
    },
    /// The alarm changed; none when it was mended.
    Alarm(Option<Alarm>),
}

/// How far the loop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The revision of the view.
    pub revision: u64,
    /// Where the replica is in its life.
    pub phase: Phase,
    /// Everything before this position was read.
    pub next: Position,
    /// The era of the view; see [`View::era`].
    pub era: u64,
}

/// The replica was closed while somebody waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the replica was closed")]
pub struct Closed;

/// What the loop writes and readers read.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) view: ArcSwapOption<View>,
    pub(crate) tail: Tail,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) alarm: ArcSwapOption<Alarm>,
    ancestry: Mutex<Ancestry>,
    account: Mutex<Account>,
}

/// What only the status tells.
#[derive(Debug, Default, Clone)]
pub(crate) struct Account {
    pub(crate) source: Source,
    pub(crate) ignored: u64,
    pub(crate) last_error: Option<String>,
    /// What of the cache could not be read at the start.
    pub(crate) cache_unread: Option<String>,
    /// Why the state could not be left in the cache the last time.
    pub(crate) not_cached: Option<String>,
    /// Why the rungs of the ladder above the one in use did not hold, until there is a state.
    pub(crate) rungs: Vec<String>,
    /// The highest revision any source spoke of.
    pub(crate) known_revision: u64,
    pub(crate) freshness: Freshness,
}

impl Account {
    /// What stands in the way: one line a rung as long as there is no state, then the last error.
    fn reasons(self) -> Option<String> {
        let lines: Vec<String> = self.rungs.into_iter().chain(self.last_error).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl Shared {
    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ancestry(&self) -> MutexGuard<'_, Ancestry> {
        self.ancestry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle on a replica. Cheap to clone; readers never block.
#[derive(Debug, Clone)]
pub struct Replica {
    shared: Arc<Shared>,
}

impl Replica {
    /// A replica and the loop that keeps it. Starts no task: spawn [`Loop::run`].
    pub fn new(settings: Settings, follow: Follow, observer: Option<Observer>) -> (Self, Loop) {
        let shared = Arc::new(Shared {
            view: ArcSwapOption::empty(),
            tail: Tail::new(settings.tail_bytes),
            progress: watch::Sender::new(Progress::default()),
            alarm: ArcSwapOption::empty(),
            ancestry: Mutex::default(),
            account: Mutex::default(),
        });
        let replica = Self { shared: shared.clone() };
        (replica, Loop { core: Core::new(shared, observer, settings), follow, table: None })
    }

    /// The state now; none before the first.
    pub fn view(&self) -> Option<Arc<View>> {
        self.shared.view.load_full()
    }

    /// The last applied commits.
    pub fn tail(&self) -> &Tail {
        &self.shared.tail
    }

    /// What is wrong, if a person is needed: change nothing, append nothing.
    pub fn alarm(&self) -> Option<Arc<Alarm>> {
        self.shared.alarm.load_full()
    }

    /// Whether this replica was at a place of the chain it has left, where an operator led it to another one: whoever
    /// stands there may follow it.
    pub fn has_left(&self, revision: u64, hash: Hash) -> bool {
        self.shared.ancestry().has_left(revision, hash)
    }

    /// The chain hash at a revision that the tail knows, or that is one of the last points this replica was at.
    pub fn hash_at(&self, revision: u64) -> Option<Hash> {
        let known = self.shared.tail.hash_at(revision);
        known.or_else(|| self.shared.ancestry().hash_at(revision))
    }

    /// How far the loop is; it changes after the view was swapped and the tail extended.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// Whether it follows live commits.
    pub fn is_live(&self) -> bool {
        self.shared.progress.borrow().phase == Phase::Live
    }

    /// Sets the metrics that change by time alone. Called whenever metrics are asked for.
    pub fn refresh_metrics(&self) {
        let freshness = self.shared.account().freshness;
        let head_at_ms = self.view().map(|view| view.head().at_ms);
        measure::lag_seconds(freshness.lag_ms(head_at_ms, measure::now_ms()));
    }

    /// The replica's own account.
    pub fn status(&self) -> Status {
        let account = self.shared.account().clone();
        let progress = *self.shared.progress.borrow();
        let view = self.view();
        let revision = view.as_ref().map_or(0, |view| view.revision());
        Status {
            phase: progress.phase,
            stream_id: view.as_ref().map(|view| view.head().stream_id),
            revision,
            hash: view.as_ref().map(|view| view.head().hash).unwrap_or_default(),
            digest: view.as_ref().map(|view| view.totals().digest()).unwrap_or_default(),
            entries: view.as_ref().map_or(0, |view| view.totals().entries()),
            lag_revisions: account.known_revision.saturating_sub(revision),
            position: progress.next,
            source: account.source,
            ignored: account.ignored,
            alarm: self.alarm().map(|alarm| (*alarm).clone()),
            cache_error: account.not_cached.clone().or(account.cache_unread.clone()),
            last_error: account.reasons(),
        }
    }

    async fn until(&self, mut done: impl FnMut(&Progress) -> bool) -> Result<(), Closed> {
        let mut progress = self.progress();
        let reached = progress.wait_for(|now| now.phase == Phase::Closed || done(now)).await;
        let phase = reached.map_err(|_| Closed)?.phase;
        if phase == Phase::Closed { Err(Closed) } else { Ok(()) }
    }

    /// Waits until the view is at `revision` or later.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn wait_for(&self, revision: u64) -> Result<(), Closed> {
        self.until(|now| now.revision >= revision && now.phase != Phase::Starting).await
    }

    /// Waits until everything before `next` was read.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn wait_position(&self, next: Position) -> Result<(), Closed> {
        self.until(|now| now.next >= next).await
    }

    /// Waits until it follows live for the first time.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn caught_up(&self) -> Result<(), Closed> {
        self.until(|now| now.phase == Phase::Live).await
    }
}

/// The one loop that keeps a replica.
#[derive(Debug)]
pub struct Loop {
    pub(crate) core: Core,
    follow: Follow,
    table: Option<Arc<dyn Table>>,
}

impl Loop {
    /// Gives the ladder one more rung: who follows a log and finds no state on this machine takes the one of the
    /// stream's table, and replays only what follows its checkpoint.
    #[must_use]
    pub fn with_table(self, table: Arc<dyn Table>) -> Self {
        Self { table: Some(table), ..self }
    }

    /// Runs until `stop` is cancelled: climbs down the ladder for a first state, then follows. At the end it
    /// leaves the last known good state in the cache and marks the replica closed.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = Self::keep(&mut self.core, &self.follow, self.table.as_deref()) => {}
        }
        self.core.close().await;
    }

    async fn keep(core: &mut Core, follow: &Follow, table: Option<&dyn Table>) {
        bootstrap::from_cache(core).await;
        match follow {
            Follow::Log(log) => {
                if core.view().is_none()
                    && let Err(error) = bootstrap::from_image(core, Against::Nothing, 0).await
                {
                    tracing::debug!(%error, "from the table or the whole log then");
                }
                follow::follow(core, log.as_ref(), table).await;
            }
            Follow::Relays(relays) => remote::follow(core, relays).await,
            Follow::Images => images::follow(core).await,
        }
    }
}
