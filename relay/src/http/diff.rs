//! `GET /v1/diff/{ns}`: what two states of a namespace differ in.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{Cursor, CursorKind, DiffBody, DiffPlace, DifferenceBody, EntryBody, Problem};
use headwater_replica::{DiffQuery, KeyDiff};
use headwater_schemas::{Entry, Key, Namespace};
use headwater_server::{ApiResult, NamespacePath, PageLimit, Query, stamp};
use http::HeaderMap;

use super::page::{cut, entry_bytes, values_of};
use crate::reading::at;
use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<String>,
}

/// A page of the keys whose entries differ between two states.
#[utoipa::path(get, path = "/v1/diff/{ns}", operation_id = "get_diff", tag = "read",
    params(
        ("ns" = String, Path, description = "The namespace"),
        ("from" = String, Query, description = "The old state: a revision or an RFC 3339 time"),
        ("to" = Option<String>, Query, description = "The new state, the head by default; it may be the earlier one"),
        ("prefix" = Option<String>, Query, description = "A byte prefix of keys; `db/` to stay inside `db`"),
        ("limit" = Option<u64>, Query, description = "1 to 1,000, 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; all pages of one cursor show the same two states. A page may be short, even empty; only a null `next` is the end"),
    ),
    responses(
        (status = 200, description = "In byte order of keys; one that was put again with the same bytes differs by its version", body = headwater_api::DiffBody),
        (status = 404, description = "`revision_in_future`: above the head", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = 410, description = "`revision_compacted` with `oldest_revision`: this server keeps no older states", content_type = "application/problem+json", body = headwater_api::Problem),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    NamespacePath(namespace): NamespacePath,
    Query(parameters): Query<Parameters>,
) -> ApiResult<Response> {
    let Parameters { from, to, prefix, .. } = &parameters;
    let scope = [namespace.as_str(), prefix, from, to];
    let (from, to, after) = match &parameters.cursor {
        None => desk.between(from, to).await?,
        Some(cursor) => {
            let cursor = desk.cursor(cursor, CursorKind::Diff, &scope).await?;
            let place = DiffPlace::read(&cursor.payload);
            let place = place.map_err(|error| Problem::invalid_cursor(&error))?;
            (place.from, place.to, Some(place.after))
        }
    };
    let query = DiffQuery {
        namespace: namespace.clone(),
        prefix: prefix.clone(),
        after,
        from,
        to,
        limit: parameters.limit.get(),
        max_bytes: values_of(desk.relay.settings.page_bytes),
    };
    let page = desk.ask(from.max(to), |history| history.diff(query.clone())).await?;
    let bodies = page.changes.into_iter().map(|difference| body(&namespace, difference));
    let (changes, is_cut) = cut(bodies.collect(), desk.relay.settings.page_bytes, bytes);
    let last = changes.last().filter(|_| is_cut).map(|last| last.key.clone());
    let stream_id = desk.view()?.head().stream_id;
    let next = last.or(page.next).map(|after| {
        let payload = DiffPlace { from, to, after }.payload();
        Cursor { stream_id, revision: to, payload }.encode(CursorKind::Diff, &scope)
    });
    let mut answer = HeaderMap::new();
    stamp(&mut answer, to, stream_id);
    Ok((answer, axum::Json(DiffBody { from, to, changes, next })).into_response())
}

impl Desk {
    /// The two revisions that a client's `from` and `to` mean now.
    async fn between(&self, from: &str, to: &str) -> Result<(u64, u64, Option<Key>), Problem> {
        let missing =
            || Problem::invalid_request("from: give the revision or the time of the old state");
        let (from, to) = (at("from", from)?.ok_or_else(missing)?, at("to", to)?);
        let view = self.view()?;
        let from = self.revision_of(from, &view).await?;
        let to = match to {
            Some(to) => self.revision_of(to, &view).await?,
            None => view.revision(),
        };
        Ok((from, to, None))
    }
}

fn body(namespace: &Namespace, difference: KeyDiff) -> DifferenceBody {
    let KeyDiff { key, old, new } = difference;
    let entry =
        |entry: Option<Entry>| entry.map(|entry| EntryBody::new(namespace, &key, entry.as_ref()));
    let (old, new) = (entry(old), entry(new));
    DifferenceBody::new(key, old, new)
}

fn bytes(difference: &DifferenceBody) -> usize {
    [&difference.old, &difference.new].into_iter().flatten().map(entry_bytes).sum()
}
