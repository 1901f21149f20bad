//! Bytes with a content type → a value of the service's own type.

use headwater_api::{is_json, is_text};
use headwater_schemas::EntryRef;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{BytesDeserializer, Error as PlainError, StrDeserializer};
use serde_json::Value as Json;

use crate::error::ValueError;

/// Decodes one entry: JSON types as JSON, `text/*` as a string, everything else as bytes.
pub(crate) fn decode<T: DeserializeOwned>(
    namespace: &str,
    key: &str,
    entry: EntryRef<'_>,
) -> Result<T, ValueError> {
    let decoded = if is_json(entry.content_type) {
        serde_json::from_slice(entry.value).map_err(|error| error.to_string())
    } else if is_text(entry.content_type) {
        text(entry.value)
    } else {
        bytes(entry.value)
    };
    decoded.map_err(|reason| refused(namespace, key, entry.mod_revision, reason))
}

/// An entry as JSON, to be part of something greater: text is a string, and so are other bytes that are UTF-8.
pub(crate) fn to_json(entry: EntryRef<'_>) -> Result<Json, String> {
    if is_json(entry.content_type) {
        return serde_json::from_slice(entry.value).map_err(|error| error.to_string());
    }
    let text = std::str::from_utf8(entry.value);
    text.map(Json::from).map_err(|error| format!("neither JSON nor UTF-8: {error}"))
}

/// The error that says what is wrong with one value.
pub(crate) fn refused(namespace: &str, key: &str, revision: u64, reason: String) -> ValueError {
    ValueError { namespace: namespace.into(), key: key.into(), revision, reason }
}

fn text<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(value).map_err(|error| format!("not UTF-8: {error}"))?;
    let from: StrDeserializer<'_, PlainError> = text.into_deserializer();
    T::deserialize(from).map_err(|error| error.to_string())
}

fn bytes<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    let from: BytesDeserializer<'_, PlainError> = value.into_deserializer();
    T::deserialize(from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(content_type: &'a str, value: &'a [u8]) -> EntryRef<'a> {
        EntryRef {
            content_type,
            value,
            version: 1,
            create_revision: 7,
            mod_revision: 7,
            updated_at_ms: 0,
            actor: "a",
        }
    }

    #[test]
    fn json_types_decode_as_json() {
        for content_type in
            ["application/json", "application/json; charset=utf-8", "application/problem+json"]
        {
            assert_eq!(decode::<u32>("ns", "k", entry(content_type, b"42")), Ok(42));
        }
    }

    #[test]
    fn text_decodes_as_a_string_and_never_as_a_number() {
        assert_eq!(decode::<String>("ns", "k", entry("text/plain", b"42")), Ok("42".to_owned()));
        assert!(decode::<u32>("ns", "k", entry("text/plain", b"42")).is_err());
        assert!(decode::<String>("ns", "k", entry("text/plain", &[0xFF])).is_err());
    }

    #[test]
    fn other_types_decode_as_bytes() {
        #[derive(serde::Deserialize, PartialEq, Debug)]
        #[serde(transparent)]
        struct Text(String);
        let text = decode::<Text>("ns", "k", entry("application/yaml", b"a: 1"));
        assert_eq!(text, Ok(Text("a: 1".to_owned())), "valid UTF-8 serves a String as well");
    }

    #[test]
    fn an_error_names_the_key_and_the_revision() {
        let error =
            decode::<u32>("ns", "db/limit", entry("application/json", b"\"x\"")).unwrap_err();
        assert_eq!(
            (error.namespace.as_str(), error.key.as_str(), error.revision),
            ("ns", "db/limit", 7)
        );
        assert!(error.to_string().starts_with("ns/db/limit at revision 7: invalid type"));
    }
}
