//! What is to be imported: one JSON object, a file with an entry a line, or a directory.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use bytes::Bytes;
use headwater_api::Value;
use headwater_schemas::Key;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::tree;
use crate::exit::Failure;
use crate::input::{Input, MIB};

/// One key, and what it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) change: Change,
}

/// What a key is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Put {
        content_type: Cow<'static, str>,
        value: Bytes,
    },
    /// Gone, provided that this revision changed it last.
    Delete {
        mod_revision: u64,
    },
}

const JSON: &str = "application/json";

/// More than fits on any desk: what never ends is not read for ever.
const MOST_BYTES: u64 = 1024 * MIB;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// One object of keys and values
    Json,
    /// An entry a line
    Ndjson,
}

impl Form {
    /// By the end of its name.
    fn of(path: &Path) -> Self {
        let is_lines = path.extension().is_some_and(|end| end == "ndjson" || end == "jsonl");
        if is_lines { Self::Ndjson } else { Self::Json }
    }
}

/// Reads everything, so that a mistake anywhere is found before the first commit. Nothing at all is one, unless the
/// source says itself that there is nothing: `{}`, or the page of contents of an exported tree.
pub(super) fn read(
    path: &Path,
    form: Option<Form>,
    strip_extension: bool,
) -> Result<Vec<Item>, Failure> {
    let input = Input::named(path);
    if matches!(input, Input::File(path) if path.is_dir()) {
        if form.is_some() {
            let told = format_args!("{input} is a directory, and --format is for files");
            return Err(Failure::usage(told).hint("leave --format out"));
        }
        return tree::read(path, strip_extension);
    }
    let text = input.read(MOST_BYTES)?;
    let read = match form.unwrap_or_else(|| Form::of(path)) {
        Form::Json => object(&text),
        Form::Ndjson => lines(&text),
    };
    read.map_err(|error| error.while_(input))
}

/// The items, of which there must be some.
pub(super) fn some(items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    if items.is_empty() {
        return Err(Failure::failed("there is nothing to import")
            .hint("where nothing is what you mean, import the JSON object {}"));
    }
    Ok(items)
}

pub(super) fn put(key: Key, content_type: impl Into<Cow<'static, str>>, value: Bytes) -> Item {
    Item { key, change: Change::Put { content_type: content_type.into(), value } }
}

/// An entry a line, as `headwater export` and `headwater list --json` write them; more fields may stand there.
fn lines(text: &[u8]) -> Result<Vec<Item>, Failure> {
    #[derive(serde::Deserialize)]
    struct Line {
        namespace: Option<String>,
        key: Key,
        content_type: Option<String>,
        /// A value that is `null` is one, too.
        #[serde(default, deserialize_with = "present")]
        value: Option<Box<RawValue>>,
        value_base64: Option<String>,
    }
    let mut first: Option<String> = None;
    let mut item = |(index, line): (usize, &[u8])| {
        let about = |error: &dyn fmt::Display| {
            Failure::failed(format_args!("line {}: {error}", index + 1)).hint(
                "each line must hold an entry: {\"key\": …, \"content_type\": …, \"value\": …}",
            )
        };
        let line: Line = serde_json::from_slice(line).map_err(|error| about(&error))?;
        if let Some(namespace) = line.namespace
            && first.get_or_insert_with(|| namespace.clone()) != &namespace
        {
            return Err(Failure::failed(format_args!(
                "line {}: an entry of {namespace}, behind entries of another namespace",
                index + 1
            ))
            .hint("import one namespace at a time: give each a file of its own"));
        }
        let content_type = line.content_type.map_or(Cow::Borrowed(JSON), Cow::Owned);
        let value = Value { value: line.value, value_base64: line.value_base64 };
        let value = value.bytes(&content_type).map_err(|error| about(&error))?;
        Ok(put(line.key, content_type, value))
    };
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    some(unique(lines.map(&mut item).collect::<Result<_, Failure>>()?)?)
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    serde::Deserialize::deserialize(from).map(Some)
}

