//! Values in JSON bodies: `value` for JSON and text, `value_base64` for every type.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{is_json, is_text};

/// How deep JSON may nest: what common parsers still read.
const MAX_DEPTH: usize = 128;

/// A value as a JSON body has it: one of the two is there.
#[derive(Debug, Clone, Default)]
pub struct Value {
    /// The JSON itself for JSON types, a string for `text/*`.
    pub value: Option<Box<RawValue>>,
    /// The bytes, for every type.
    pub value_base64: Option<String>,
}

/// Why the two fields of a request are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Neither or both.
    #[error("give exactly one of value and value_base64")]
    NotOne,
    /// A `value` of a type that has no JSON form.
    #[error("{0} has no JSON form: send value_base64 instead of value")]
    NeedsBase64(String),
    /// A `value` that is no string, of a text type.
    #[error("value must be a string for {0}")]
    NotAString(String),
    /// `value_base64` is not base64.
    #[error("value_base64 is not base64 (RFC 4648 section 4, with padding)")]
    Base64,
    /// A JSON type whose bytes do not parse.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// Where bytes stop being JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value is not JSON: {message} at line {line}, column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub message: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in bytes.
    pub column: usize,
}

impl Value {
    /// Shows stored bytes: as JSON or text where their type and they themselves allow it, else in base64.
    pub fn show(content_type: &str, bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).ok();
        let raw = if is_json(content_type) {
            text.and_then(|text| RawValue::from_string(text.to_owned()).ok())
        } else if is_text(content_type) {
            text.and_then(|text| serde_json::value::to_raw_value(text).ok())
        } else {
            None
        };
        match raw {
            Some(raw) => Self { value: Some(raw), value_base64: None },
            None => Self { value: None, value_base64: Some(STANDARD.encode(bytes)) },
        }
    }

    /// The bytes it stands for: of a JSON type, exactly the text of the body.
    ///
    /// # Errors
    /// [`ValueError`] when the fields do not fit the type.
    pub fn bytes(&self, content_type: &str) -> Result<Bytes, ValueError> {
        let bytes = match (&self.value, &self.value_base64) {
            (Some(raw), None) if is_json(content_type) => Bytes::from(raw.get().to_owned()),
            (Some(raw), None) if is_text(content_type) => serde_json::from_str::<String>(raw.get())
                .map_err(|_| ValueError::NotAString(content_type.to_owned()))?
                .into(),
            (Some(_), None) => return Err(ValueError::NeedsBase64(content_type.to_owned())),
            (None, Some(text)) => STANDARD.decode(text).map_err(|_| ValueError::Base64)?.into(),
            _ => return Err(ValueError::NotOne),
        };
        if is_json(content_type) {
            check_json(&bytes)?;
        }
        Ok(bytes)
    }
}

/// Checks that bytes are one JSON text in UTF-8, nested no deeper than common parsers read.
///
/// # Errors
/// [`JsonError`] with the place.
pub fn check_json(bytes: &[u8]) -> Result<(), JsonError> {
    let at = |offset: usize, message: &str| {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        JsonError {
            message: message.to_owned(),
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
            column: before.len() - line_start + 1,
        }
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| at(error.valid_up_to(), "bytes are not UTF-8"))?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return Err(JsonError::new(&error, text));
    }
    match too_deep(bytes) {
        Some(offset) => Err(at(offset, "nested deeper than 128 levels")),
        None => Ok(()),
    }
}

impl JsonError {
    /// What serde_json found in `text`, with a place counted from 1. serde_json counts a line break as column 0
    /// of the next line; here it is what follows the last character of its own.
    pub fn new(error: &serde_json::Error, text: &str) -> Self {
        let (line, column) = match (error.line(), error.column()) {
            (line @ 2.., 0) => {
                let cut = text.split('\n').nth(line - 2).unwrap_or_default();
                (line - 1, cut.len() + 1)
            }
            (line, column) => (line.max(1), column.max(1)),
        };
        let told = error.to_string();
        let message = told.rsplit_once(" at line ").map_or(told.as_str(), |(bare, _)| bare);
        Self { message: message.to_owned(), line, column }
    }
}

