//! Descriptions of what every server answers about itself.

/// Liveness: this process runs.
#[utoipa::path(get, path = "/healthz", tag = "operate", responses((status = 200, description = "It runs", content_type = "text/plain", body = String)))]
#[expect(dead_code, reason = "a description; the server's edge answers it")]
pub(super) fn healthz() {}

/// Readiness: the first catch-up is done.
#[utoipa::path(get, path = "/readyz", tag = "operate", responses(
    (status = 200, description = "Ready", content_type = "text/plain", body = String),
    (status = 503, description = "`not_ready`, with Retry-After", content_type = "application/problem+json", body = headwater_api::Problem),
))]
#[expect(dead_code, reason = "a description; the server's edge answers it")]
pub(super) fn readyz() {}

/// What is measured, as Prometheus text; names begin with `headwater_`.
#[utoipa::path(get, path = "/metrics", tag = "operate", responses((status = 200, description = "Prometheus text", content_type = "text/plain", body = String)))]
#[expect(dead_code, reason = "a description; the server's edge answers it")]
pub(super) fn metrics() {}
