//! The OpenAPI document.
use utoipa::OpenApi;
/// x
pub fn document() -> utoipa::openapi::OpenApi {
    headwater_api::Components::openapi()
}
pub(crate) fn json() -> String {
    document().to_pretty_json().unwrap_or_default()
}
