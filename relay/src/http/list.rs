//! `GET /v1/config/{ns}`: the entries of a namespace, in pages of one revision.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{CursorKind, EntryBody, ListBody};
use headwater_replica::View;
use headwater_schemas::{EntryRef, Hash, Key, Namespace};
use headwater_server::{
    ApiError, ApiResult, NamespacePath, PageLimit, Query, is_not_modified, stamp,
};
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::cursors;
use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    keys_only: bool,
    #[serde(default)]
    at: String,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<String>,
}

/// What an entry costs beside its key and value, in bytes of JSON.
const ENTRY_BYTES: usize = 256;
/// The most entries one looks at to tell whether anything under a prefix changed.
const TAG_ENTRIES: usize = 10_000;

/// A page of the entries of a namespace.
#[utoipa::path(get, path = "/v1/config/{ns}", operation_id = "list_entries", tag = "read",
    params(
        ("ns" = String, Path, description = "The namespace"),
        ("prefix" = Option<String>, Query, description = "A byte prefix of keys; `db/` to stay inside `db`"),
        ("keys_only" = Option<bool>, Query, description = "Entries without their values"),
        ("at" = Option<String>, Query, description = "A revision or an RFC 3339 time; only the head is served yet"),
        ("limit" = Option<u64>, Query, description = "1 to 1,000, 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; all pages of one cursor show one revision"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has: 304 when nothing under the prefix changed"),
    ),
    responses(
        (status = 200, description = "In byte order of keys", body = headwater_api::ListBody, headers(("ETag" = String))),
        (status = 304, description = "Not modified"),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    NamespacePath(namespace): NamespacePath,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let flags = if query.keys_only { "keys" } else { "entries" };
    let scope = [namespace.as_str(), &query.prefix, flags, &query.at];
    let (view, after) = match &query.cursor {
        Some(cursor) => {
            let (view, payload) = desk.resume(cursor, CursorKind::List, &scope)?;
            (view, Some(cursors::name(payload)?))
        }
        None => (desk.view_at(at(&query.at)?)?, None),
    };
    let mut answer = HeaderMap::new();
    stamp(&mut answer, view.revision(), view.head().stream_id);
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let tag = tag(&view, &namespace, &query.prefix);
    if let Ok(tag) = HeaderValue::try_from(&tag) {
        answer.insert(ETAG, tag);
    }
    if is_not_modified(&headers, &tag)? {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let mut page =
        Page { namespace: &namespace, keys_only: query.keys_only, bytes: 0, entries: Vec::new() };
    let more = page.fill(
        &view,
        &query.prefix,
        after.as_deref(),
        query.limit.get(),
        desk.relay.settings.page_bytes,
    )?;
    let last = page.entries.last().filter(|_| more).map(|entry| entry.key.clone());
    let next = last.map(|last| desk.next(&view, last.as_str(), CursorKind::List, &scope));
    let (revision, hash, entries) = (view.revision(), view.head().hash, page.entries);
    let body = ListBody { namespace: namespace.clone(), revision, hash, entries, next };
    Ok((answer, axum::Json(body)).into_response())
}

fn at(text: &str) -> ApiResult<Option<headwater_api::At>> {
    let parse = |text: &str| {
        text.parse().map_err(|error: headwater_api::TimeError| {
            headwater_api::Problem::invalid_request(format!("at: {error}"))
        })
    };
    Ok((!text.is_empty()).then(|| parse(text)).transpose()?)
}

/// A page being filled.
struct Page<'a> {
    namespace: &'a Namespace,
    keys_only: bool,
    bytes: usize,
    entries: Vec<EntryBody>,
}

impl Page<'_> {
    /// Fills it from behind `after`, and says whether there is more.
    fn fill(
        &mut self,
        view: &View,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> ApiResult<bool> {
        for (key, entry) in view.entries(self.namespace.as_str(), prefix, after) {
            if self.entries.len() >= limit || self.bytes >= max_bytes {
                return Ok(true);
            }
            self.push(key, entry)?;
        }
        Ok(false)
    }

    fn push(&mut self, key: &str, entry: EntryRef<'_>) -> ApiResult<()> {
        let key = Key::parse(key).map_err(ApiError::internal)?;
        let body = if self.keys_only {
            EntryBody::without_value(self.namespace, &key, entry)
        } else {
            EntryBody::new(self.namespace, &key, entry)
        };
        let value = body.value.as_ref().map_or(0, |value| value.get().len());
        let base64 = body.value_base64.as_ref().map_or(0, String::len);
        self.bytes += value + base64 + key.as_str().len() + body.actor.len() + ENTRY_BYTES;
        self.entries.push(body);
        Ok(())
    }
}

/// A weak tag (the body names the head, which moves): the same while nothing under `prefix` changed. Under a prefix of
/// more entries than one can look at for every request, while nothing in the namespace did.
fn tag(view: &View, namespace: &Namespace, prefix: &str) -> String {
    let changed = view.totals().of(namespace.as_str()).mod_revision;
    if prefix.is_empty() {
        return format!("W/\"{changed}\"");
    }
    let mut seen = Vec::new();
    for (count, (key, entry)) in view.entries(namespace.as_str(), prefix, None).enumerate() {
        if count >= TAG_ENTRIES {
            return format!("W/\"{changed}\"");
        }
        seen.extend_from_slice(&(key.len() as u64).to_le_bytes());
        seen.extend_from_slice(key.as_bytes());
        seen.extend_from_slice(&entry.mod_revision.to_le_bytes());
    }
    let mut hex = Hash::of(&seen).to_string();
    hex.truncate(32);
    format!("W/\"{hex}\"")
}
