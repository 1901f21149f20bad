//! The metrics of the edge.

use std::time::Duration;

use http::{Method, StatusCode};

pub(crate) const CONNECTIONS: &str = "headwater_http_connections";
const REQUESTS: &str = "headwater_http_requests_total";
const SECONDS: &str = "headwater_http_request_seconds";

/// Tells the recorder what the metrics of this crate mean.
pub fn describe() {
    metrics::describe_gauge!(CONNECTIONS, "Open HTTP connections");
    metrics::describe_counter!(REQUESTS, "HTTP requests answered, by method and status");
    metrics::describe_histogram!(SECONDS, "Seconds from a request's headers to its answer's");
}

/// Counts one answer. Methods are a closed set, so that no client can make labels.
pub(crate) fn answered(method: &Method, status: StatusCode, took: Duration) {
    let method = match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let status = status.as_u16().to_string();
    metrics::counter!(REQUESTS, "method" => method, "status" => status).increment(1);
    metrics::histogram!(SECONDS, "method" => method).record(took.as_secs_f64());
}
