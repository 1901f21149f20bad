//! Strict query parameters: nothing unknown, nothing twice, nothing out of range.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::extract::FromRequestParts;
use headwater_api::{DurationError, Problem, parse_duration, paths};
use http::request::Parts;
use serde::de::value::{CowStrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use crate::ApiError;
use crate::identity::{STREAM_PARAMETER, is_guarded};

/// Query parameters as a struct. A field is a parameter: an unknown one is refused with the names of the
/// known ones, one that is there twice is refused, an empty one counts as absent (`Option`, or a default).
///
/// `stream` need not be a field of a read: the edge compares it before any handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<T>(pub T);

/// The parameters of a call that takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub struct NoQuery {}

/// The entries a page may have: 1 to 1,000, 100 unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "u64")]
pub struct PageLimit(usize);

impl PageLimit {
    /// The most entries a page may have.
    pub const MAX: usize = 1_000;

    /// How many entries.
    pub fn get(self) -> usize {
        self.0
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<u64> for PageLimit {
    type Error = &'static str;

    fn try_from(limit: u64) -> Result<Self, Self::Error> {
        match usize::try_from(limit) {
            Ok(limit @ 1..=Self::MAX) => Ok(Self(limit)),
            _ => Err("must be 1 to 1000"),
        }
    }
}

/// A duration as the API writes it: `500ms`, `5s`, `1m`, at most 60 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Wait(pub Duration);

impl TryFrom<String> for Wait {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        parse_duration(&text).map(Self)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut pairs = pairs(parts.uri.query().unwrap_or_default())?;
        if is_guarded(&parts.method, parts.uri.path()) {
            pairs.retain(|(name, _)| name != STREAM_PARAMETER);
        }
        Ok(Self(read(pairs)?))
    }
}

/// The parameters of a query string, decoded; one that is there twice is refused.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = decode(name)?;
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(Problem::invalid_request(format!(
                "the parameter {name:?} is there twice; give it once"
            )));
        }
        let value = decode(value).map_err(|problem| Problem {
            detail: format!("{name}: {}", problem.detail),
            ..problem
        })?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn decode(raw: &str) -> Result<String, Problem> {
    let spaced = if raw.contains('+') { Cow::Owned(raw.replace('+', " ")) } else { raw.into() };
    paths::decode_text(&spaced)
        .map(Cow::into_owned)
        .map_err(|error| Problem::invalid_request(error.to_string()))
}

fn read<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Problem> {
    T::deserialize(Parameters { pairs }).map_err(|error| Problem::invalid_request(error.0))
}

/// What is wrong, in words.
#[derive(Debug)]
struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("the parameter {field:?} is missing"))
    }
}

/// All parameters, as the map that a struct is read from.
struct Parameters {
    pairs: Vec<(String, String)>,
}

impl<'de> de::Deserializer<'de> for Parameters {
    type Error = Wrong;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        for (name, _) in &self.pairs {
            if !fields.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                return Err(Wrong(match fields {
                    [] => format!("unknown parameter {shown:?}; this call takes none"),
                    _ => format!("unknown parameter {shown:?}; known are {}", fields.join(", ")),
                }));
            }
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let given: Vec<_> = self.pairs.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        visitor.visit_map(Pairs { rest: given.into_iter(), value: None })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Pairs {
    rest: std::vec::IntoIter<(String, String)>,
    value: Option<(String, String)>,
}

impl<'de> de::MapAccess<'de> for Pairs {
    type Error = Wrong;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        let key: StringDeserializer<Wrong> = name.clone().into_deserializer();
        self.value = Some((name, value));
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, text) =
            self.value.take().ok_or_else(|| Wrong("a value before its name".into()))?;
        seed.deserialize(Parameter(&text)).map_err(|error| Wrong(format!("{name}: {error}")))
    }
}

/// One parameter's text, read as whatever its field is.
struct Parameter<'a>(&'a str);

