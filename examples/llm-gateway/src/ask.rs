//! What a tenant asks along a route.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;

use crate::http::{Fresh, Gateway, no_model, refuse};
use crate::model::Model;

/// What a model is asked, all of it from one revision of the rules.
#[derive(Serialize)]
struct Asked<'a> {
    tenant: &'a str,
    route: &'a str,
    #[serde(flatten)]
    fresh: Fresh,
    model: &'a str,
    facts: &'a Model,
    prompt: Prompt<'a>,
}

#[derive(Serialize)]
struct Prompt<'a> {
    name: &'a str,
    version: &'a str,
    text: &'a str,
}

/// Says which model would answer, and with which prompt, if the tenant of the header `Tenant` may ask now.
pub(crate) async fn post(
    State(gateway): State<Arc<Gateway>>,
    Path(route_name): Path<String>,
    headers: HeaderMap,
) -> Response {
    // One load: tenant, route and prompt fit together, whatever changes meanwhile.
    let rules = gateway.rules.load();
    let name = headers.get("tenant").and_then(|name| name.to_str().ok()).unwrap_or_default();
    let Some(tenant) = rules.tenants.get(name) else {
        return refuse(StatusCode::FORBIDDEN, "say who you are in the header Tenant");
    };
    let route = rules.routes.get(&route_name).filter(|_| tenant.routes.contains(&route_name));
    let Some(route) = route else {
        return refuse(
            StatusCode::NOT_FOUND,
            &format!("there is no route {route_name} for {name}"),
        );
    };
    if let Err(wait) = gateway.limits.admit(name, tenant.requests_per_minute, Instant::now()) {
        let wait = wait.as_secs().saturating_add(1).to_string();
        let told = refuse(StatusCode::TOO_MANY_REQUESTS, "this tenant has asked too often");
        return ([(RETRY_AFTER, wait)], told).into_response();
    }
    let labelled = rules.prompts.get(&route.prompt).and_then(|it| it.labelled(&route.label));
    let Some((version, text)) = labelled else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the route has no prompt");
    };
    match gateway.models.find(&route.model) {
        Ok(model) => {
            let prompt = Prompt { name: &route.prompt, version, text };
            let (facts, model) = (&*model.load(), &*route.model);
            let fresh = Fresh::of(rules.value());
            Json(Asked { tenant: name, route: &route_name, fresh, model, facts, prompt })
                .into_response()
        }
        Err(error) => no_model(error),
    }
}
