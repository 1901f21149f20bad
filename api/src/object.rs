//! JSON objects of requests, read strictly.
//!
//! serde's structs take an array of their fields in order, too, and its maps let the last of two equal names win.
//! A request says what it means by names, each once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A `T` that stands as an object, never as an array of its fields.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Whole(PhantomData))
    }
}

struct Whole<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Whole<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// A field that is an object, or null.
pub(crate) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|object| object.0))
}

/// A field that is a list of objects.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|object| object.0).collect())
}

/// A field that is texts by name, each name once.
pub(crate) fn texts<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(Texts)
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((name, text)) = map.next_entry::<String, String>()? {
            match texts.entry(name) {
                Entry::Vacant(place) => place.insert(text),
                Entry::Occupied(held) => {
                    return Err(A::Error::custom(format_args!("duplicate name `{}`", held.key())));
                }
            };
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommitRequest;

    fn read(json: &str) -> Result<CommitRequest, String> {
        let read = serde_json::from_str::<Object<CommitRequest>>(json);
        read.map(|object| object.0).map_err(|error| error.to_string())
    }

    #[test]
    fn an_object_keeps_the_text_of_its_value() {
        let json = r#"{"changes": [{"namespace": "a", "key": "k", "put": {"value":  {"b":1.0,  "a":1e2} },
            "expect": {"absent": true}}], "expects": [{"namespace": "a", "key": "l", "exists": true}],
            "attributes": {"x": "1", "y": "2"}}"#;
        let request = read(json).unwrap();
        let put = request.changes[0].put.as_ref().unwrap();
        assert_eq!(put.value.as_ref().unwrap().get(), r#"{"b":1.0,  "a":1e2}"#);
        assert_eq!(request.changes[0].expect.unwrap().absent, Some(true));
        assert_eq!((request.expects.len(), request.attributes.len()), (1, 2));
        let null = r#"{"changes": [{"namespace": "a", "key": "k", "put": null, "delete": true}]}"#;
        assert!(read(null).unwrap().changes[0].put.is_none());
    }

    #[test]
    fn an_array_of_fields_is_no_object() {
        let change = |rest: &str| {
            format!(r#"{{"changes": [{{"namespace": "a", "key": "k", {rest}}}], "expects": []}}"#)
        };
        for json in [
            r#"[[{"namespace": "a", "key": "k", "put": {"value": 1}}], [], null, null, {}, null]"#,
            r#"{"changes": [["a", "k", {"value": 1}, null, null]]}"#,
            r#"{"changes": [], "expects": [["a", "k", null, true, null]]}"#,
            &change(r#""put": [null, 1, null]"#),
            &change(r#""delete": true, "expect": [1, null, null]"#),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains("expected an object"), "{json}: {error}");
        }
    }

    #[test]
    fn a_name_stands_once() {
        for json in [
            r#"{"changes": [], "attributes": {"a": "1", "b": "2", "a": "1"}}"#,
            r#"{"changes": [], "reason": "a", "reason": "a"}"#,
        ] {
            assert!(read(json).unwrap_err().contains("duplicate"), "{json}");
        }
        assert!(read(r#"{"changes": [], "reasn": "a"}"#).unwrap_err().contains("reasn"));
    }
}
