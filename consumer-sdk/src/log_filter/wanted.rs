//! What a key says of a log filter: one for good, or one for a while.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

/// The longest time for which a filter may be turned up: what is meant for longer is meant for good.
const MAX_WHILE: Duration = Duration::from_secs(24 * 60 * 60);

/// The value of the key: a filter, or a filter with an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) filter: String,
    pub(super) end: Option<End>,
}

/// When a filter ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// So long after the commit that put it there.
    after: Duration,
    /// The filter from then on; none: the one that was in force when the filter was bound.
    pub(super) then: Option<String>,
}

/// `{"filter": "info,my_crate=debug", "for": "10m", "then": "info"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForAWhile {
    filter: String,
    #[serde(rename = "for")]
    after: String,
    then: Option<String>,
}

impl Wanted {
    pub(super) fn always(filter: String) -> Self {
        Self { filter, end: None }
    }

    /// How long the filter is still in force, when it was put there at `since`; none when it has no end.
    ///
    /// All that follow the key end at the same moment, whenever each of them started: what counts is the commit's time.
    /// A clock that is behind the writer's cannot make it longer than was said.
    pub(super) fn left(&self, since: SystemTime, now: SystemTime) -> Option<Duration> {
        let after = self.end.as_ref()?.after;
        let age = now.duration_since(since).unwrap_or_default();
        Some(after.saturating_sub(age))
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either)
    }
}

/// A text, or an object.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a text such as "info,my_crate=debug", or {"filter": "…", "for": "10m"}"#)
    }

    fn visit_str<E: serde::de::Error>(self, filter: &str) -> Result<Wanted, E> {
        Ok(Wanted::always(filter.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Wanted, A::Error> {
        let ForAWhile { filter, after, then } =
            ForAWhile::deserialize(MapAccessDeserializer::new(map))?;
        let after = duration(&after).map_err(A::Error::custom)?;
        Ok(Wanted { filter, end: Some(End { after, then }) })
    }
}

/// `<n>s`, `<n>m` or `<n>h`, up to a day.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is no time to go on for: write <n>s, <n>m or <n>h, at most 24h");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
    let number: u64 = number.and_then(|it| it.parse().ok()).ok_or_else(wrong)?;
    let duration = number.checked_mul(seconds).map(Duration::from_secs);
    duration.filter(|it| !it.is_zero() && *it <= MAX_WHILE).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(json: &str) -> Result<Wanted, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_text_is_for_good_and_an_object_for_a_while() {
        assert_eq!(wanted(r#""info""#), Ok(Wanted::always("info".to_owned())));
        let turned_up = wanted(r#"{"filter": "a=debug", "for": "10m", "then": "warn"}"#).unwrap();
        let end = End { after: Duration::from_secs(600), then: Some("warn".to_owned()) };
        assert_eq!(turned_up, Wanted { filter: "a=debug".to_owned(), end: Some(end) });
    }

    #[test]
    fn what_is_neither_is_refused_with_what_to_write() {
        for (bad, says) in [
            ("7", "a text such as"),
            (r#"{"filter": "info"}"#, "missing field `for`"),
            (r#"{"filter": "info", "for": "10m", "than": "x"}"#, "unknown field `than`"),
            (r#"{"filter": "info", "for": "10"}"#, "write <n>s"),
            (r#"{"filter": "info", "for": "+1s"}"#, "write <n>s"),
            (r#"{"filter": "info", "for": ""}"#, "write <n>s"),
            (r#"{"filter": "info", "for": "0s"}"#, "write <n>s"),
            (r#"{"filter": "info", "for": "25h"}"#, "at most 24h"),
            (r#"{"filter": "info", "for": "99999999999999999999h"}"#, "at most 24h"),
        ] {
            let error = wanted(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn a_while_counts_from_the_commit_and_a_clock_that_is_behind_does_not_lengthen_it() {
        let wanted = wanted(r#"{"filter": "a=debug", "for": "10s"}"#).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let left = |now| wanted.left(at(100), at(now)).map(|it| it.as_secs());
        assert_eq!([left(100), left(104), left(110), left(999)], [10, 6, 0, 0].map(Some));
        assert_eq!(left(50), Some(10));
        assert_eq!(Wanted::always("info".to_owned()).left(at(100), at(100)), None);
    }
}
