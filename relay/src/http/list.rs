//! `GET /v1/config/{ns}`: the entries of a namespace, in pages of one revision.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{CursorKind, EntryBody, ListBody, Problem, key_place, list_scope};
use headwater_replica::{EntriesPage, EntriesQuery, View};
use headwater_schemas::{EntryRef, Hash, Key, Namespace};
use headwater_server::{ApiError, ApiResult, NamespacePath, PageLimit, Query, is_not_modified};
use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::page::{cut, entry_bytes, values_of};
use crate::reading::{self, at};
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

/// The most entries one looks at to tell whether anything under a prefix changed.
const TAG_ENTRIES: usize = 10_000;

/// A page of the entries of a namespace.
#[utoipa::path(get, path = "/v1/config/{ns}", operation_id = "list_entries", tag = "read",
    params(
        ("ns" = String, Path, description = "The namespace"),
        ("prefix" = Option<String>, Query, description = "A byte prefix of keys; `db/` to stay inside `db`"),
        ("keys_only" = Option<bool>, Query, description = "Entries without their values"),
        ("at" = Option<String>, Query, description = "The state at a revision, or after the last commit at or before an RFC 3339 time; the head by default"),
        ("limit" = Option<u64>, Query, description = "1 to 1,000, 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; all pages of one cursor show one revision"),
        ("If-None-Match" = Option<String>, Header, description = "An ETag that the client has: 304 when nothing under the prefix changed"),
    ),
    responses(
        (status = 200, description = "In byte order of keys", body = headwater_api::ListBody, headers(("ETag" = String))),
        (status = 304, description = "Not modified"),
        (status = 404, description = "`revision_in_future`: `at` is above the head", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: this server keeps no older states; of a cursor, too", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    NamespacePath(namespace): NamespacePath,
    Query(query): Query<Parameters>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let scope = list_scope(namespace.as_str(), &query.prefix, query.keys_only, &query.at);
    let (state, after) = match &query.cursor {
        Some(cursor) => {
            let cursor = desk.cursor(cursor, CursorKind::List, &scope).await?;
            let after = key_place(&cursor.payload);
            let after = after.map_err(|error| Problem::invalid_cursor(&error))?;
            (desk.state_of(&cursor)?, Some(after))
        }
        None => (desk.state_at(at("at", &query.at)?).await?, None),
    };
    let mut answer = state.stamped();
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let listing = Listing {
        namespace: &namespace,
        query: &query,
        after,
        max_bytes: desk.relay.settings.page_bytes,
    };
    let tag = desk.tag(&state, &listing).await?;
    if let Ok(tag) = HeaderValue::try_from(&tag) {
        answer.insert(ETAG, tag);
    }
    if is_not_modified(&headers, &tag)? {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    let (page, hash) = desk.page(&state, &listing).await?;
    let next = page.next.map(|last| {
        desk.go_on(&state, last.as_str().as_bytes().to_vec(), CursorKind::List, &scope)
    });
    let body = ListBody {
        namespace: namespace.clone(),
        revision: state.revision(),
        hash,
        entries: page.entries,
        next,
    };
    Ok((answer, axum::Json(body)).into_response())
}

/// What a page is to list.
struct Listing<'a> {
    namespace: &'a Namespace,
    query: &'a Parameters,
    after: Option<Key>,
    max_bytes: usize,
}

/// A page, and the key behind which the next begins.
#[derive(Default)]
struct Page {
    entries: Vec<EntryBody>,
    next: Option<Key>,
    bytes: usize,
}

impl Listing<'_> {
    fn body(&self, key: &Key, entry: EntryRef<'_>) -> EntryBody {
        if self.query.keys_only {
            EntryBody::without_value(self.namespace, key, entry)
        } else {
            EntryBody::new(self.namespace, key, entry)
        }
    }

    /// A page of a state that this server holds.
    fn of_view(&self, view: &View) -> ApiResult<Page> {
        let after = self.after.as_ref().map(Key::as_str);
        let mut page = Page::default();
        for (key, entry) in view.entries(self.namespace.as_str(), &self.query.prefix, after) {
            let is_full =
                page.entries.len() >= self.query.limit.get() || page.bytes >= self.max_bytes;
            if is_full && let Some(last) = page.entries.last() {
                page.next = Some(last.key.clone());
                break;
            }
            let key = Key::parse(key).map_err(ApiError::internal)?;
            let body = self.body(&key, entry);
            page.bytes += entry_bytes(&body);
            page.entries.push(body);
        }
        Ok(page)
    }

    /// A page of an older state, as history gave it.
    fn of_history(&self, found: EntriesPage) -> Page {
        let bodies = found.entries.iter().map(|(key, entry)| self.body(key, entry.as_ref()));
        let (entries, is_cut) = cut(bodies.collect(), self.max_bytes, entry_bytes);
        let last = entries.last().map(|last| last.key.clone());
        Page { next: if is_cut { last } else { found.next }, entries, bytes: 0 }
    }
}

impl Desk {
    /// A page of a state, and the chain hash there.
    async fn page(&self, state: &reading::State, listing: &Listing<'_>) -> ApiResult<(Page, Hash)> {
        let revision = match state {
            reading::State::Now(view) => return Ok((listing.of_view(view)?, view.head().hash)),
            reading::State::Then { revision, .. } => *revision,
        };
        let query = EntriesQuery {
            namespace: listing.namespace.clone(),
            prefix: listing.query.prefix.clone(),
            after: listing.after.clone(),
            revision,
            limit: listing.query.limit.get(),
            max_bytes: values_of(listing.max_bytes),
        };
        let found = self.ask(revision, |history| history.entries(query.clone())).await?;
        let hash = self.ask(revision, |history| history.hash_at(revision)).await?;
        let missing = || Problem::not_ready(&format!("history does not know revision {revision}"));
        Ok((listing.of_history(found), hash.ok_or_else(missing)?))
    }

    /// A weak tag (the body names the state's revision, which moves): the same while nothing that is listed changed. Of the
    /// state of another time, while nothing in the namespace did.
    async fn tag(&self, state: &reading::State, listing: &Listing<'_>) -> ApiResult<String> {
        let namespace = listing.namespace.as_str();
        let changed = match state {
            reading::State::Now(view) if listing.query.at.is_empty() => {
                return Ok(tag_of(view, listing));
            }
            reading::State::Now(view) => view.totals().of(namespace).mod_revision,
            reading::State::Then { revision, .. } => {
                let upto = *revision;
                let asked = self.ask(upto, |history| history.last_change(namespace, None, upto));
                match asked.await {
                    Ok(changed) => changed,
                    // It was before what this server knows: the state itself may still be told.
                    Err(_) => return Ok(format!("W/\"at-{upto}\"")),
                }
            }
        };
        Ok(format!("W/\"{changed}\""))
    }
}

/// Under a prefix of more entries than one can look at for every request, the same while nothing in the namespace changed.
fn tag_of(view: &View, listing: &Listing<'_>) -> String {
    let (namespace, prefix) = (listing.namespace.as_str(), listing.query.prefix.as_str());
    let changed = view.totals().of(namespace).mod_revision;
    if prefix.is_empty() {
        return format!("W/\"{changed}\"");
    }
    let mut seen = Vec::new();
    for (count, (key, entry)) in view.entries(namespace, prefix, None).enumerate() {
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
