//! Paths: building them, and taking namespace and key out of a raw one.

use std::borrow::Cow;

use headwater_schemas::{Key, Namespace};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::Problem;

/// Current values: `/v1/config/{namespace}/{key}`.
pub const CONFIG: &str = "/v1/config";
/// All namespaces.
pub const NAMESPACES: &str = "/v1/namespaces";
/// Commits: the list, one by revision, and where change sets are posted.
pub const COMMITS: &str = "/v1/commits";
/// The versions of a key: `/v1/history/{namespace}/{key}`.
pub const HISTORY: &str = "/v1/history";
/// What two states of a namespace differ in: `/v1/diff/{namespace}`.
pub const DIFF: &str = "/v1/diff";
/// Where an older state is restored.
pub const ROLLBACK: &str = "/v1/rollback";
/// What this server knows of itself.
pub const STATUS: &str = "/v1/status";
/// The binary stream of live commits.
pub const STREAM: &str = "/v1/stream";
/// Live commits as server-sent events, or by long poll.
pub const WATCH: &str = "/v1/watch";
/// Images by name.
pub const IMAGES: &str = "/v1/images";
/// The manifest of the newest image.
pub const IMAGES_LATEST: &str = "/v1/images/latest";
/// Liveness.
pub const HEALTHZ: &str = "/healthz";
/// Readiness.
pub const READYZ: &str = "/readyz";
/// Prometheus text.
pub const METRICS: &str = "/metrics";
/// The OpenAPI document.
pub const OPENAPI: &str = "/openapi.json";

/// What stands for itself in a path: unreserved characters, and the `/` between segments.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// What stands for itself in a query value or a header value.
const TEXT: &AsciiSet = &PATH.add(b'/');

/// The path of a key's value.
pub fn config(namespace: &Namespace, key: &Key) -> String {
    format!("{CONFIG}/{namespace}/{}", encode_key(key.as_str()))
}

/// The path of a namespace's list.
pub fn list(namespace: &Namespace) -> String {
    format!("{CONFIG}/{namespace}")
}

/// The path of a key's versions.
pub fn history(namespace: &Namespace, key: &Key) -> String {
    format!("{HISTORY}/{namespace}/{}", encode_key(key.as_str()))
}

/// The path of a namespace's differences.
pub fn diff(namespace: &Namespace) -> String {
    format!("{DIFF}/{namespace}")
}

/// The path of one commit.
pub fn commit(revision: u64) -> String {
    format!("{COMMITS}/{revision}")
}

/// The path of one image.
pub fn image(name: &str) -> String {
    format!("{IMAGES}/{}", encode_text(name))
}

/// A key as it stands in a path; `/` stays as it is.
pub fn encode_key(key: &str) -> String {
    utf8_percent_encode(key, PATH).to_string()
}

/// Any text as it stands in one path segment, a query value or a header value.
pub fn encode_text(text: &str) -> String {
    utf8_percent_encode(text, TEXT).to_string()
}

/// Why a percent-encoded text cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A `%` without two hex digits behind it.
    #[error("a % is not followed by two hex digits; write %25 for a percent sign")]
    Escape,
    /// The decoded bytes are not UTF-8.
    #[error("the percent-encoded bytes are not UTF-8")]
    Utf8,
}

/// Decodes percent-encoded UTF-8, once.
///
/// # Errors
/// [`DecodeError`]: nothing is replaced or guessed.
pub fn decode_text(raw: &str) -> Result<Cow<'_, str>, DecodeError> {
    let bytes = raw.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        let escaped = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        if *byte == b'%' && !(escaped(index + 1) && escaped(index + 2)) {
            return Err(DecodeError::Escape);
        }
    }
    percent_decode(bytes).decode_utf8().map_err(|_| DecodeError::Utf8)
}

/// What a path under [`CONFIG`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The namespace.
    pub namespace: Namespace,
    /// The key; none for the namespace itself.
    pub key: Option<Key>,
}