/// Every top-level name of a JSON object becomes a key; its bytes stay as they stand in the file.
fn object(text: &[u8]) -> Result<Vec<Item>, Failure> {
    let Members(members) = serde_json::from_slice(text).map_err(|error| {
        Failure::failed(error).hint("the file must hold one JSON object: {\"key\": value, …}")
    })?;
    let item = |(name, value): (String, Box<RawValue>)| {
        let key = Key::parse(&name).map_err(Failure::failed)?;
        Ok(put(key, JSON, Bytes::from(Box::<str>::from(value).into_string())))
    };
    unique(members.into_iter().map(item).collect::<Result<_, Failure>>()?)
}

/// The members of an object, in order, those that appear twice included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry().map_err(A::Error::custom)? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}

pub(super) fn unique(items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    let mut seen = HashSet::with_capacity(items.len());
    match items.iter().find(|item| !seen.insert(&item.key)) {
        Some(twice) => Err(Failure::failed(format_args!("the key {} appears twice", twice.key))
            .hint("every key may appear once; nothing was imported")),
        None => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(item: &Item) -> (String, String, Bytes) {
        match &item.change {
            Change::Put { content_type, value } => {
                (item.key.to_string(), content_type.to_string(), value.clone())
            }
            Change::Delete { .. } => panic!("a value"),
        }
    }

    #[test]
    fn a_line_may_hold_null_and_only_one_namespace_is_read() {
        let items = lines(b"{\"namespace\":\"a\",\"key\":\"k\",\"value\":null}\n").unwrap();
        assert_eq!(shown(&items[0]).2, "null");
        assert!(lines(b"{\"key\":\"k\"}\n").is_err(), "no value at all");
        let two = b"{\"namespace\":\"a\",\"key\":\"k\",\"value\":1}\n{\"namespace\":\"b\",\"key\":\"l\",\"value\":1}\n";
        assert!(lines(two).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn an_objects_members_keep_their_exact_text_and_order() {
        let items = object(br#"{"b/c": {"x":  1.50}, "a": null}"#).unwrap();
        let read: Vec<_> = items.iter().map(shown).collect();
        let json = "application/json".to_owned();
        let wanted = [("b/c", json.clone(), r#"{"x":  1.50}"#), ("a", json, "null")];
        assert_eq!(read, wanted.map(|(key, json, value)| (key.to_owned(), json, value.into())));
    }

    #[test]
    fn what_is_no_object_and_a_key_that_appears_twice_are_refused() {
        assert!(object(b"[1]").unwrap_err().to_string().contains("one JSON object"));
        assert!(
            object(br#"{"a": 1, "a": 2}"#).unwrap_err().to_string().contains("a appears twice")
        );
        assert!(object(br#"{"a//b": 1}"#).unwrap_err().to_string().contains("empty segment"));
        assert!(object(br#"{"a": 1} x"#).is_err());
    }

    #[test]
    fn a_line_is_an_entry_of_any_type() {
        let text = b"{\"key\":\"a\",\"value\":{\"x\":  1.50},\"version\":3}\n\n{\"key\":\"b\",\"content_type\":\"image/png\",\"value_base64\":\"AP8=\"}\n{\"key\":\"n\",\"value_base64\":\"MQo=\"}";
        let read: Vec<_> = lines(text).unwrap().iter().map(shown).collect();
        assert_eq!(read[0], ("a".into(), JSON.into(), "{\"x\":  1.50}".into()));
        assert_eq!(read[1], ("b".into(), "image/png".into(), Bytes::from_static(b"\0\xff")));
        assert_eq!(read[2], ("n".into(), JSON.into(), "1\n".into()));
        for bad in [
            "{\"key\":\"a\"}",
            "{\"value\":1}",
            "{\"key\":\"a\",\"value\":1}\n{\"key\":\"a\",\"value\":1}",
        ] {
            assert!(lines(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(lines(b"{}\n").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn nothing_is_imported_only_where_the_source_says_so_itself() {
        assert!(object(b"{}").unwrap().is_empty());
        for nothing in [&b""[..], b"\n"] {
            let told = lines(nothing).unwrap_err().to_string();
            assert!(told.contains("nothing to import") && told.contains("{}"), "{told}");
        }
    }
}
