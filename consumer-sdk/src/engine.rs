//! The client's own thread: the replica's loop, the dispatcher, and the start-up rule.
//!
//! A thread and an event loop of its own, so that a stalled or short-lived runtime of the service stops nothing.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use headwater_log::Table;
use headwater_replica::{Loop, Observer, Phase, Progress, Replica, Seen, Settings, Source};
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::builder::Answer;
use crate::core::Core;
use crate::dispatch::{WAITING_STEPS, dispatch};
use crate::error::ConnectError;
use crate::files::Files;
use crate::local::LocalStream;
use crate::sources::Held;

/// How long work on other threads may take to end once the client has.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// All that the thread needs.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) held: Held,
    /// The rung above the whole log.
    pub(crate) table: Option<Arc<dyn Table>>,
    /// The stream that is followed, when this process itself writes it.
    pub(crate) local: Option<Arc<LocalStream>>,
    /// The folder that this stream is written from.
    pub(crate) files: Option<Files>,
    pub(crate) startup_timeout: Duration,
    pub(crate) allow_empty: bool,
    pub(crate) stop: CancellationToken,
}

/// Where the thread says how the start went.
pub(crate) type Reply = Box<dyn FnOnce(Answer) + Send>;

/// Starts the thread, which replies once.
pub(crate) fn start(plan: Plan, reply: Reply) -> io::Result<()> {
    // One thread: the wake from the network to the handle's swap crosses no other.
    let runtime =
        runtime::Builder::new_current_thread().enable_all().thread_name("headwater-io").build()?;
    thread::Builder::new()
        .name("headwater".to_owned())
        .spawn(move || run(runtime, plan, reply))
        .map(drop)
}

fn run(runtime: Runtime, plan: Plan, reply: Reply) {
    runtime.block_on(live(plan, reply));
    runtime.shutdown_timeout(SHUTDOWN);
}

async fn live(plan: Plan, reply: Reply) {
    let (observer, steps) = mpsc::channel(WAITING_STEPS);
    let (replica, keeper) = match plan.held {
        Held::Shared(replica) => (replica, Keeper::Watch(observer)),
        Held::Own(follow) => {
            let (replica, mut keeper) = Replica::new(plan.settings, follow, Some(observer));
            if let Some(table) = plan.table {
                keeper = keeper.with_table(table);
            }
            (replica, Keeper::Follow(Box::new(keeper)))
        }
    };
    let core = Arc::new(Core::new(replica, plan.local, plan.stop.clone()));
    let end = End(core.clone());
    let dispatcher = tokio::spawn(dispatch(core.clone(), steps));
    let keeper = match keeper {
        Keeper::Follow(keeper) => tokio::spawn(keep(core.clone(), *keeper)),
        Keeper::Watch(observer) => tokio::spawn(watch(core.clone(), observer)),
    };
    let files = plan.files.map(|files| tokio::spawn(files.keep(core.clone())));
    let started = started(&core, plan.startup_timeout, plan.allow_empty).await;
    let failed = started.is_err();
    reply(started.map(|()| core.clone()));
    if failed {
        plan.stop.cancel();
    }
    // Neither can fail: what panics inside them is caught where it can be named.
    let _ = keeper.await;
    let _ = dispatcher.await;
    if let Some(files) = files {
        let _ = files.await;
    }
    drop(end);
}

/// How the client learns of what is new.
enum Keeper {
    /// By the loop of its own replica.
    Follow(Box<Loop>),
    /// By looking at the replica of others.
    Watch(Observer),
}

/// Tells of each new state of a replica that others keep, until either ends. States that follow fast are one.
async fn watch(core: Arc<Core>, observer: Observer) {
    let mut progress = core.replica.progress();
    let mut told = None;
    let watching = async {
        loop {
            let Progress { phase, era, .. } = *progress.borrow_and_update();
            // Much moves a replica that leaves its state as it is.
            if let Some(view) = core.replica.view()
                && told.replace((era, view.revision())) != Some((era, view.revision()))
                && observer.send(Seen::Reset { view }).await.is_err()
            {
                return;
            }
            if phase == Phase::Closed || progress.changed().await.is_err() {
                return;
            }
        }
    };
    core.stop.run_until_cancelled(watching).await;
}

/// Runs the replica's loop, and learns when it ended without being asked to.
async fn keep(core: Arc<Core>, keeper: Loop) {
    let stop = core.stop.clone();
    let ended = tokio::spawn(keeper.run(stop.clone())).await;
    let cause = match ended {
        Ok(()) if stop.is_cancelled() => return,
        Ok(()) => "the client's loop ended by itself".to_owned(),
        Err(error) => format!("the client's loop panicked: {error}"),
    };
    tracing::error!(%cause, "Headwater follows no more; the last state stays readable");
    // Only this task sets it.
    let _ = core.failure.set(cause);
    core.stop.cancel();
}

/// Whatever ends the thread, nobody is left waiting.
struct End(Arc<Core>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.registry.close();
        self.0.ended.send_replace(true);
    }
}

/// The start-up rule: the head within the time-out, else the last known good state, else the reasons.
async fn started(core: &Core, within: Duration, allow_empty: bool) -> Result<(), ConnectError> {
    tokio::select! {
        caught_up = core.replica.caught_up() => return caught_up.map_err(|_| ConnectError::Ended),
        () = core.stop.cancelled() => return Err(ConnectError::Ended),
        () = time::sleep(within) => {}
    }
    let status = core.replica.status();
    // A state that is still being replayed from the first commit on is nobody's last known good one.
    let whole = matches!(status.source, Source::Cache | Source::Image | Source::Table);
    let usable = whole && core.replica.view().is_some();
    if usable || allow_empty {
        return Ok(());
    }
    let waited_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    Err(ConnectError::NoState { waited_ms, reasons: reasons(&status) })
}

fn reasons(status: &headwater_replica::Status) -> Vec<String> {
    let mut reasons: Vec<String> =
        status.last_error.iter().flat_map(|error| error.lines()).map(str::to_owned).collect();
    reasons.extend(status.alarm.as_ref().map(|alarm| alarm.detail.clone()));
    if status.source == Source::Log {
        let (at, lag) = (status.revision, status.lag_revisions);
        reasons.push(format!(
            "the log is still being replayed: at revision {at}, {lag} or more to go"
        ));
    }
    if reasons.is_empty() {
        reasons.push("no source has answered yet".to_owned());
    }
    reasons
}
