//! Liveness, readiness and metrics.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use headwater_api::{Problem, paths};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::{ApiError, NoQuery, Query};

/// `/healthz`, `/readyz` and `/metrics`.
///
/// `ready` says why the server is not ready, if it is not; `render` writes the metrics as Prometheus text.
/// Both are asked at every call: they must be cheap and never block.
pub fn health(
    ready: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    render: impl Fn() -> String + Send + Sync + 'static,
) -> Router {
    let (ready, render) = (Arc::new(ready), Arc::new(render));
    let text = |text: &'static str| ([(CACHE_CONTROL, "no-store")], text);
    Router::new()
        .route(paths::HEALTHZ, get(move |_: Query<NoQuery>| async move { text("ok\n") }))
        .route(
            paths::READYZ,
            get(move |_: Query<NoQuery>| {
                let ready = ready();
                async move {
                    match ready {
                        Ok(()) => text("ready\n").into_response(),
                        Err(why) => ApiError::from(Problem::not_ready(&why)).into_response(),
                    }
                }
            }),
        )
        .route(
            paths::METRICS,
            get(move |_: Query<NoQuery>| {
                let metrics = render();
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                async move { ([(CONTENT_TYPE, kind)], metrics) }
            }),
        )
}
