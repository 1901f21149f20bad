//! A request on its way to its upstream, and the answer on its way back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use headwater::Handle;
use http::header::{CONNECTION, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use crate::table::Table;

/// The revision of the table that a request was matched against, in every answer.
const REVISION: HeaderName = HeaderName::from_static("gateway-revision");
/// How long an upstream may take until it begins to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What concerns one connection only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What forwards requests.
pub(crate) struct Proxy {
    table: Handle<Table>,
    upstreams: Client<HttpConnector, Body>,
}

impl Proxy {
    pub(crate) fn new(table: Handle<Table>) -> Self {
        let upstreams = Client::builder(TokioExecutor::new()).build_http();
        Self { table, upstreams }
    }

    pub(crate) fn table(&self) -> &Handle<Table> {
        &self.table
    }

    async fn send(&self, to: &Authority, request: Request) -> Response {
        let request = match addressed(request, to) {
            Ok(request) => request,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        match tokio::time::timeout(PATIENCE, self.upstreams.request(request)).await {
            Ok(Ok(mut answer)) => {
                end_the_hop(answer.headers_mut());
                answer.map(Body::new)
            }
            Ok(Err(error)) => {
                // Why is the business of whoever runs the gateway.
                eprintln!("api-gateway: {to}: {error}");
                refuse(StatusCode::BAD_GATEWAY, "the upstream does not answer")
            }
            Err(_) => refuse(StatusCode::GATEWAY_TIMEOUT, "the upstream does not answer in time"),
        }
    }
}

/// Matches a request against the table as it is now, once, and sends it on.
pub(crate) async fn forward(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let (revision, upstream) = {
        let table = proxy.table.load();
        (table.revision(), table.find(request.method(), request.uri().path()))
    };
    let mut answer = match upstream {
        Some(upstream) => proxy.send(&upstream, request).await,
        None => refuse(StatusCode::NOT_FOUND, "no route matches"),
    };
    answer.headers_mut().insert(REVISION, revision.into());
    answer
}

/// The request as the upstream is to have it.
fn addressed(request: Request, to: &Authority) -> Result<Request, http::Error> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned();
    parts.uri = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(to.clone())
        .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")))
        .build()?;
    end_the_hop(&mut parts.headers);
    // The client says which host it asks.
    parts.headers.remove(HOST);
    Ok(Request::from_parts(parts, body))
}

/// Takes out what concerns the connection that a message came over.
fn end_the_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reaches_its_upstream_with_path_and_query_and_without_the_hops_headers() {
        let request = Request::get("http://gateway/a/b?c=d")
            .header("Host", "gateway")
            .header("Connection", "close, X-Mine")
            .header("X-Mine", "1")
            .header("Keep-Alive", "5")
            .header("Accept", "text/plain")
            .body(Body::empty())
            .unwrap();
        let request = addressed(request, &"up:8080".parse().unwrap()).unwrap();
        assert_eq!(request.uri(), "http://up:8080/a/b?c=d");
        let left: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept"]);
    }
}
