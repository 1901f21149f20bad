//! What became of a write, as an answer.

use axum::response::{IntoResponse, Response};
use headwater_api::{Problem, etag, header, paths};
use headwater_server::{ApiError, ApiResult, stamp};
use http::header::{ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{Kind, Receipt, Refusal, Write, Writer, Written, metrics};

/// Writes and answers.
pub(super) async fn write(writer: &Writer, write: Write) -> ApiResult<Response> {
    let to_revision = write.rollback.as_ref().map(|rollback| rollback.to_revision);
    match writer.write(write).await {
        Ok(Written::Committed { receipt, replayed }) => Ok(committed(writer, &receipt, replayed)),
        Ok(Written::Unchanged(body)) => {
            let headers = stamped(writer, body.revision);
            Ok((headers, axum::Json(body)).into_response())
        }
        Ok(Written::DryRun(body)) => {
            let headers = stamped(writer, body.revision);
            Ok((headers, axum::Json(body)).into_response())
        }
        Err(refusal) => Err(refused(refusal, to_revision)),
    }
}

fn refused(refusal: Refusal, to_revision: Option<u64>) -> ApiError {
    let problem = Problem::from(refusal);
    metrics::refused(problem.code.as_str());
    match to_revision {
        Some(to) if problem.status == 413 => problem.in_steps(to).into(),
        _ => problem.into(),
    }
}

/// The headers that say which state an answer is about.
fn stamped(writer: &Writer, revision: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(view) = writer.replica().view() {
        stamp(&mut headers, revision, view.head().stream_id);
    }
    headers
}

fn committed(writer: &Writer, receipt: &Receipt, replayed: bool) -> Response {
    let mut headers = stamped(writer, receipt.body.revision);
    if receipt.kind == Kind::Put {
        insert(&mut headers, ETAG, &etag(receipt.body.revision));
    }
    let status = if receipt.created() { StatusCode::CREATED } else { StatusCode::OK };
    if receipt.created()
        && let [change] = receipt.body.changes.as_slice()
    {
        insert(&mut headers, LOCATION, &paths::config(&change.namespace, &change.key));
    }
    if replayed {
        headers.insert(header::IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    (status, headers, axum::Json(&receipt.body)).into_response()
}

fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
