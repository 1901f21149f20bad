//! Bind, serve, drain.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Limits, Refusal, Traffic};
use crate::edge::Edge;
use crate::{Continue, Identity, ServerSettings};

/// The wait after an accept that failed for want of descriptors: accepting again at once would spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", advice(cause))]
pub struct BindError {
    address: String,
    #[source]
    cause: io::Error,
}

fn advice(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there; stop it or choose another port with --listen".into()
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; choose a port above 1023 with --listen".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; 127.0.0.1 and 0.0.0.0 always work".into()
        }
        io::ErrorKind::InvalidInput => "write it as HOST:PORT, for example 127.0.0.1:7070".into(),
        _ => cause.to_string(),
    }
}

/// Listens on `HOST:PORT`; port 0 takes a free one.
///
/// # Errors
/// [`BindError`] says what to do.
pub async fn bind(address: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| BindError { address: address.to_owned(), cause })
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that did not finish within the drain timeout and were cut.
    pub cut: usize,
}

/// Routes behind the edge, ready to serve.
pub struct Server {
    edge: Edge,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("settings", self.edge.settings()).finish_non_exhaustive()
    }
}

impl Server {
    /// Puts `router` behind the edge. Its fallback is replaced: what is not there is a problem, too.
    pub fn new(router: Router, settings: ServerSettings, identity: Identity) -> Self {
        Self { edge: Edge::new(router, settings, identity) }
    }

    /// Traces requests. Without it none is, and a client's `traceparent` is handed on as it came.
    #[must_use]
    pub fn traced(mut self, within: Continue) -> Self {
        self.edge = self.edge.traced(within);
        self
    }

    /// Serves until `shutdown`; then accepts no more, lets requests in flight finish within the drain timeout,
    /// closes idle connections, and cuts what is left. Streams must watch the same token: an open one counts as
    /// in flight.
    pub async fn serve(self, listeners: Vec<TcpListener>, shutdown: CancellationToken) -> Drained {
        let (to_serve, mut accepted) = mpsc::channel(16);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept(listener, to_serve.clone(), shutdown.clone()));
        }
        drop(to_serve);
        let edge = Arc::new(self.edge);
        let settings = edge.settings();
        let permits =
            Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let drain_timeout = settings.drain_timeout();
        let mut connections = JoinSet::new();
        while let Some((socket, peer)) = accepted.recv().await {
            while connections.try_join_next().is_some() {}
            match Arc::clone(&permits).try_acquire_owned() {
                Ok(permit) => {
                    let edge = Arc::clone(&edge);
                    connections.spawn(connection(edge, socket, peer, permit, shutdown.clone()));
                }
                Err(_) => refuse(&socket, &edge.refusal(429)),
            }
        }
        accepting.shutdown().await;
        drain(connections, drain_timeout).await
    }
}

/// Accepts until the shutdown, then closes the listener.
async fn accept(
    listener: TcpListener,
    to_serve: mpsc::Sender<(TcpStream, SocketAddr)>,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                if to_serve.send(accepted).await.is_err() {
                    return;
                }
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Whether only this one connection failed, by its client's doing.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Tells a client without a place so, if its socket takes the few bytes at once.
fn refuse(socket: &TcpStream, answer: &[u8]) {
    if let Err(error) = socket.try_write(answer) {
        tracing::debug!(%error, "a connection too many, closed without an answer");
    }
}

/// Serves one connection to its end.
async fn connection(
    edge: Arc<Edge>,
    socket: TcpStream,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let _counted = Counted::new();
    let settings = edge.settings().clone();
    let limits = Limits {
        header: settings.header_timeout(),
        idle: settings.idle_timeout(),
        write: settings.write_timeout(),
    };
    let traffic = Arc::new(Traffic::default());
    let refusing = Arc::clone(&edge);
    let refusal: Refusal = Arc::new(move |status| refusing.refusal(status));
    let io = TokioIo::new(Connection::new(socket, Arc::clone(&traffic), limits, refusal));
    let service =
        service_fn(move |request| Arc::clone(&edge).answer(Arc::clone(&traffic), request));
    // hyper's own limit on heads lies above the edge's, which answers with a problem in the usual way.
    let head_limit = settings.max_header_bytes.saturating_mul(2).max(MIN_BUFFER);
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_header_size(head_limit)
            .max_buf_size(head_limit.max(MAX_BUFFER))
            .serve_connection(io, service)
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// One open connection in the metrics, however it ends.
struct Counted(metrics::Gauge);

impl Counted {
    fn new() -> Self {
        let gauge = metrics::gauge!(crate::metrics::CONNECTIONS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The least buffer hyper takes.
const MIN_BUFFER: usize = 8 * 1024;
/// What hyper buffers of one connection, in bytes, before it writes.
const MAX_BUFFER: usize = 256 * 1024;

/// Waits for connections to finish, and cuts the rest at the deadline.
async fn drain(mut connections: JoinSet<()>, deadline: Duration) -> Drained {
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(deadline, finish).await.is_ok() {
        return Drained { cut: 0 };
    }
    let cut = connections.len();
    crate::metrics::cut(crate::metrics::Cut::Drain, cut);
    tracing::warn!(cut, "connections still open at the drain deadline were cut");
    connections.shutdown().await;
    Drained { cut }
}
