//! The gateway's answers.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use headwater::{Client, Handle, HandleError, Value};
use serde::Serialize;
use serde_json::json;

use crate::limits::Limits;
use crate::model::Model;
use crate::models::Models;
use crate::rules::Rules;
use crate::{ask, prompt};

/// What the handlers share.
pub(crate) struct Gateway {
    pub(crate) models: Models,
    pub(crate) rules: Handle<Rules>,
    pub(crate) limits: Limits,
    pub(crate) config: Client,
}

pub(crate) fn routes(gateway: Gateway) -> Router {
    Router::new()
        .route("/models/{*name}", get(model))
        .route("/prompts/{name}", get(prompt::get))
        .route("/ask/{route}", post(ask::post))
        .route("/healthz", get(health))
        .fallback(nothing)
        .with_state(Arc::new(gateway))
}

/// One model, and how fresh it is.
#[derive(Serialize)]
struct Answer<'a> {
    name: &'a str,
    #[serde(flatten)]
    fresh: Fresh,
    model: &'a Model,
}

/// How fresh a value is.
#[derive(Serialize)]
pub(crate) struct Fresh {
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
    pub(crate) fn of<T>(value: &Value<T>) -> Self {
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

async fn model(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>) -> Response {
    match gateway.models.find(&name) {
        Ok(handle) => {
            let current = handle.load();
            let answer = Answer { name: &name, fresh: Fresh::of(current.value()), model: &current };
            Json(answer).into_response()
        }
        Err(error) => no_model(error),
    }
}

/// How to mend the configuration is not the business of whoever asks for a model.
pub(crate) fn no_model(error: HandleError) -> Response {
    match error {
        HandleError::Absent { key, .. } => {
            refuse(StatusCode::NOT_FOUND, &format!("there is no model {key}"))
        }
        HandleError::Name(error) => refuse(StatusCode::NOT_FOUND, &error.to_string()),
        error => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn nothing() -> Response {
    refuse(
        StatusCode::NOT_FOUND,
        "ask for /models/{name}, /prompts/{name}, /ask/{route} or /healthz",
    )
}

pub(crate) fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

/// The gateway answers from its last known good models even while nothing else is up, so it is healthy then, too.
async fn health(State(gateway): State<Arc<Gateway>>) -> Json<serde_json::Value> {
    let status = gateway.config.status();
    Json(json!({
        "phase": status.phase, "stale": status.stale, "revision": status.revision,
        "alarm": status.alarm, "last_error": status.last_error,
        "rejected": gateway.rules.rejected().map(|error| error.to_string()),
    }))
}
