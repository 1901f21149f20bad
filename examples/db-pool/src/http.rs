//! What the service answers.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use headwater::Client;
use serde_json::{Value, json};

use crate::db::{Db, DbError};

/// What the handlers share.
pub(crate) struct Service {
    pub(crate) db: Arc<Db>,
    pub(crate) config: Client,
}

pub(crate) fn routes(service: Service) -> Router {
    Router::new()
        .route("/accounts/{id}", get(account))
        .route("/report", get(report))
        .route("/pool", get(pool))
        .with_state(Arc::new(service))
}

async fn account(
    State(service): State<Arc<Service>>,
    Path(id): Path<i32>,
) -> Result<Response, Failed> {
    let served = service.db.served();
    let statement = "select owner, current_database()::text from accounts where id = $1";
    let rows = served.rows(statement, &[&id]).await?;
    let Some(row) = rows.first() else {
        let error = format!("there is no account {id}");
        return Ok((StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response());
    };
    let (owner, database): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let account =
        json!({ "id": id, "owner": owner, "database": database, "revision": served.revision });
    Ok(Json(account).into_response())
}

/// A statement that takes its time, as reports do.
async fn report(State(service): State<Arc<Service>>) -> Result<Json<Value>, Failed> {
    let served = service.db.served();
    let statement =
        "select (select count(*) from accounts), current_database()::text, pg_sleep(0.5)::text";
    let rows = served.rows(statement, &[]).await?;
    let row = rows.first().ok_or(Failed("a count without a row".to_owned()))?;
    let (accounts, database): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Json(json!({ "accounts": accounts, "database": database, "revision": served.revision })))
}

/// The pool, and why the newest settings are not in force, if they are not.
async fn pool(State(service): State<Arc<Service>>) -> Json<Value> {
    let (served, config) = (service.db.served(), service.config.status());
    let status = served.status();
    let since = served.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    Json(json!({
        "revision": served.revision,
        "since_micros": u64::try_from(since.as_micros()).unwrap_or(u64::MAX), "database": served.database, "times": served.times,
        "max_connections": status.max_size, "connections": status.size, "free": status.available,
        "waiting": status.waiting, "config": config.handles,
    }))
}

/// An answer that cannot be given now.
struct Failed(String);

impl<E: Into<DbError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into().to_string())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        // Why is the business of whoever runs the service.
        eprintln!("db-pool: {}", self.0);
        let error = "the database does not answer; try again";
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error }))).into_response()
    }
}
