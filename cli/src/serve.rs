//! A server process: all wiring on one screen.
//!
//! ```text
//!  HTTP ──▶ publisher ──▶ log ──▶ replica ──┬──▶ publisher (reads back)
//!   ▲                                       ├──▶ relay ──▶ HTTP
//!   │                                       ├──▶ snapshotter ──▶ image shelf and store, history (or --history-url)
//!   │                                       └──▶ projector ──▶ the table, on Kafka
//!   └── the order of the drain: HTTP, writer, replica and snapshotter, log
//! ```

mod founding;
mod gauges;
mod greeting;
mod log;
mod process;
mod readiness;
mod self_config;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use headwater_image_store::Store;
use headwater_publisher::table::{Projector, TableParts};
use headwater_publisher::{Parts, Writer};
use headwater_relay::Relay;
use headwater_replica::{Follow, History, Replica};
use headwater_server::{Continue, Identity, Server};
use headwater_snapshotter::Snapshotter;
use tokio::sync::mpsc;

use crate::exit::Failure;
use crate::framing;
use crate::logging::FilterHandle;
use crate::recorder;
use crate::serve::gauges::Gauges;
pub(crate) use crate::serve::log::OpenLog;
use crate::serve::process::{Process, Stops};
use crate::serve::readiness::Readiness;
use crate::serve::self_config::SelfConfig;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::tasks::Tasks;

/// How many of the replica's steps may wait for the writer; then the replica waits for it.
const SEEN_STEPS: usize = 1024;

/// Which parts a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// All of them.
    Serve,
    /// All but the snapshotter.
    Publisher,
    /// All but the writer.
    Snapshotter,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Publisher => "publisher",
            Self::Snapshotter => "snapshotter",
        }
    }
}

/// How a process tells of itself.
pub(crate) struct Telling {
    /// Changes what it logs.
    pub(crate) filter: FilterHandle,
    /// What continues its spans, where it sends them anywhere.
    pub(crate) continued: Option<Continue>,
}

/// Builds, runs and drains it.
pub(crate) async fn run(settings: Settings, role: Role, telling: Telling) -> Result<(), Failure> {
    if role != Role::Serve && settings.kafka.is_none() {
        let why = format!("{} needs --kafka: an embedded log belongs to one process", role.name());
        return Err(Failure::failed(why)
            .hint("run everything in one process with `headwater serve`, or name a broker"));
    }
    let mut signals = Signals::listen().map_err(Failure::failed)?;
    let built = tokio::select! {
        built = build(&settings, role, telling) => built?,
        _ = signals.next() => return Ok(()),
    };
    built.run(&mut signals).await
}

async fn build(settings: &Settings, role: Role, telling: Telling) -> Result<Process, Failure> {
    let metrics = recorder::install()?;
    let listener = headwater_server::bind(&settings.listen).await.map_err(Failure::failed)?;
    let mut replica_settings = settings.replica();
    let followed_before = replica_settings.holds_state();
    // Where a stream was followed before, a topic that is absent was deleted, or is another cluster's to make.
    let open = OpenLog::open(settings, role, !followed_before).await?;
    let (log, stops, mut tasks) = (open.log(), Stops::default(), Tasks::default());

    let images = settings.image_store()?;
    if role != Role::Publisher
        && let Some(images) = images.as_ref().filter(|images| images.is_read_only())
    {
        let why = format!("{} shares images, and {} can only be read", role.name(), images.url());
        return Err(Failure::failed(why)
            .hint("name the bucket (s3://…) or the directory (file:///…) behind it"));
    }
    replica_settings.image_stores.extend(images.clone());
    let (observer, seen) = mpsc::channel(SEEN_STEPS);
    let observer = (role != Role::Snapshotter).then_some(observer);
    let (replica, mut keeper) = Replica::new(replica_settings, Follow::Log(log.clone()), observer);
    if let Some(table) = open.table() {
        keeper = keeper.with_table(table);
    }
    tasks.spawn("replica", keeper.run(stops.state.clone()));

    let snapshotter = match role {
        Role::Publisher => None,
        Role::Serve | Role::Snapshotter => {
            Some(snapshotter(settings, &open, &replica, images.clone(), &stops, &mut tasks).await?)
        }
    };
    let history = history(settings, snapshotter.as_ref())?;
    let followed_before =
        followed_before || snapshotter.as_ref().is_some_and(|s| s.status().revision.is_some());

    let writer = match role {
        Role::Snapshotter => None,
        Role::Serve | Role::Publisher => {
            let parts = Parts {
                log: log.clone(),
                replica: replica.clone(),
                seen,
                history: history.clone(),
                clock: Arc::new(now_ms),
                settings: settings.publisher.clone(),
            };
            let (writer, task) = Writer::new(parts).map_err(Failure::failed)?;
            tasks.spawn("writer", stops.clone().writer_first(task));
            projector(settings, &open, &replica, &stops, &mut tasks)?;
            Some(writer)
        }
    };

    let relay = Relay {
        history,
        ..relay(settings, role, &open, &replica, writer.as_ref(), snapshotter.as_ref(), &stops)
    };
    let readiness = Readiness::new(replica.clone(), writer.clone());
    let ready = readiness.clone();
    let log_filter = match &settings.self_config {
        Some(namespace) => Some(SelfConfig::follow(namespace, &replica, telling.filter).await?),
        None => None,
    };
    let gauges =
        Gauges { replica: replica.clone(), snapshotter, embedded: open.embedded(), log_filter };
    let render = metrics.clone();
    let mut routes = headwater_relay::routes(relay).merge(headwater_server::health(
        move || ready.check(),
        move || {
            gauges.refresh();
            render.render()
        },
    ));
    if let Some(writer) = writer.clone() {
        routes = routes.merge(headwater_publisher::routes(writer));
    }
    tasks.spawn("metrics", recorder::upkeep(metrics, stops.state.clone()));

    let at = replica.clone();
    let identity =
        Identity::new(move || at.view().map(|view| (view.revision(), view.head().stream_id)));
    let mut server = Server::new(routes, settings.server.clone(), identity);
    if let Some(continued) = telling.continued {
        server = server.traced(continued);
    }
    // A stream is founded only by those who write, and only where none was ever followed.
    let founds = writer.is_some() && !followed_before;
    Ok(Process {
        role,
        open,
        listener,
        server,
        replica,
        readiness,
        founds,
        images,
        has_writer: writer.is_some(),
        stops,
        tasks,
    })
}