/// Where valid JSON nests too deep.
fn too_deep(json: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (offset, byte) in json.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(offset);
        }
    }
    None
}

/// A field that may be `null` and yet is there: `value: null` is a value.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    <Box<RawValue> as serde::Deserialize>::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(text: &str) -> Option<Box<RawValue>> {
        Some(RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn json_text_and_bytes_are_shown_in_their_own_field() {
        let show = |content_type: &str, bytes: &[u8]| {
            let shown = Value::show(content_type, bytes);
            (shown.value.map(|raw| raw.get().to_owned()), shown.value_base64)
        };
        assert_eq!(
            show("application/json", b"{\"a\": 1.10}"),
            (Some("{\"a\": 1.10}".into()), None)
        );
        assert_eq!(show("application/json", b"null"), (Some("null".into()), None));
        assert_eq!(show("text/plain", b"a\"b"), (Some("\"a\\\"b\"".into()), None));
        assert_eq!(show("text/plain", b"\xff"), (None, Some("/w==".into())));
        assert_eq!(show("image/png", b"ab"), (None, Some("YWI=".into())));
        assert_eq!(show("application/json", b"{"), (None, Some("ew==".into())));
    }

    #[test]
    fn a_json_value_is_kept_to_the_byte() {
        let value = Value { value: raw("{\"b\":1,  \"a\":1.000}"), value_base64: None };
        assert_eq!(value.bytes("application/json").unwrap(), "{\"b\":1,  \"a\":1.000}");
        assert_eq!(
            Value { value: raw("null"), value_base64: None }.bytes("application/json").unwrap(),
            "null"
        );
    }

    #[test]
    fn fields_that_do_not_fit_the_type_are_refused() {
        let value = |text| Value { value: raw(text), value_base64: None };
        let base64 = |text: &str| Value { value: None, value_base64: Some(text.into()) };
        assert!(matches!(value("1").bytes("text/plain"), Err(ValueError::NotAString(_))));
        assert!(matches!(value("1").bytes("image/png"), Err(ValueError::NeedsBase64(_))));
        assert!(matches!(Value::default().bytes("text/plain"), Err(ValueError::NotOne)));
        assert!(matches!(base64("%%").bytes("image/png"), Err(ValueError::Base64)));
        assert!(matches!(base64("ew==").bytes("application/json"), Err(ValueError::Json(_))));
        assert_eq!(base64("AP8=").bytes("image/png").unwrap().as_ref(), [0, 255]);
        let both = Value { value: raw("1"), value_base64: Some("MQ==".into()) };
        assert!(matches!(both.bytes("application/json"), Err(ValueError::NotOne)));
    }

    #[test]
    fn the_place_of_an_error_is_told() {
        let place = |bytes: &[u8]| check_json(bytes).map_err(|error| (error.line, error.column));
        assert_eq!(place(b"{\n  \"a\": tru\n}"), Err((2, 11)));
        assert_eq!(place(b"\"\xff\""), Err((1, 2)));
        assert_eq!(place(b"1 2"), Err((1, 3)));
        assert_eq!(place(b""), Err((1, 1)));
        assert_eq!(place("[".repeat(129).as_bytes()).unwrap_err().0, 1);
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(place(nested(128).as_bytes()), Ok(()));
        assert_eq!(place(nested(129).as_bytes()), Err((1, 129)));
        assert_eq!(place(b"\"[[[\\\"[[\""), Ok(()));
    }

    proptest! {
        #[test]
        fn bytes_of_any_type_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in any::<String>()) {
            for content_type in ["image/png", "text/plain"] {
                prop_assert_eq!(Value::show(content_type, &bytes).bytes(content_type).unwrap(), bytes.clone());
                prop_assert_eq!(Value::show(content_type, text.as_bytes()).bytes(content_type).unwrap(), text.clone());
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = check_json(&bytes);
        }
    }
}
