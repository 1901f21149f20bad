//! The metrics of the edge.

use std::time::Duration;

use http::{Method, StatusCode};

pub(crate) const CONNECTIONS: &str = "headwater_http_connections";
const REQUESTS: &str = "headwater_http_requests_total";
const SECONDS: &str = "headwater_http_request_seconds";
const SENT: &str = "headwater_http_sent_bytes_total";
const CUT: &str = "headwater_http_connections_cut_total";

/// Tells the recorder what the metrics of this crate mean.
pub fn describe() {
    metrics::describe_gauge!(CONNECTIONS, "Open HTTP connections");
    metrics::describe_counter!(REQUESTS, "HTTP requests answered, by method and status");
    metrics::describe_histogram!(SECONDS, "Seconds from a request's headers to its answer's");
    metrics::describe_counter!(SENT, metrics::Unit::Bytes, "Bytes of the bodies of answers");
    metrics::describe_counter!(CUT, "Connections that the server ended under their clients");
    for cut in [Cut::Slow, Cut::Drain] {
        metrics::counter!(CUT, "reason" => cut.reason()).increment(0);
    }
}

/// Why a connection was ended under its client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// The client took no bytes for too long.
    Slow,
    /// It was open when a drain's time was up.
    Drain,
}

impl Cut {
    fn reason(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Drain => "drain",
        }
    }
}

/// Counts connections that were cut.
pub(crate) fn cut(why: Cut, connections: usize) {
    metrics::counter!(CUT, "reason" => why.reason()).increment(connections as u64);
}

/// Counts bytes of answers; made once, as it is counted for every piece.
pub(crate) fn sent() -> metrics::Counter {
    metrics::counter!(SENT)
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
