//! The gateway's answers.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use headwater::{HandleError, Value};
use serde::Serialize;
use serde_json::json;

use crate::model::Model;
use crate::models::Models;

pub(crate) fn routes(models: Models) -> Router {
    Router::new()
        .route("/models/{*name}", get(model))
        .route("/healthz", get(health))
        .fallback(nothing)
        .with_state(Arc::new(models))
}

/// One model, and how fresh it is.
#[derive(Serialize)]
struct Answer<'a> {
    name: &'a str,
    #[serde(flatten)]
    fresh: Fresh,
    model: &'a Model,
}

#[derive(Serialize)]
struct Fresh {
    /// The revision that last changed the model.
    revision: u64,
    /// When that commit was made, in milliseconds since the Unix epoch, by its writer's clock.
    committed_at_ms: Option<i64>,
    /// When the gateway had it, in microseconds since the Unix epoch, by its own clock.
    applied_at_micros: i64,
    /// The time between the two. The commit's time is cut to a millisecond, so up to one of these is not real.
    applied_micros: Option<i64>,
}

impl Fresh {
    fn of<T>(value: &Value<T>) -> Self {
        let applied = value.applied_at().duration_since(UNIX_EPOCH).unwrap_or_default();
        let applied_at_micros = i64::try_from(applied.as_micros()).unwrap_or(i64::MAX);
        let committed_at_ms = value.committed_at_ms();
        let since =
            |committed: i64| applied_at_micros.saturating_sub(committed.saturating_mul(1_000));
        Self {
            revision: value.revision(),
            committed_at_ms,
            applied_at_micros,
            applied_micros: committed_at_ms.map(since),
        }
    }
}

async fn model(State(models): State<Arc<Models>>, Path(name): Path<String>) -> Response {
    match models.find(&name) {
        Ok(handle) => {
            let current = handle.load();
            let answer = Answer { name: &name, fresh: Fresh::of(current.value()), model: &current };
            Json(answer).into_response()
        }
        // How to mend the configuration is not the business of whoever asks for a model.
        Err(HandleError::Absent { key, .. }) => {
            refuse(StatusCode::NOT_FOUND, &format!("there is no model {key}"))
        }
        Err(HandleError::Name(error)) => refuse(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn nothing() -> Response {
    refuse(StatusCode::NOT_FOUND, "ask for /models/{name} or /healthz")
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

/// The gateway answers from its last known good models even while nothing else is up, so it is healthy then, too.
async fn health(State(models): State<Arc<Models>>) -> Json<serde_json::Value> {
    let status = models.status();
    Json(json!({
        "phase": status.phase, "stale": status.stale, "revision": status.revision,
        "alarm": status.alarm, "last_error": status.last_error,
    }))
}
