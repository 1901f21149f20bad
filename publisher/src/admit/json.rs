//! The content type of a raw value, and whether its bytes are what it says.

use std::sync::Arc;

use headwater_api::{Problem, check_json, effective_media_type, is_json};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// The content type a raw value is stored with; values of JSON types must parse. A value is not stored with a content coding,
/// so that one under it could be read by nobody (RFC 9110, 8.4).
pub(crate) fn content_type(headers: &HeaderMap, value: &[u8]) -> Result<Arc<str>, Problem> {
    if headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(Problem::content_encoded());
    }
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let first = given.next();
    if given.next().is_some() {
        return Err(Problem::invalid_request("the header Content-Type is there twice"));
    }
    let text = first.map(|value| value.to_str()).transpose().map_err(|_| {
        Problem::invalid_request("the content type is not of the form type/subtype, for example text/plain; charset=utf-8")
    })?;
    let content_type = effective_media_type(text).map_err(Problem::invalid_request)?;
    if is_json(content_type) {
        check_json(value).map_err(|error| {
            let problem = Problem::invalid_json(&error);
            let detail =
                format!("{}; send Content-Type: text/plain for what is no JSON", problem.detail);
            Problem { detail, ..problem }
        })?;
    }
    Ok(content_type.into())
}
