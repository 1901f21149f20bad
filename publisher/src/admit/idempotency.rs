//! What identifies a request that carries an `Idempotency-Key`.

use headwater_api::Problem;
use headwater_schemas::Idempotency;
use headwater_server::IdempotencyKey;
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, request::Parts};

use crate::{Kind, request_digest};

/// The key with the digest of method, path, query, body, content type and conditions; none without a key. `path` is the
/// one way to write it: that of a key can be percent-encoded in many.
pub(crate) fn of(
    kind: Kind,
    path: &str,
    parts: &Parts,
    body: &[u8],
) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = IdempotencyKey::of(&parts.headers)?.0 else { return Ok(None) };
    let header = |name| joined(&parts.headers, &name);
    let request = request_digest(&[
        parts.method.as_str().as_bytes(),
        path.as_bytes(),
        parts.uri.query().unwrap_or_default().as_bytes(),
        body,
        &header(CONTENT_TYPE),
        &header(IF_MATCH),
        &header(IF_NONE_MATCH),
    ]);
    Ok(Some(Idempotency { key, kind: kind.name().into(), request }))
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
    values.join(&b","[..])
}
