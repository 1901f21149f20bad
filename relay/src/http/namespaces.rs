//! `GET /v1/namespaces`: what there is, in pages of one revision.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use headwater_api::{CursorKind, NamespaceBody, NamespacesBody};
use headwater_server::{ApiResult, PageLimit, Query, stamp};
use http::HeaderMap;

use crate::cursors;
use crate::relay::Desk;

#[derive(Debug, serde::Deserialize)]
pub(crate) struct Parameters {
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<String>,
}

/// A page of the namespaces that anybody ever wrote to. The system's own are not listed: nobody can read them here.
#[utoipa::path(get, path = "/v1/namespaces", operation_id = "list_namespaces", tag = "read",
    params(
        ("limit" = Option<u64>, Query, description = "1 to 1,000, 100 by default", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before; all pages of one cursor show one revision"),
    ),
    responses(
        (status = 200, description = "In byte order of names", body = headwater_api::NamespacesBody),
        (status = "default", description = "A problem", content_type = "application/problem+json", body = headwater_api::Problem),
    ))]
pub(crate) async fn get(
    State(desk): State<Arc<Desk>>,
    Query(query): Query<Parameters>,
) -> ApiResult<Response> {
    let (view, after) = match &query.cursor {
        Some(cursor) => {
            let (view, payload) = desk.resume(cursor, CursorKind::Namespaces, &[]).await?;
            (view, Some(cursors::name(payload)?))
        }
        None => (desk.view()?, None),
    };
    let listed = view.totals().namespaces().filter(|(name, _)| {
        !name.is_system() && after.as_deref().is_none_or(|after| name.as_str() > after)
    });
    let limit = query.limit.get();
    let mut namespaces: Vec<_> =
        listed.take(limit + 1).map(|(name, part)| NamespaceBody::new(name, part)).collect();
    let more = namespaces.len() > limit;
    namespaces.truncate(limit);
    let last = namespaces.last().filter(|_| more).map(|last| last.name.clone());
    let next = last.map(|last| desk.next(&view, last.as_str(), CursorKind::Namespaces, &[]));
    let mut answer = HeaderMap::new();
    stamp(&mut answer, view.revision(), view.head().stream_id);
    let body = NamespacesBody { revision: view.revision(), namespaces, next };
    Ok((answer, axum::Json(body)).into_response())
}
