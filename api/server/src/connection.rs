//! One connection: its time limits, and problems in place of hyper's bare refusals.
//!
//! hyper answers a head that is too large or malformed by itself, without a body, and closes silently when a
//! head takes too long. Both never reach a service, so they are mended here, where the bytes pass by. It is
//! done only while no request is open or waits for its answer's head ([`Traffic`]): what is written then can only
//! be hyper's own refusal.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::metrics::{self, Cut};

/// How long a closing connection waits for a client that still sends: closing under it would reset the
/// connection and take the answer away.
const LINGER: Duration = Duration::from_millis(500);
/// How many bytes of such a client are read and thrown away.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// What the connection and the service on it know of each other.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Requests whose answers are not yet whole.
    open: AtomicUsize,
    /// Requests that ever began: one whose answer has no body (to HEAD) is closed before its head is written.
    begun: AtomicUsize,
    /// Whether bytes were left unread when an answer was given.
    linger: AtomicBool,
}

impl Traffic {
    /// A request begins; it ends when the guard is dropped, with the last byte of its answer.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        self.begun.fetch_add(1, Ordering::AcqRel);
        self.open.fetch_add(1, Ordering::AcqRel);
        Open(Arc::clone(self))
    }

    /// The client may still be sending when this connection closes.
    pub(crate) fn linger(&self) {
        self.linger.store(true, Ordering::Release);
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }
}

/// An open request.
#[derive(Debug)]
pub(crate) struct Open(Arc<Traffic>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
}

/// Renders what is written instead of a bare refusal with this status.
pub(crate) type Refusal = Arc<dyn Fn(u16) -> Bytes + Send + Sync>;

/// A socket between hyper and the network.
pub(crate) struct Connection {
    socket: TcpStream,
    traffic: Arc<Traffic>,
    limits: Limits,
    refusal: Refusal,
    /// Whether all of the last answer went out and no request has come since.
    is_idle: bool,
    /// How many requests had begun when that was last asked.
    seen: usize,
    /// Bytes read since then.
    head_bytes: usize,
    /// The end of the head, of the idle time, or of the lingering.
    read_timer: Pin<Box<Sleep>>,
    is_read_timed: bool,
    /// The end of a write that the client does not take.
    write_timer: Pin<Box<Sleep>>,
    is_write_timed: bool,
    /// A refusal on its way out.
    pending: Bytes,
    lingered: Option<usize>,
}

impl Connection {
    pub(crate) fn new(
        socket: TcpStream,
        traffic: Arc<Traffic>,
        limits: Limits,
        refusal: Refusal,
    ) -> Self {
        let timer = || Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            socket,
            traffic,
            limits,
            refusal,
            is_idle: true,
            seen: 0,
            head_bytes: 0,
            read_timer: timer(),
            is_read_timed: false,
            write_timer: timer(),
            is_write_timed: false,
            pending: Bytes::new(),
            lingered: None,
        }
    }

    fn is_between_requests(&mut self) -> bool {
        let begun = self.traffic.begun.load(Ordering::Acquire);
        if self.traffic.is_open() || begun != self.seen {
            self.seen = begun;
            self.is_idle = false;
            self.is_read_timed = false;
        }
        self.is_idle
    }

    /// Whether the client's time is up: to begin a request, or to finish its head.
    fn poll_read_limit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_read_timed {
            let limit = if self.head_bytes == 0 { self.limits.idle } else { self.limits.header };
            self.read_timer.as_mut().reset(Instant::now() + limit);
            self.is_read_timed = true;
        }
        self.read_timer.as_mut().poll(cx)
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.pending.has_remaining() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.pending))?;
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// A write that makes no progress for too long ends the connection.
    fn limit_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.is_write_timed = false;
            return progress;
        }
        if !self.is_write_timed {
            self.write_timer.as_mut().reset(Instant::now() + self.limits.write);
            self.is_write_timed = true;
        }
        ready!(self.write_timer.as_mut().poll(cx));
        metrics::cut(Cut::Slow, 1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes no bytes")))
    }

    /// Reads and throws away what the client still sends, within bounds.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.lingered.is_none() {
            self.lingered = Some(0);
            self.read_timer.as_mut().reset(Instant::now() + LINGER);
        }
        let mut scratch = [0; 8 * 1024];
        while self.lingered.is_some_and(|bytes| bytes < LINGER_BYTES) {
            if self.read_timer.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.lingered = self.lingered.map(|bytes| bytes + buffer.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

/// The status of a refusal that hyper wrote by itself: a head, whole, that announces no body.
fn bare_refusal(bytes: &[u8]) -> Option<u16> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 ")?;
    let status: u16 = std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()?;
    let is_bare = bytes.ends_with(b"\r\n\r\n");
    (is_bare && matches!(status, 400 | 431)).then_some(status)
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(cx, buffer);
        if !this.is_between_requests() {
            return read;
        }
        let arrived = buffer.filled().len() - before;
        if this.head_bytes == 0 && arrived > 0 {
            this.is_read_timed = false;
        }
        this.head_bytes += arrived;
        if read.is_ready() && arrived == 0 {
            return read;
        }
        if this.poll_read_limit(cx).is_pending() {
            return read;
        }
        if this.head_bytes > 0 {
            // The socket was idle, so its buffer takes these few bytes at once or never.
            let late = (this.refusal)(408);
            let _ = Pin::new(&mut this.socket).poll_write(cx, &late);
        }
        buffer.set_filled(before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_between_requests()
            && let Some(status) = bare_refusal(bytes)
        {
            this.pending = (this.refusal)(status);
            this.traffic.linger();
            return Poll::Ready(Ok(bytes.len()));
        }
        let progress = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.limit_write(cx, progress)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = this.poll_pending(cx);
        ready!(this.limit_write(cx, progress))?;
        if !this.traffic.is_open() && !this.is_idle {
            this.is_idle = true;
            this.is_read_timed = false;
            this.head_bytes = 0;
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let progress = this.poll_pending(cx);
        ready!(this.limit_write(cx, progress))?;
        if this.lingered.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        if this.traffic.linger.load(Ordering::Acquire) {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_bare_head_is_a_refusal() {
        assert_eq!(bare_refusal(b"HTTP/1.1 431 X\r\ncontent-length: 0\r\n\r\n"), Some(431));
        assert_eq!(bare_refusal(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Some(400));
        for bytes in [
            b"HTTP/1.1 200 OK\r\n\r\n".as_slice(),
            b"HTTP/1.1 431 X\r\n\r\nbody",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(bare_refusal(bytes), None);
        }
    }
}
