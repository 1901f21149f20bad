//! `GET /v1/config/{ns}/{key}`: one value.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use headwater_api::{At, EntryBody, Problem, etag, header};
use headwater_schemas::{Entry, EntryRef};
use headwater_server::{
    ApiError, ApiResult, KeyPath, Query, Wait, accepts, is_match, is_not_modified,
};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::reading::{self, Consistency};
use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    at: Option<At>,
    min_revision: Option<u64>,
    timeout: Option<Wait>,
    #[serde(default)]
    consistency: Consistency,
}

/// The value of a key, as it is stored.
#[utoipa::path(get, path = "/v1/config/{ns}/{key}", operation_id = "get_value", tag = "read",
    params(
        ("ns" = String, Path, description = "The namespace"),
        ("key" = String, Path, description = "The key, percent-encoded; `/` and `%2F` are the same"),
        ("at" = Option<String>, Query, description = "As it was at a revision, or after the last commit at or before an RFC 3339 time; the head by default"),
        ("min_revision" = Option<u64>, Query, description = "Waits until this server has applied it"),
        ("timeout" = Option<String>, Query, description = "How long to wait for min_revision: `<n>ms|s|m`, at most 60s, 5s by default"),
        ("consistency" = Option<Consistency>, Query, description = "`linearizable` reflects every write acknowledged before the read, by any replica"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has: 304 when it still holds"),
        ("If-Match" = Option<String>, Header, description = "An ETag that the value must have: else 412"),
        ("Accept" = Option<String>, Header, description = "`application/vnd.headwater.entry+json` for the entry; anything else is ignored"),
    ),
    responses(
        (status = 200, description = "The value as stored, with its own content type; or the entry",
            content((Vec<u8> = "*/*"), (headwater_api::EntryBody = "application/vnd.headwater.entry+json")),
            headers(
                ("ETag" = String, description = "`\"<mod_revision>\"`; not with the entry"),
                ("Last-Modified" = String, description = "The time of the commit that set it"),
                ("Headwater-Version" = u64, description = "1, 2, 3 … since the key was created"),
                ("Headwater-Create-Revision" = u64, description = "The revision that created the key"),
            )),
        (status = 304, description = "Not modified"),
        (status = 404, description = "`key_not_found`: the key is absent then; `revision_in_future`: `at` is above the head", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: this server keeps no older states", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    KeyPath { namespace, key }: KeyPath,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    desk.fresh(query.consistency).await?;
    if let Some(revision) = query.min_revision {
        desk.reach(revision, query.timeout).await?;
    }
    let state = desk.state_at(query.at).await?;
    let (name, key_name, then) = (namespace.as_str(), key.as_str(), state.revision());
    let kept: Option<Entry>;
    let entry = match &state {
        reading::State::Now(view) => view.get(name, key_name),
        reading::State::Then { .. } => {
            kept = desk.ask(then, |history| history.entry(name, key_name, then)).await?;
            kept.as_ref().map(Entry::as_ref)
        }
    };
    let Some(entry) = entry else {
        return Err(refused(&state, Problem::key_not_found(&namespace, &key)));
    };
    let mut answer = common(&state, &entry);
    if accepts(&headers, header::ENTRY_JSON) {
        answer.insert(CONTENT_TYPE, HeaderValue::from_static(header::ENTRY_JSON));
        let body = serde_json::to_vec(&EntryBody::new(&namespace, &key, entry));
        return Ok((answer, body.map_err(ApiError::internal)?).into_response());
    }
    let tag = etag(entry.mod_revision);
    if let Ok(tag) = HeaderValue::try_from(&tag) {
        answer.insert(ETAG, tag);
    }
    if !is_match(&headers, entry.mod_revision)? {
        return Err(refused(&state, other_than_matched(entry.mod_revision)));
    }
    if is_not_modified(&headers, &tag)? {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    // What is stored is checked when it is written; a type that is no header value is served as bytes.
    let content_type = HeaderValue::try_from(entry.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    answer.insert(CONTENT_TYPE, content_type);
    // Anybody's HTML must not run with this server's rights in somebody's browser.
    answer.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok((answer, Bytes::copy_from_slice(entry.value)).into_response())
}

/// The headers that every answer about an entry has.
fn common(state: &reading::State, entry: &EntryRef<'_>) -> HeaderMap {
    let mut headers = state.stamped();
    headers.insert(header::VERSION, entry.version.into());
    headers.insert(header::CREATE_REVISION, entry.create_revision.into());
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    // Without this a cache may take Last-Modified for a promise and serve an old value.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let modified = u64::try_from(entry.updated_at_ms)
        .ok()
        .and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
        .filter(|at| *at < UNIX_EPOCH + LAST_HTTP_DATE);
    if let Some(Ok(text)) = modified.map(|at| HeaderValue::try_from(httpdate::fmt_http_date(at))) {
        headers.insert(LAST_MODIFIED, text);
    }
    headers
}

/// An HTTP date has four digits for the year: the end of 9999.
const LAST_HTTP_DATE: Duration = Duration::from_secs(253_402_300_800);

/// What a read is told whose `If-Match` names other revisions.
fn other_than_matched(current: u64) -> Problem {
    let detail = format!("the value is of revision {current}, which If-Match does not name");
    Problem { detail, ..Problem::precondition_failed(current) }
}

/// A refusal that tells which state it is true of.
fn refused(state: &reading::State, problem: Problem) -> ApiError {
    let stream = HeaderValue::try_from(state.stream_id().to_string());
    let error = ApiError::from(problem)
        .with_header(header::REVISION, state.revision().into())
        .with_header(VARY, HeaderValue::from_static("Accept"));
    match stream {
        Ok(stream) => error.with_header(header::STREAM, stream),
        Err(_) => error,
    }
}
