//! Reading a request's body, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use headwater_api::Problem;
use http_body::Body as _;
use http_body_util::BodyExt;

/// How long a body may take: the edge puts it into every request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// The wait where no edge has set one.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of at most `limit` bytes; `too_large` makes the refusal of (limit, actual).
/// What is announced as larger is refused before it is read.
///
/// # Errors
/// The refusal, `request_timeout`, or `invalid_request` when the client stopped in the middle.
pub async fn read_body(
    body: Body,
    limit: usize,
    timeout: Option<BodyTimeout>,
    too_large: impl Fn(usize, usize) -> Problem,
) -> Result<Bytes, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limit, announced));
    }
    let timeout = timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0);
    match tokio::time::timeout(timeout, collect(body, limit, too_large)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::request_timeout(timeout)),
    }
}

async fn collect(
    mut body: Body,
    limit: usize,
    too_large: impl Fn(usize, usize) -> Problem,
) -> Result<Bytes, Problem> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::invalid_request("the body was cut off; send as many bytes as announced")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let actual = whole.len() + data.len();
        if actual > limit {
            return Err(too_large(limit, actual));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
