//! Times: RFC 3339, UTC, milliseconds.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;

/// A time, in milliseconds since the Unix epoch; in text `2026-11-22T08:15:30.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time; write it like 2026-11-22T08:15:30.123Z")]
pub struct TimeError(String);

impl Time {
    /// Parses an RFC 3339 time. What is finer than a millisecond is cut off. Where a zone's `+` stands, a space is one:
    /// so it comes out of a query in which it was not percent-encoded.
    ///
    /// # Errors
    /// [`TimeError`] when it is none.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError(text.chars().take(64).collect());
        let zoned = text.contains(' ').then(|| text.replace(' ', "+"));
        let text = zoned.as_deref().unwrap_or(text);
        if !is_rfc3339(text.as_bytes()) {
            return Err(wrong());
        }
        let time: Timestamp = match text.parse() {
            Ok(time) => time,
            // The last hours of the year 9999, which many write for "for ever", are later than jiff's latest instant.
            Err(_) if text.starts_with("9999-12-3") && is_date_time(text) => Timestamp::MAX,
            Err(_) => return Err(wrong()),
        };
        let millis = time.as_millisecond();
        // jiff rounds towards zero, so before 1970 the cut goes the wrong way.
        let below = i64::from(time.as_nanosecond() < i128::from(millis) * 1_000_000);
        Ok(Self(millis - below))
    }
}

/// Whether what stands before the fraction and the zone is a day and a time of day.
fn is_date_time(text: &str) -> bool {
    text.get(..19).is_some_and(|text| text.parse::<DateTime>().is_ok())
}

/// jiff reads more than RFC 3339 allows; this holds the shape `date T time (Z | ±hh:mm)`.
fn is_rfc3339(text: &[u8]) -> bool {
    let Some((date_time, rest)) = text.split_at_checked(19) else { return false };
    let shape = b"0000-00-00T00:00:00";
    let fits = date_time.iter().zip(shape).all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        other => byte == other,
    });
    let zone = match rest.split_first() {
        Some((b'.', fraction)) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            fraction.split_at(digits).1
        }
        _ => rest,
    };
    let offset = |zone: &[u8]| {
        matches!(zone, [b'+' | b'-', a, b, b':', c, d]
            if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) && (*a, *b) <= (b'2', b'3') && *c <= b'5')
    };
    fits && (matches!(zone, b"Z" | b"z") || offset(zone))
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        write!(f, "{:.3}", Timestamp::from_millisecond(self.0).unwrap_or(bound))
    }
}

impl std::str::FromStr for Time {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_end_of_the_year_9999_is_a_time() {
        let last = Time::parse("9999-12-31T23:59:59.999Z").unwrap();
        assert!(last >= Time::parse("9999-12-30T21:00:00Z").unwrap());
        assert!(Time::parse("9999-12-32T00:00:00Z").is_err());
        assert!(Time::parse("9999-12-31T25:00:00Z").is_err());
    }

    #[test]
    fn times_are_written_with_milliseconds_in_utc() {
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Time(1_795_335_330_123).to_string(), "2026-11-22T08:15:30.123Z");
        assert_eq!(Time(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn rfc_3339_is_read_and_nothing_else() {
        for (text, millis) in [
            ("2026-11-22T08:15:30.123Z", 1_795_335_330_123),
            ("2026-11-22t08:15:30.123999z", 1_795_335_330_123),
            ("2026-11-22T09:15:30.123+01:00", 1_795_335_330_123),
            ("2026-11-22T09:15:30.123 01:00", 1_795_335_330_123),
            ("2026-11-22T08:15:30.123-00:00", 1_795_335_330_123),
            ("2026-11-23T08:14:30.123+23:59", 1_795_335_330_123),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
            ("1969-12-31T23:59:59.9999Z", -1),
        ] {
            assert_eq!(Time::parse(text), Ok(Time(millis)), "{text}");
        }
        for text in [
            "",
            "now",
            "2026-11-22",
            "2026-11-22 08:15:30Z",
            " 2026-11-22T08:15:30Z",
            "2026-11-22T08:15:30+24:00",
            "2026-11-22T08:15:30+29:00",
            "2026-11-22T08:15:30+01:60",
            "2026-11-22T24:00:00Z",
            "2026-02-29T08:15:30Z",
            "2026-11-22T08:15:30",
            "2026-11-22T08:15Z",
            "2026-13-22T08:15:30Z",
            "2026-11-22T08:15:30.Z",
            "2026-11-22T08:15:30Z[UTC]",
            "20261122T081530Z",
            "2026-11-22T25:15:30Z",
            "2026-11-22T08:15:30+0100",
            "2026-11-22T08:15:30.1234567890Z",
        ] {
            assert!(Time::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_time_of_the_common_era_round_trips(millis in -62_000_000_000_000i64..253_000_000_000_000) {
            prop_assert_eq!(Time::parse(&Time(millis).to_string()), Ok(Time(millis)));
        }

        #[test]
        fn no_number_and_no_text_panics(millis in any::<i64>(), text in any::<String>()) {
            let _ = Time(millis).to_string();
            let _ = Time::parse(&text);
        }
    }
}
