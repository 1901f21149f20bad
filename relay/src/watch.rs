//! `GET /v1/watch`: live commits as JSON, as server-sent events or by long poll.
//!
//! ```text
//!   history ─▶ replica's tail ─▶ cursor ─▶ filter ─▶ matched ─┬─▶ events   (SSE, until one hangs up)
//!                                                             └─▶ poll     (one answer)
//! ```

mod cursor;
mod events;
mod filter;
mod form;
mod matched;
mod past;
mod poll;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{Problem, Values, header};
use headwater_server::{Admitted, ApiResult, Query, Wait};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName};

use cursor::Cursor;
use events::Session;
use filter::Filter;
use form::Form;

use crate::relay::Desk;

/// How long a long poll waits unless told.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// What keeps nginx and its like from holding events back.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    namespaces: Option<String>,
    prefix: Option<String>,
    key: Option<String>,
    after: Option<u64>,
    #[serde(default)]
    values: Values,
    wait: Option<Wait>,
}

/// Every commit after a revision that changes what is asked for, and then whatever comes.
///
/// As server-sent events: `commit` (its id is the revision, its data a Commit with the matching changes only),
/// `heartbeat` first of all and then every 5 s (its id is the revision up to which everything was sent, its data the
/// server's head), and `end` with a problem when this server ends it. As JSON: one answer, as soon as there is a commit.
/// Barriers, and what the system keeps for itself, are never sent.
#[utoipa::path(get, path = "/v1/watch", operation_id = "watch", tag = "follow",
    params(
        ("namespaces" = Option<String>, Query, description = "`a,b`: only what concerns them; all by default"),
        ("prefix" = Option<String>, Query, description = "Only keys that begin with these bytes"),
        ("key" = Option<String>, Query, description = "Only this key, in each of the namespaces; not with prefix"),
        ("after" = Option<u64>, Query, description = "The revision that the client has; the head by default. Above the head it waits"),
        ("values" = Option<Values>, Query, description = "`new` (default); `both`: with the entry before, too; `none`: which keys only"),
        ("wait" = Option<String>, Query, description = "Of a long poll: how long to wait for a commit, `<n>ms|s|m`, at most 60s, 30s by default"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Wins over after: the id of the last event that the client has"),
        ("Accept" = Option<String>, Header, description = "`application/json` for a long poll; `text/event-stream`, `*/*` or nothing for events"),
    ),
    responses(
        (status = 200, description = "Server-sent events, or the answer of a long poll",
            content((String = "text/event-stream"), (headwater_api::PollBody = "application/json"))),
        (status = 406, description = "`not_acceptable`", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: nobody here keeps what comes after it", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    Query(query): Query<Parameters>,
    admitted: Admitted,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let form = Form::wanted(&headers, query.wait.is_some())?;
    let filter = Filter::new(query.namespaces.as_deref(), query.prefix, query.key.as_deref())?;
    let after = last_event_id(&headers)?.or(query.after);
    let cursor = Cursor::open(desk, filter, query.values, after).await?;
    match form {
        Form::Events => {
            let answer = [
                (CONTENT_TYPE, header::EVENT_STREAM),
                (CACHE_CONTROL, "no-cache"),
                (VARY, "Accept"),
                (UNBUFFERED, "no"),
            ];
            Ok((answer, Body::from_stream(Session::new(cursor).events())).into_response())
        }
        Form::Poll => {
            // Who waits costs a connection and no more: it must not use up what others are answered with.
            admitted.release();
            poll::answer(cursor, query.wait.map_or(DEFAULT_WAIT, |wait| wait.0)).await
        }
    }
}

/// Where a client that comes back was.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut given = headers.get_all(header::LAST_EVENT_ID).iter();
    let Some(id) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(Problem::invalid_request("Last-Event-ID: it is there twice; send it once"));
    }
    let text = id.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let revision = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match revision.and_then(|text| text.parse().ok()) {
        Some(revision) => Ok(Some(revision)),
        None => Err(Problem::invalid_request(
            "Last-Event-ID: it must be the id of an event of this call, a revision; leave it out and give after",
        )),
    }
}
