//! A change set in a file: JSON, whose values keep their exact bytes, or YAML, which says the same with less ink.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use headwater_api::{CommitRequest, Object};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_saphyr::{MessageFormatter, UserMessageFormatter};

use crate::exit::Failure;
use crate::input::{Input, MIB};

/// More than the largest change set is in any form; a wrong file is not read for ever.
const MAX_BYTES: u64 = 16 * MIB;

pub(super) fn read(path: &Path) -> Result<CommitRequest, Failure> {
    let input = Input::named(path);
    let about = |error: &dyn fmt::Display| {
        Failure::failed(format_args!("{input}: {error}"))
            .hint("`headwater commit --help` shows the form")
    };
    let bytes = input.read(MAX_BYTES)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|error| about(&format_args!("byte {} is no UTF-8", error.valid_up_to() + 1)))?;
    if text.trim().is_empty() {
        return Err(about(&"there is nothing in it"));
    }
    let is_json = path.extension().is_some_and(|end| end == "json");
    let parsed = if is_json { of_json(text) } else { parse(text) };
    parsed.map_err(|error| about(&error))
}

fn parse(text: &str) -> Result<CommitRequest, String> {
    if text.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    {
        return of_json(text);
    }
    // YAML 1.2: a country code is no truth value, and a version no number.
    let options = serde_saphyr::options! {
        strict_booleans: true, underscored_numbers_as_strings: true, with_snippet: false,
    };
    let ordered: Ordered = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| error.render_with_formatter(&Plain))?;
    let json = serde_json::to_string(&ordered).map_err(|error| error.to_string())?;
    // Its places are those of a text that nobody wrote.
    of_json(&json).map_err(|error| error.split(" at line ").next().unwrap_or_default().to_owned())
}

/// What is wrong with a YAML text, for who wrote it: nothing of how a program would read it another way.
struct Plain;

impl MessageFormatter for Plain {
    fn format_message<'a>(&self, error: &'a serde_saphyr::Error) -> Cow<'a, str> {
        match error {
            serde_saphyr::Error::MultipleDocuments { .. } => {
                "a second document begins here: a change set is one; give each a file of its own"
                    .into()
            }
            serde_saphyr::Error::NullIntoString { .. } => "a name must be a text, not null".into(),
            _ => UserMessageFormatter.format_message(error),
        }
    }
}

fn of_json(text: &str) -> Result<CommitRequest, String> {
    let read: Result<Object<CommitRequest>, _> = serde_json::from_str(text);
    read.map(|object| object.0).map_err(|error| error.to_string())
}

