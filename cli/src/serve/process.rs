//! A server that is built: run it until a signal or a fault, then drain it in order.

use std::future::pending;
use std::time::Duration;

use headwater_image_store::Store;
use headwater_publisher::WriterTask;
use headwater_replica::Replica;
use headwater_server::Server;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::serve::log::OpenLog;
use crate::serve::readiness::Readiness;
use crate::serve::{Role, founding, greeting};
use crate::signals::Signals;
use crate::tasks::Tasks;

/// How long everything behind the HTTP server may take to end; together with its own drain less than 10 s.
const BACKGROUND: Duration = Duration::from_secs(4);
/// How long the log may take to close.
const CLOSE: Duration = Duration::from_secs(1);
/// How often a server that is not ready looks again.
const READY_POLL: Duration = Duration::from_millis(20);

/// One token a stage of the drain; a stage is stopped when the one before it has ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Stops {
    /// No more requests; those under way finish.
    pub(super) requests: CancellationToken,
    /// No more writes; what was appended is read back.
    pub(super) writer: CancellationToken,
    /// No more commits: the replica leaves its cache, the snapshotter its rows.
    pub(super) state: CancellationToken,
}

impl Stops {
    /// Runs the writer; the replica, which reads back what it appended, stops behind it.
    pub(super) async fn writer_first(self, task: WriterTask) {
        task.run(self.writer).await;
        self.state.cancel();
    }
}

/// All parts of a server.
pub(super) struct Process {
    pub(super) role: Role,
    pub(super) open: OpenLog,
    pub(super) listener: TcpListener,
    pub(super) server: Server,
    pub(super) replica: Replica,
    pub(super) readiness: Readiness,
    /// Whether this process may found the stream.
    pub(super) founds: bool,
    /// Where images are shared: what is announced there was followed before, by somebody.
    pub(super) images: Option<Store>,
    pub(super) has_writer: bool,
    pub(super) stops: Stops,
    pub(super) tasks: Tasks,
}

impl Process {
    pub(super) async fn run(mut self, signals: &mut Signals) -> Result<(), Failure> {
        let at = self.listener.local_addr().map_err(Failure::failed)?;
        let serving = self.server.serve(vec![self.listener], self.stops.requests.clone());
        let mut serving = tokio::spawn(serving);
        let log = self.open.log();
        let beginning = async {
            self.open.connect().await?;
            if self.founds && !founding::is_witnessed(&self.open).await? {
                founding::found(log.as_ref(), self.images.as_ref()).await?;
            }
            // It ends when the replica is closed, which the tasks below tell of.
            let _ = self.replica.caught_up().await;
            while self.readiness.check().is_err() {
                tokio::time::sleep(READY_POLL).await;
            }
            greeting::greet(at, self.role, &log.identity().place);
            pending::<Result<(), Failure>>().await
        };
        let ended = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "draining");
                Ok(())
            }
            fault = self.tasks.fault() => Err(Failure::failed(fault)),
            ended = &mut serving => Err(Failure::failed(format_args!("the HTTP server ended: {ended:?}"))),
            refused = beginning => refused,
        };
        if let Err(fault) = &ended {
            tracing::error!(%fault, "ending, because a half-dead server is worse than none");
        }
        self.stops.requests.cancel();
        if !serving.is_finished()
            && let Err(error) = serving.await
        {
            tracing::error!(%error, "the HTTP server");
        }
        self.stops.writer.cancel();
        if !self.has_writer {
            self.stops.state.cancel();
        }
        let late = self.tasks.finish(BACKGROUND).await;
        if tokio::time::timeout(CLOSE, self.open.close()).await.is_err() {
            tracing::warn!("the log had not closed in time; what was acknowledged is durable");
        }
        ended.and(late.map_err(Failure::failed))
    }
}
