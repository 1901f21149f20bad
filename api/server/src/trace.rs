//! Every request is a span that continues its client's trace, where this process sends traces somewhere.

use std::sync::Arc;

use headwater_api::{header, paths, trace};
use http::{HeaderValue, Request, StatusCode};
use tracing::{Span, debug_span, field};

/// Says under which `traceparent` others continue a span; none while no trace of it is kept.
pub type Continue = Arc<dyn Fn(&Span) -> Option<HeaderValue> + Send + Sync>;

/// What asks for health and metrics is no part of any story.
const UNTRACED: [&str; 3] = [paths::HEALTHZ, paths::READYZ, paths::METRICS];

/// Opens a request's span. Where it is kept, whatever handles the request finds it as the request's `traceparent`, in
/// place of the client's, which it continues.
pub(crate) fn begin<B>(request: &mut Request<B>, within: Option<&Continue>) -> Span {
    let Some(within) = within.filter(|_| !UNTRACED.contains(&request.uri().path())) else {
        return Span::none();
    };
    let theirs = request.headers().get(header::TRACEPARENT).and_then(|text| text.to_str().ok());
    let span = debug_span!(
        target: trace::TARGET,
        "request",
        otel.name = request.method().as_str(),
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        url.path = request.uri().path(),
        http.response.status_code = field::Empty,
        traceparent = theirs,
    );
    if let Some(ours) = within(&span) {
        request.headers_mut().insert(header::TRACEPARENT, ours);
    }
    span
}

/// Notes how it was answered.
pub(crate) fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
}