/// What a YAML document says, names in the order in which they stand: the bytes that are stored follow it.
#[derive(Debug, Clone, PartialEq)]
enum Ordered {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Ordered>),
    Names(Vec<(String, Ordered)>),
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Unsigned(number) => to.serialize_u64(*number),
            Self::Signed(number) => to.serialize_i64(*number),
            Self::Float(number) if !number.is_finite() => {
                Err(serde::ser::Error::custom("JSON has no infinite numbers"))
            }
            Self::Float(number) => to.serialize_f64(*number),
            Self::Text(text) => to.serialize_str(text),
            Self::List(items) => items.serialize(to),
            Self::Names(names) => {
                let mut map = to.serialize_map(Some(names.len()))?;
                for (name, value) in names {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what JSON can say")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Null)
    }

    fn visit_none<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Ordered, D::Error> {
        Ordered::deserialize(from)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Ordered, E> {
        Ok(Ordered::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Ordered, E> {
        Ok(Ordered::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Ordered, E> {
        /// From here on not every whole number is a float.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.fract() != 0.0 || !number.is_finite() {
            return Ok(Ordered::Float(number));
        }
        if number.abs() >= EXACT {
            let why = "a number so large is not kept exactly: quote it, or write the file as JSON";
            return Err(E::custom(why));
        }
        // `1e3` and `010` are whole numbers to whoever wrote them.
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
        Ok(Ordered::Signed(number as i64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Ordered, E> {
        Ok(Ordered::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ordered, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Ordered::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut names = Vec::new();
        while let Some(entry) = map.next_entry()? {
            names.push(entry);
        }
        Ok(Ordered::Names(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        let change = parse(text).unwrap().changes.remove(0);
        change.put.unwrap().value.unwrap().get().to_owned()
    }

    #[test]
    fn the_values_of_a_json_file_keep_their_exact_bytes() {
        let text = r#"{"changes": [{"namespace": "a", "key": "k", "put": {"value": {"z":1.50,  "a": 1e3}}}]}"#;
        assert_eq!(value(text), r#"{"z":1.50,  "a": 1e3}"#);
    }

    #[test]
    fn yaml_says_the_same_and_keeps_the_order_of_names() {
        let text = "reason: why\nchanges:\n  - namespace: a\n    key: k\n    put:\n      value: {z: 1.5, a: [null, true, -3, \"x\"]}\n";
        assert_eq!(value(text), r#"{"z":1.5,"a":[null,true,-3,"x"]}"#);
        assert_eq!(parse(text).unwrap().reason.as_deref(), Some("why"));
        assert_eq!(value("changes: [{namespace: a, key: k, put: {value: null}}]"), "null");
    }

    #[test]
    fn yaml_changes_no_value_in_silence() {
        let of = |text: &str| {
            parse(&format!("changes: [{{namespace: a, key: k, put: {{value: {text}}}}}]"))
        };
        let written = |text: &str| {
            of(text).unwrap().changes[0]
                .put
                .as_ref()
                .unwrap()
                .value
                .as_ref()
                .unwrap()
                .get()
                .to_owned()
        };
        for (yaml, json) in [
            ("NO", r#""NO""#),
            ("yes", r#""yes""#),
            ("on", r#""on""#),
            ("true", "true"),
            ("1_000", r#""1_000""#),
            ("010", "10"),
            ("1e3", "1000"),
            ("1.10", "1.1"),
            ("-3", "-3"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(written(yaml), json, "{yaml}");
        }
        for lost in ["12345678901234567890123", "1e400", ".inf"] {
            assert!(of(lost).is_err(), "{lost}");
        }
        assert!(parse("changes: [{namespace: no, key: y, put: {value: 1}}]").is_ok());
    }

    #[test]
    fn what_is_wrong_with_yaml_is_told_to_who_wrote_it_and_where() {
        let told = |text: &str| parse(text).unwrap_err();
        for (text, what) in [
            ("changes: []\nchanges: []\n", "line 2"),
            ("changes: []\n---\nchanges: []\n", "a second document begins here"),
            ("changes: [{namespace: a, key: k, put: {value: {null: 1}}}]", "not null"),
            ("changes: *nowhere", "line 1"),
            ("changes: [{namespace: a, key: k, put: {value: .inf}}]", "finite"),
            ("changes: [", "line 1"),
            ("changes:\n\t- x", "line 2"),
        ] {
            let told = told(text);
            assert!(told.contains(what), "{told}");
            for leaked in
                ["Options", "Option<", "from_str", "Policy", "configured", "<input>", "error:"]
            {
                assert!(!told.contains(leaked), "{leaked} in {told}");
            }
        }
    }

    #[test]
    fn a_typing_error_is_refused_in_either_form() {
        for text in [
            r#"{"changes": [], "reasn": "x"}"#,
            "changes: []\nreasn: x\n",
            "changes:\n  - {namespace: a, key: k, dellete: true}\n",
        ] {
            assert!(parse(text).unwrap_err().contains("unknown field"), "{text}");
        }
        assert!(parse("changes: [").is_err());
        assert!(parse("{\"changes\": [}").is_err());
        assert!(parse("- 1").is_err());
    }

    #[test]
    fn an_example_of_the_help_is_a_change_set() {
        let example: String = super::super::EXAMPLES
            .lines()
            .skip(1)
            .take_while(|line| !line.is_empty())
            .flat_map(|line| [line.strip_prefix("  ").unwrap(), "\n"])
            .collect();
        assert_eq!(parse(&example).unwrap().changes.len(), 3);
    }
}