/// Keeps the stream's table, whenever it is this process's turn.
fn projector(
    settings: &Settings,
    open: &OpenLog,
    replica: &Replica,
    stops: &Stops,
    tasks: &mut Tasks,
) -> Result<(), Failure> {
    let Some(table) = open.table() else { return Ok(()) };
    let (prepared, stop) = (Arc::clone(&table), stops.state.clone());
    let parts = TableParts {
        table,
        replica: replica.clone(),
        log: open.log(),
        framings: framing::of(settings.schema_registry.as_deref(), &settings.stream)?,
        settings: settings.table.clone(),
    };
    tasks.spawn("projector", async move {
        if stop.run_until_cancelled(prepared.prepared()).await.is_some() {
            Projector::new(parts).run(stop).await;
        }
    });
    Ok(())
}

async fn snapshotter(
    settings: &Settings,
    open: &OpenLog,
    replica: &Replica,
    images: Option<Store>,
    stops: &Stops,
    tasks: &mut Tasks,
) -> Result<Snapshotter, Failure> {
    let (settings, log, replica) = (settings.snapshotter(), open.log(), replica.clone());
    let opened =
        tokio::task::spawn_blocking(move || Snapshotter::open(settings, log, replica, images))
            .await;
    let (snapshotter, keeper) = opened.map_err(Failure::failed)?.map_err(Failure::failed)?;
    tasks.spawn("snapshotter", keeper.run(stops.state.clone()));
    Ok(snapshotter)
}

/// Who is asked about the past: the own snapshotter, or the server that is named.
fn history(
    settings: &Settings,
    snapshotter: Option<&Snapshotter>,
) -> Result<Option<Arc<dyn History>>, Failure> {
    let named = settings.history()?;
    let own = snapshotter.map(Snapshotter::history);
    Ok(own.or_else(|| named.map(|named| Arc::new(named) as Arc<dyn History>)))
}

fn relay(
    settings: &Settings,
    role: Role,
    open: &OpenLog,
    replica: &Replica,
    writer: Option<&Writer>,
    snapshotter: Option<&Snapshotter>,
    stops: &Stops,
) -> Relay {
    Relay {
        role: role.name().to_owned(),
        started_at_ms: now_ms(),
        image_dir: Some(settings.image_dir()),
        request_image: snapshotter
            .cloned()
            .map(|s| Arc::new(move || s.request_image()) as headwater_relay::RequestImage),
        other_alarm: snapshotter
            .cloned()
            .map(|s| Arc::new(move || s.status().alarm) as headwater_relay::OtherAlarm),
        linearize: writer.cloned().map(|writer| {
            Arc::new(move || {
                let writer = writer.clone();
                async move { writer.linearize().await }.boxed()
            }) as headwater_relay::Linearize
        }),
        shutdown: stops.requests.clone(),
        settings: settings.relay.clone(),
        ..Relay::new(replica.clone(), open.log(), settings.stream.as_str())
    }
}

/// Milliseconds since the Unix epoch, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
