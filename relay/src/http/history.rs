//! `GET /v1/history/{ns}/{key}`: the versions of a key, newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{
    Cursor, CursorKind, HistoryBody, Op, Problem, Time, Value, VersionBody, VersionsPlace,
};
use headwater_replica::{History, HistoryError, Version, VersionsPage, VersionsQuery};
use headwater_server::{ApiResult, KeyPath, PageLimit, Query, stamp};
use http::HeaderMap;

use super::page::{cut, values_of};
use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<String>,
}

/// What a version costs beside its value, in bytes of JSON.
const VERSION_BYTES: usize = 256;

/// A page of the versions of a key, deletions among them.
#[utoipa::path(get, path = "/v1/history/{ns}/{key}", operation_id = "get_history", tag = "read",
    params(
        ("ns" = String, Path, description = "The namespace"),
        ("key" = String, Path, description = "The key, percent-encoded; `/` and `%2F` are the same"),
        ("limit" = Option<u64>, Query, description = "1 to 1,000, 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; all pages of one cursor show one revision"),
    ),
    responses(
        (status = 200, description = "Newest first", body = headwater_api::HistoryBody),
        (status = 404, description = "`key_not_found`: the key never was", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: this server keeps no older versions", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    KeyPath { namespace, key }: KeyPath,
    Query(parameters): Query<Parameters>,
) -> ApiResult<Response> {
    let scope = [namespace.as_str(), key.as_str()];
    let head = *desk.view()?.head();
    let (revision, place) = match &parameters.cursor {
        None => (head.revision, VersionsPlace { before: head.revision.saturating_add(1) }),
        Some(cursor) => {
            let cursor = desk.cursor(cursor, CursorKind::History, &scope).await?;
            let place = VersionsPlace::read(&cursor.payload);
            (cursor.revision, place.map_err(|error| Problem::invalid_cursor(&error))?)
        }
    };
    let query = VersionsQuery {
        namespace: namespace.clone(),
        key: key.clone(),
        before: place.before,
        limit: parameters.limit.get(),
        max_bytes: values_of(desk.relay.settings.page_bytes),
    };
    let page = desk.versions(&query).await?;
    if page.versions.is_empty() && page.next.is_none() && parameters.cursor.is_none() {
        return Err(Problem::key_not_found(&namespace, &key).into());
    }
    let (versions, next) = bodies(page, desk.relay.settings.page_bytes);
    let next = next.map(|before| {
        let payload = VersionsPlace { before }.payload();
        Cursor { stream_id: head.stream_id, revision, payload }.encode(CursorKind::History, &scope)
    });
    let mut answer = HeaderMap::new();
    stamp(&mut answer, revision, head.stream_id);
    Ok((answer, axum::Json(HistoryBody { versions, next })).into_response())
}

impl Desk {
    /// A page of versions: those in the tail, and where these do not fill it and are not all, those before from history.
    async fn versions(&self, query: &VersionsQuery) -> Result<VersionsPage, Problem> {
        let mut page = match self.recent.versions(query.clone()).await {
            Ok(page) => page,
            Err(HistoryError::Compacted { .. }) => {
                VersionsPage { versions: Vec::new(), next: Some(query.before) }
            }
            Err(HistoryError::Unavailable(why)) => return Err(Problem::not_ready(&why)),
        };
        let bytes: usize = page.versions.iter().map(value_bytes).sum();
        let Some(before) = page.next else { return Ok(page) };
        let rest = VersionsQuery {
            before,
            limit: query.limit.saturating_sub(page.versions.len()),
            max_bytes: query.max_bytes.saturating_sub(bytes),
            ..query.clone()
        };
        if rest.limit == 0 || rest.max_bytes == 0 {
            return Ok(page);
        }
        let older =
            self.ask_history(before.saturating_sub(1), |history| history.versions(rest.clone()));
        match older.await {
            Ok(older) => {
                page.versions.extend(older.versions);
                page.next = older.next;
                Ok(page)
            }
            // What was found is a page; the next one tells what is wrong.
            Err(_) if !page.versions.is_empty() => Ok(page),
            Err(problem) => Err(problem),
        }
    }
}

fn value_bytes(version: &Version) -> usize {
    version.put.as_ref().map_or(0, |put| put.value.len())
}

fn bodies(page: VersionsPage, max_bytes: usize) -> (Vec<VersionBody>, Option<u64>) {
    let bodies = page.versions.into_iter().map(body);
    let (versions, is_cut) = cut(bodies.collect(), max_bytes, |version: &VersionBody| {
        let base64 = version.value_base64.as_ref().map_or(0, String::len);
        version.value.as_ref().map_or(base64, |value| value.get().len()) + VERSION_BYTES
    });
    let last = versions.last().filter(|_| is_cut).map(|last| last.revision);
    (versions, last.or(page.next))
}

fn body(version: Version) -> VersionBody {
    let shown = version.put.as_ref().map(|put| Value::show(&put.content_type, &put.value));
    let Value { value, value_base64 } = shown.unwrap_or_default();
    VersionBody {
        revision: version.revision,
        at: Time(version.at_ms),
        actor: version.actor.to_string(),
        reason: version.reason,
        commit_id: version.commit_id,
        op: if version.put.is_some() { Op::Put } else { Op::Delete },
        content_type: version.put.as_ref().map(|put| put.content_type.to_string()),
        value,
        value_base64,
        version: version.put.map(|put| put.version),
    }
}
