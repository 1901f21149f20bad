//! The routes of the write side.

use axum::Router;
use axum::routing::{post, put};

use crate::Writer;
use crate::http::{commits, delete, put as single, rollback};

/// Every call that changes something. Merge it with the reading routes: they share paths, not methods.
pub fn routes(writer: Writer) -> Router {
    Router::new()
        .route("/v1/config/{ns}/{*key}", put(single::put).delete(delete::delete))
        .route("/v1/commits", post(commits::commit))
        .route("/v1/rollback", post(rollback::rollback))
        .with_state(writer)
}