impl Parameter<'_> {
    fn unsigned(&self) -> Result<u64, Wrong> {
        let digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| self.0.parse().ok()).flatten();
        number.ok_or_else(|| {
            let shown: String = self.0.chars().take(64).collect();
            Wrong(format!("{shown:?} is not a whole number from 0 to {}", u64::MAX))
        })
    }
}

impl<'de> de::Deserializer<'de> for Parameter<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Wrong("must be true or false".into())),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_u64(self.unsigned()?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if !variants.contains(&self.0) {
            return Err(Wrong(format!("must be one of {}", variants.join(", "))));
        }
        let text: CowStrDeserializer<'_, Wrong> = Cow::Borrowed(self.0).into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use headwater_api::At;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Consistency {
        Local,
        Linearizable,
    }

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Sample {
        prefix: Option<String>,
        min_revision: Option<u64>,
        #[serde(default)]
        limit: PageLimit,
        #[serde(default)]
        keys_only: bool,
        consistency: Option<Consistency>,
    }

    fn sample(query: &str) -> Result<Sample, Problem> {
        read(pairs(query)?)
    }

    #[test]
    fn parameters_are_read() {
        let read =
            sample("prefix=db%2F+x&min_revision=7&limit=5&keys_only=true&consistency=linearizable")
                .unwrap();
        assert_eq!(read.prefix.as_deref(), Some("db/ x"));
        assert_eq!((read.min_revision, read.limit.get(), read.keys_only), (Some(7), 5, true));
        assert_eq!(read.consistency, Some(Consistency::Linearizable));
    }

    #[test]
    fn an_empty_parameter_counts_as_absent() {
        let read = sample("prefix=&min_revision&limit=&keys_only=&&").unwrap();
        assert_eq!(read, sample("").unwrap());
        assert_eq!((read.prefix, read.limit.get()), (None, 100));
    }

    #[test]
    fn what_is_unknown_twice_or_out_of_range_is_refused_by_name() {
        for (query, told) in [
            (
                "prefx=db",
                "\"prefx\"; known are prefix, min_revision, limit, keys_only, consistency",
            ),
            ("prefx=", "prefx"),
            ("limit=1&limit=1", "twice"),
            ("limit=0", "limit: must be 1 to 1000"),
            ("limit=1001", "limit: must be 1 to 1000"),
            ("limit=ten", "limit: \"ten\" is not a whole number"),
            ("limit=+5", "limit"),
            ("min_revision=-1", "min_revision"),
            ("min_revision=18446744073709551616", "min_revision"),
            ("keys_only=yes", "keys_only: must be true or false"),
            ("consistency=strong", "consistency: must be one of local, linearizable"),
            ("prefix=%zz", "prefix: a %"),
            ("prefix=%ff", "UTF-8"),
        ] {
            let problem = sample(query).unwrap_err();
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains(told), "{query}: {}", problem.detail);
        }
        assert!(read::<NoQuery>(pairs("a=b").unwrap()).unwrap_err().detail.contains("takes none"));
    }

    #[test]
    fn types_of_the_api_can_be_read_from_their_text() {
        #[derive(Debug, Deserialize)]
        struct Timed {
            at: Option<At>,
            timeout: Option<Wait>,
        }
        let timed: Timed = read(pairs("at=2026-11-22T08%3A15%3A30Z&timeout=5s").unwrap()).unwrap();
        assert!(matches!(timed.at, Some(At::Time(_))));
        assert_eq!(timed.timeout, Some(Wait(Duration::from_secs(5))));
        let timed: Timed = read(pairs("at=17").unwrap()).unwrap();
        assert_eq!(timed.at, Some(At::Revision(17)));
        for query in ["timeout=61s", "timeout=5", "at=yesterday"] {
            assert!(read::<Timed>(pairs(query).unwrap()).is_err(), "{query}");
        }
    }
}
