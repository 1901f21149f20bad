//! What every request passes: size, concurrency, the stream guard, and a net under panics.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use headwater_api::{Code, Problem, paths};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::uri::Authority;
use http::{HeaderValue, Request, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tracing::Instrument as _;

use crate::admitted::Admitted;
use crate::connection::{Open, Traffic};
use crate::{ApiError, BodyLimits, Continue, Identity, ServerSettings, trace};

/// The routes behind their limits.
pub(crate) struct Edge {
    router: Router,
    settings: ServerSettings,
    identity: Identity,
    requests: Arc<Semaphore>,
    bodies: BodyLimits,
    traces: Option<Continue>,
    sent: metrics::Counter,
}

impl Edge {
    pub(crate) fn new(router: Router, settings: ServerSettings, identity: Identity) -> Self {
        let router = router
            .fallback(crate::error::no_route)
            .method_not_allowed_fallback(crate::error::no_method);
        let most = settings.max_requests.min(Semaphore::MAX_PERMITS);
        let requests = Arc::new(Semaphore::new(most));
        let bodies = BodyLimits::new(&settings);
        let sent = crate::metrics::sent();
        Self { router, settings, identity, requests, bodies, traces: None, sent }
    }

    pub(crate) fn traced(self, within: Continue) -> Self {
        Self { traces: Some(within), ..self }
    }

    pub(crate) fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Answers one request; never fails, whatever the routes do.
    pub(crate) async fn answer(
        self: Arc<Self>,
        traffic: Arc<Traffic>,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let (open, started) = (traffic.begin(), Instant::now());
        let method = request.method().clone();
        let unread = Arc::new(AtomicBool::new(false));
        let mut request =
            request.map(|inner| Arriving { inner, ended: false, unread: Arc::clone(&unread) });
        let span = trace::begin(&mut request, self.traces.as_ref());
        let mut response = match self.admit(&request) {
            Ok(admitted) => {
                let response = self.route(request, admitted.clone()).instrument(span.clone()).await;
                admitted.release();
                response
            }
            Err(problem) => {
                drop(request);
                ApiError::from(problem).into_response()
            }
        };
        if unread.load(Ordering::Acquire) {
            // What the client still sends is not worth reading: the connection ends behind this answer.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            traffic.linger();
        }
        if response.status() == StatusCode::NOT_MODIFIED {
            // Of an empty body; it would be read as the length of what the client has.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        self.identity.complete(response.headers_mut());
        crate::metrics::answered(&method, response.status(), started.elapsed());
        trace::answered(&span, response.status());
        let sent = self.sent.clone();
        Ok(response.map(|inner| Body::new(Guarded { inner, sent, _open: open })))
    }

    /// Refuses what no route need see.
    fn admit<B>(&self, request: &Request<B>) -> Result<Admitted, Problem> {
        if head_bytes(request) > self.settings.max_header_bytes {
            return Err(Problem::headers_too_large());
        }
        check_host(request)?;
        self.identity.guard(request.method(), request.uri())?;
        let is_health =
            [paths::HEALTHZ, paths::READYZ, paths::METRICS].contains(&request.uri().path());
        if is_health {
            return Ok(Admitted::default());
        }
        self.requests
            .clone()
            .try_acquire_owned()
            .map(Admitted::new)
            .map_err(|_| Problem::overloaded("this server answers as many requests as it may"))
    }

    async fn route(&self, request: Request<Arriving>, admitted: Admitted) -> Response {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(admitted);
        request.extensions_mut().insert(self.bodies.clone());
        let answer = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind().await;
        match answer {
            Ok(Ok(response)) => response,
            Err(panic) => ApiError::internal(told(&*panic)).into_response(),
        }
    }

    /// A whole answer as bytes, for refusals that no service writes.
    pub(crate) fn refusal(&self, status: u16) -> Bytes {
        let problem = match status {
            408 => Problem::request_timeout(self.settings.header_timeout()),
            431 => Problem::headers_too_large(),
            429 => Problem::overloaded("this server has as many connections as it may"),
            _ => Problem::new(
                Code::InvalidRequest,
                "this is no HTTP/1.1 request; check its first line and its headers",
            ),
        };
        let body = problem.to_json();
        let mut response = ApiError::from(problem).into_response();
        self.identity.complete(response.headers_mut());
        let status = response.status();
        let mut head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
        for (name, value) in response.headers() {
            if let Ok(value) = value.to_str() {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        head.push_str(&body);
        head.into()
    }
}

/// One `Host`, which HTTP/1.1 wants and HTTP/1.0 did not know yet (RFC 9112, 3.2): what a proxy in between reads two of
/// differently is no request for anybody.
fn check_host<B>(request: &Request<B>) -> Result<(), Problem> {
    let mut given = request.headers().get_all(HOST).iter();
    let is_fine = match given.next() {
        None => request.version() < Version::HTTP_11,
        Some(host) => given.next().is_none() && is_host(host.as_bytes()),
    };
    if is_fine {
        return Ok(());
    }
    Err(Problem::invalid_request(
        "the header Host must be there once, with the host and port that the request is for",
    ))
}

/// Empty where there is no authority; else `host` or `host:port`.
fn is_host(host: &[u8]) -> bool {
    host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
}

/// The request line and headers, roughly as many bytes as they had on the wire.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let headers = request.headers().iter();
    let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let uri = request.uri();
    let line = uri.path().len() + uri.query().map_or(0, str::len) + 16;
    headers + line
}

fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a handler panicked: {}", text.unwrap_or_else(|| "no message".to_owned()))
}

/// A request's body, which says when it is given up before its end.
struct Arriving {
    inner: Incoming,
    ended: bool,
    unread: Arc<AtomicBool>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.unread.store(!self.is_end_stream(), Ordering::Release);
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body; dropped with its last byte, it closes the request.
struct Guarded {
    inner: Body,
    sent: metrics::Counter,
    _open: Open,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.sent.increment(data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
