//! Who writes, why, and what makes a retry land once: the headers of a write.

use axum::extract::FromRequestParts;
use headwater_api::{Problem, actor_from, header, paths, reason_from, trace};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::ApiError;

/// The longest idempotency key, in characters.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// Who writes and why, as the headers say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// `Headwater-Actor`, decoded.
    pub actor: Option<String>,
    /// `Headwater-Reason`, decoded.
    pub reason: Option<String>,
    /// `traceparent`, when it is well-formed; what is not is ignored, as its specification says.
    pub traceparent: Option<String>,
}

impl Provenance {
    /// Reads the headers.
    ///
    /// # Errors
    /// `invalid_request` when one is there twice, too long, or no percent-encoded UTF-8.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = |name: &HeaderName, read: fn(&str) -> Result<Option<String>, Problem>| {
            let Some(raw) = single(headers, name)? else { return Ok(None) };
            let refuse =
                |error: paths::DecodeError| Problem::invalid_request(format!("{name}: {error}"));
            let raw = std::str::from_utf8(raw).map_err(|_| refuse(paths::DecodeError::Utf8))?;
            read(&paths::decode_text(raw).map_err(refuse)?)
        };
        let traceparent = headers.get(header::TRACEPARENT).and_then(|value| value.to_str().ok());
        Ok(Self {
            actor: text(&header::ACTOR, actor_from)?,
            reason: text(&header::REASON, reason_from)?,
            traceparent: traceparent.filter(|text| trace::is_traceparent(text)).map(str::to_owned),
        })
    }

    /// The actor; without one, `anonymous`.
    pub fn actor_or_anonymous(&self) -> &str {
        self.actor.as_deref().unwrap_or("anonymous")
    }
}

/// The value of a header that may be there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(http::HeaderValue::as_bytes);
    if values.next().is_some() {
        return Err(Problem::invalid_request(format!("the header {name} is there twice")));
    }
    Ok(first)
}

impl<S: Sync> FromRequestParts<S> for Provenance {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::of(&parts.headers)?)
    }
}

/// The `Idempotency-Key` of a write, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdempotencyKey(pub Option<String>);

impl IdempotencyKey {
    /// Reads the header.
    ///
    /// # Errors
    /// `invalid_request` when it is there twice or not 1 to 255 visible ASCII characters.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(raw) = single(headers, &header::IDEMPOTENCY_KEY)? else { return Ok(Self(None)) };
        let visible = raw.iter().all(|byte| (0x21..=0x7E).contains(byte));
        match std::str::from_utf8(raw) {
            Ok(key) if visible && (1..=MAX_IDEMPOTENCY_KEY).contains(&raw.len()) => {
                Ok(Self(Some(key.to_owned())))
            }
            _ => Err(Problem::invalid_request(
                "Idempotency-Key must be 1 to 255 visible ASCII characters; a UUID is a good one",
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self::of(&parts.headers)?)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name.clone(), HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    #[test]
    fn provenance_is_decoded() {
        let read = Provenance::of(&headers(&[
            (header::ACTOR, b"zo%C3%AB"),
            (header::REASON, "größer: 100%25".as_bytes()),
            (header::TRACEPARENT, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ]))
        .unwrap();
        assert_eq!(read.actor.as_deref(), Some("zoë"));
        assert_eq!(read.reason.as_deref(), Some("größer: 100%"));
        assert!(read.traceparent.is_some());
        let none =
            Provenance::of(&headers(&[(header::ACTOR, b""), (header::TRACEPARENT, b"x")])).unwrap();
        assert_eq!((none.actor_or_anonymous(), none.traceparent.as_ref()), ("anonymous", None));
    }

    #[test]
    fn provenance_that_cannot_be_read_is_refused() {
        let long = "x".repeat(2_000);
        for pairs in [
            vec![(header::ACTOR, b"50% off".as_slice())],
            vec![(header::ACTOR, b"%ff")],
            vec![(header::ACTOR, b"\xff")],
            vec![(header::ACTOR, b"a%0Ab")],
            vec![(header::REASON, long.as_bytes())],
            vec![(header::ACTOR, b"a"), (header::ACTOR, b"b")],
        ] {
            assert_eq!(Provenance::of(&headers(&pairs)).unwrap_err().status, 400, "{pairs:?}");
        }
    }

    #[test]
    fn an_idempotency_key_is_visible_ascii_once() {
        let read = |values: &[&[u8]]| {
            let pairs: Vec<_> = values.iter().map(|v| (header::IDEMPOTENCY_KEY, *v)).collect();
            IdempotencyKey::of(&headers(&pairs)).map(|key| key.0)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"\"8e03\"~!"]), Ok(Some("\"8e03\"~!".into())));
        assert_eq!(read(&["x".repeat(255).as_bytes()]).unwrap().unwrap().len(), 255);
        for values in [vec![b"".as_slice()], vec![b"a b"], vec![b"\xc3\xa9"], vec![b"a", b"a"]] {
            assert_eq!(read(&values).unwrap_err().status, 400, "{values:?}");
        }
        assert_eq!(read(&["x".repeat(256).as_bytes()]).unwrap_err().status, 400);
    }
}