/// Takes namespace and key out of a raw (still encoded) path such as `/v1/config/payments.prod/db%2Fpool`
/// below `base` (`/v1/config`). Nothing is normalised: an empty segment is an empty segment.
///
/// # Errors
/// A problem `invalid_name`, or `not_found` when the path is not below `base`.
pub fn split(base: &str, raw_path: &str) -> Result<Target, Problem> {
    let rest = raw_path
        .strip_prefix(base)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or_else(|| Problem::not_found(raw_path))?;
    let (namespace, key) = match rest.split_once('/') {
        Some((namespace, key)) => (namespace, Some(key)),
        None => (rest, None),
    };
    let decode = |raw| decode_text(raw).map_err(|error| Problem::invalid_name(&error));
    let namespace =
        Namespace::parse(&decode(namespace)?).map_err(|error| Problem::invalid_name(&error))?;
    let key = key
        .map(|raw| Key::parse(&decode(raw)?).map_err(|error| Problem::invalid_name(&error)))
        .transpose()?;
    Ok(Target { namespace, key })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key_of(path: &str) -> Result<String, Problem> {
        split(CONFIG, path).map(|target| target.key.map_or(String::new(), |k| k.to_string()))
    }

    #[test]
    fn a_slash_and_its_escape_are_the_same() {
        for path in
            ["/v1/config/a.b/db/pool", "/v1/config/a.b/db%2Fpool", "/v1/config/a%2Eb/db%2fpool"]
        {
            let target = split(CONFIG, path).unwrap();
            assert_eq!(
                (target.namespace.as_str(), key_of(path).unwrap().as_str()),
                ("a.b", "db/pool")
            );
        }
    }

    #[test]
    fn escapes_are_decoded_exactly_once() {
        assert_eq!(key_of("/v1/config/a/100%2525").unwrap(), "100%25");
        assert_eq!(key_of("/v1/config/a/100%25").unwrap(), "100%");
        assert_eq!(key_of("/v1/config/a/a+b").unwrap(), "a+b");
        assert_eq!(key_of("/v1/config/a/%C3%A9").unwrap(), "é");
        assert_eq!(key_of("/v1/config/a").unwrap(), "");
    }

    #[test]
    fn what_is_not_a_name_is_refused_and_never_normalised() {
        for path in [
            "/v1/config/a/",
            "/v1/config/a//b",
            "/v1/config/a/b/",
            "/v1/config/a/b//c",
            "/v1/config/a/./b",
            "/v1/config/a/%2e%2e/b",
            "/v1/config/a/%2F",
            "/v1/config/a/%ff",
            "/v1/config/a/%zz",
            "/v1/config/a/%2",
            "/v1/config/a/%",
            "/v1/config/a/%00",
            "/v1/config/A/b",
            "/v1/config//b",
            "/v1/config/",
            "/v1/config/a..b/k",
            "/v1/config/a%2Fb",
        ] {
            assert_eq!(split(CONFIG, path).unwrap_err().code, crate::Code::InvalidName, "{path}");
        }
        assert_eq!(split(CONFIG, "/v1/confix/a").unwrap_err().code, crate::Code::NotFound);
    }

    proptest! {
        #[test]
        fn any_key_comes_back_from_its_path(text in "\\PC{1,40}") {
            let Ok(key) = Key::parse(&text) else { return Ok(()) };
            let namespace = Namespace::parse("payments.prod").unwrap();
            let path = config(&namespace, &key);
            prop_assert!(path.is_ascii());
            prop_assert_eq!(split(CONFIG, &path).unwrap(), Target { namespace, key: Some(key) });
        }

        #[test]
        fn any_text_comes_back_from_its_encoding(text in any::<String>()) {
            let encoded = encode_text(&text);
            prop_assert_eq!(decode_text(&encoded).unwrap(), text);
        }

        #[test]
        fn no_path_panics(path in any::<String>()) {
            let _ = split(CONFIG, &format!("/v1/config/{path}"));
        }
    }
}
