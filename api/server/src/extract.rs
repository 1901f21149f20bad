//! Strict extraction of paths and JSON bodies.

use axum::extract::FromRequestParts;
use headwater_api::{DEFAULT_MEDIA_TYPE, JsonError, Object, Problem, essence, paths};
use headwater_schemas::{Key, Namespace};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::ApiError;

/// Namespace and key of `/v1/<anything>/{namespace}/{key}`, from the raw path: `/` and `%2F` are the same,
/// nothing is normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath {
    /// The namespace; never one of the system's.
    pub namespace: Namespace,
    /// The key.
    pub key: Key,
}

/// The namespace of `/v1/<anything>/{namespace}`; never one of the system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePath(pub Namespace);

/// Reads what stands behind the first two segments of a path.
fn target(parts: &Parts) -> Result<paths::Target, Problem> {
    let path = parts.uri.path();
    let base =
        path.match_indices('/').nth(2).map_or(path, |(end, _)| path.get(..end).unwrap_or(path));
    let target = paths::split(base, path)?;
    if target.namespace.is_system() {
        return Err(Problem::reserved_namespace(&target.namespace));
    }
    Ok(target)
}

impl<S: Sync> FromRequestParts<S> for KeyPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match target(parts)? {
            paths::Target { namespace, key: Some(key) } => Ok(Self { namespace, key }),
            paths::Target { .. } => Err(Problem::not_found(parts.uri.path()).into()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for NamespacePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match target(parts)? {
            paths::Target { namespace, key: None } => Ok(Self(namespace)),
            paths::Target { .. } => Err(Problem::not_found(parts.uri.path()).into()),
        }
    }
}

/// A body that was read, as a JSON object, strict: the content type must say so, and no unknown field passes.
///
/// # Errors
/// `unsupported_media_type`, `invalid_json`, or `invalid_request` when the object does not fit.
pub fn read_json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    require_json(headers)?;
    parse(body)
}

/// `application/json`, parameters allowed: a web page cannot send it elsewhere without being asked first.
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut given = headers.get_all(CONTENT_TYPE).iter().map(|value| value.to_str());
    match (given.next(), given.next()) {
        (Some(Ok(given)), None) if essence(given) == DEFAULT_MEDIA_TYPE => Ok(()),
        _ => Err(Problem::unsupported_media_type(DEFAULT_MEDIA_TYPE)),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        // A Latin-1 byte in a string is the usual cause; the checker knows the place.
        let place = headwater_api::check_json(body).err();
        let message = error.to_string();
        Problem::invalid_json(&place.unwrap_or(JsonError { message, line: 1, column: 1 }))
    })?;
    let read = serde_json::from_str::<Object<T>>(text);
    read.map(|object| object.0).map_err(|error| {
        let place = JsonError::new(&error, text);
        if !error.is_data() {
            return not_json(&place);
        }
        // What does not fit may end before what is no JSON at all.
        headwater_api::check_json(body)
            .map_or_else(|place| not_json(&place), |()| Problem::invalid_request(at(&place)))
    })
}

fn not_json(place: &JsonError) -> Problem {
    let detail = format!("the body is not JSON: {}", at(place));
    Problem { detail, ..Problem::invalid_json(place) }
}

fn at(place: &JsonError) -> String {
    format!("{} at line {}, column {}", place.message, place.line, place.column)
}

/// Whether `Accept` names this very media type.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|accept| headwater_api::accepts(accept, media_type))
}

#[cfg(test)]
mod tests {
    use headwater_api::{Code, CommitRequest};

    use super::*;

    fn problem(body: &[u8]) -> Problem {
        parse::<CommitRequest>(body).unwrap_err()
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let cut = problem(b"{\n  \"changes\": [");
        assert_eq!(
            (cut.code, cut.number("line"), cut.number("column")),
            (Code::InvalidJson, Some(2), Some(14))
        );
        let latin = problem(b"{\"reason\": \"\xe9\"}");
        assert_eq!((latin.code, latin.number("column")), (Code::InvalidJson, Some(13)));
        assert_eq!(problem(b"").code, Code::InvalidJson);
        assert_eq!(problem(b"{} x").code, Code::InvalidJson);
        // Of the two it is no JSON first, wherever it stops fitting.
        for body in [&b"["[..], b"{\"reasn\": 1, \"changes\": [}", b"{\"changes\": 1", b"null null"]
        {
            let both = problem(body);
            assert_eq!((both.code, both.number("line")), (Code::InvalidJson, Some(1)));
            assert!(both.detail.starts_with("the body is not JSON"), "{}", both.detail);
        }
        assert_eq!(problem(b"{\"changes\": []} x").code, Code::InvalidJson);
    }

    #[test]
    fn what_does_not_fit_is_an_invalid_request_that_names_the_field() {
        for (body, name) in [
            (b"{\"changes\": [], \"reasn\": 1}".as_slice(), "reasn"),
            (b"{\"changes\": 1}", "expected a sequence"),
            (b"[[], [], null, null, {}, null]", "expected an object"),
            (b"{}", "changes"),
            (b"{\"changes\": [], \"changes\": []}", "changes"),
        ] {
            let problem = problem(body);
            assert_eq!(problem.code, Code::InvalidRequest);
            assert!(problem.detail.contains(name), "{}", problem.detail);
        }
    }
}
