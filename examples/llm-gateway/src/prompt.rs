//! One version of a prompt.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::http::{Gateway, refuse};

/// The label that counts when nothing else is asked for.
const LABEL: &str = "production";

/// Which version is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    label: Option<String>,
    version: Option<String>,
}

/// The text, as it was put, with its version and the revision of the rules it was taken from.
pub(crate) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let rules = gateway.rules.load();
    let found = rules.prompts.get(&name).and_then(|prompt| match which.version {
        Some(version) => prompt.version(&version),
        None => prompt.labelled(which.label.as_deref().unwrap_or(LABEL)),
    });
    let Some((version, text)) = found else {
        return refuse(
            StatusCode::NOT_FOUND,
            &format!("there is no such version of a prompt {name}"),
        );
    };
    let headers = [
        ("prompt-version", version.to_owned()),
        ("gateway-revision", rules.revision().to_string()),
    ];
    (headers, text.to_owned()).into_response()
}
