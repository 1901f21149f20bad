//! `GET /openapi.json`.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use headwater_server::{ApiResult, NoQuery, Query};
use http::header::CONTENT_TYPE;

static JSON: LazyLock<String> = LazyLock::new(crate::openapi::json);

/// The document of the whole API.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "operate",
    responses((status = 200, description = "This document", content_type = "application/json", body = String)))]
pub(crate) async fn get(_: Query<NoQuery>) -> ApiResult<Response> {
    Ok(([(CONTENT_TYPE, "application/json")], JSON.as_str()).into_response())
}
