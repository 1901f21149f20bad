//! Times: RFC 3339, UTC, milliseconds.

use std::fmt;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How many days a cycle of the calendar's leap years has: 400 years.
const CYCLE_DAYS: i64 = 146_097;
/// From the first of March of the year 0, where a cycle begins, to the first of January 1970.
const EPOCH_DAYS: i64 = 719_468;

/// A time, in milliseconds since the Unix epoch; in text `2026-11-22T08:15:30.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time; write it like 2026-11-22T08:15:30.123Z")]
pub struct TimeError(String);

impl Time {
    /// The first instant that has a text: the begin of the year 0.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// The last one: the end of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Parses an RFC 3339 time. What is finer than a millisecond is cut off, a leap second is the one before it, and
    /// what an offset moves out of the years 0 to 9999 is their end. Where a zone's `+` stands, a space is one: so it
    /// comes out of a query in which it was not percent-encoded.
    ///
    /// # Errors
    /// [`TimeError`] when it is none.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let time =
            parse(text.as_bytes()).ok_or_else(|| TimeError(text.chars().take(64).collect()))?;
        Ok(time.clamp(Self::MIN, Self::MAX))
    }
}

fn parse(text: &[u8]) -> Option<Time> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let (fraction, zone) = fraction(rest)?;
    Some(Time(local(date_time)? + fraction - offset(zone)?))
}

/// `2026-11-22T08:15:30` as if it were UTC, in milliseconds.
fn local(text: &[u8]) -> Option<i64> {
    let fits = text.iter().zip(b"0000-00-00T00:00:00").all(|(byte, wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        other => byte == other,
    });
    let part = |from, until| text.get(from..until).map(number);
    let (date, day) = ((part(0, 4)?, part(5, 7)?, part(8, 10)?), part(11, 13)?);
    let (minute, second) = (part(14, 16)?, part(17, 19)?);
    let days = days_of(date);
    let is_one = fits && date_of(days) == date && day < 24 && minute < 60 && second <= 60;
    is_one.then(|| days * DAY + day * HOUR + minute * MINUTE + second.min(59) * SECOND)
}

/// The milliseconds of a fraction of 1 to 9 digits, if there is one, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits).filter(|_| (1..=9).contains(&digits))?;
    let millis =
        [100, 10, 1].iter().zip(digits).map(|(unit, digit)| unit * i64::from(digit - b'0'));
    Some((millis.sum(), rest))
}

/// How far a zone is ahead of UTC, in milliseconds.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        b"Z" | b"z" => return Some(0),
        [sign, h1, h2, b':', m1, m2] => (sign, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let sign = match sign {
        b'+' | b' ' => 1,
        b'-' => -1,
        _ => return None,
    };
    let fits = hours.iter().chain(&minutes).all(u8::is_ascii_digit)
        && hours <= *b"23"
        && minutes <= *b"59";
    fits.then(|| sign * (number(&hours) * HOUR + number(&minutes) * MINUTE))
}

/// The number that some digits are.
fn number(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit.wrapping_sub(b'0')))
}

/// The days from the epoch to a year, month and day. Years are counted from March, so that a leap day ends one.
fn days_of((year, month, day): (i64, i64, i64)) -> i64 {
    let year = year - i64::from(month <= 2);
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * CYCLE_DAYS + year * 365 + year / 4 - year / 100 + day_of_year - EPOCH_DAYS
}

/// The year, month and day that many days from the epoch.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (cycle, day) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March, 0.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_next = month >= 10;
    let month = if is_next { month - 9 } else { month + 3 };
    (cycle * 400 + year + i64::from(is_next), month, day)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(millis) = *self.clamp(&Self::MIN, &Self::MAX);
        let (year, month, day) = date_of(millis.div_euclid(DAY));
        let of_day = millis.rem_euclid(DAY);
        let (hour, minute) = (of_day / HOUR, of_day % HOUR / MINUTE);
        let (second, milli) = (of_day % MINUTE / SECOND, of_day % SECOND);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
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

    /// The last millisecond that jiff's instants have.
    const JIFF_MAX: i64 = 253_402_207_200_999;

    #[test]
    fn the_end_of_the_year_9999_is_a_time() {
        let last = Time::parse("9999-12-31T23:59:59.999Z").unwrap();
        assert!(last >= Time::parse("9999-12-30T21:00:00Z").unwrap());
        assert!(Time::parse("9999-12-32T00:00:00Z").is_err());
        assert!(Time::parse("9999-12-31T25:00:00Z").is_err());
    }

    #[test]
    fn the_bounds_are_the_ends_of_what_four_digits_of_a_year_can_say() {
        assert_eq!(Time::MIN.to_string(), "0000-01-01T00:00:00.000Z");
        assert_eq!(Time::MAX.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Time::parse("9999-12-31T23:59:59.9999-23:59"), Ok(Time::MAX));
        assert_eq!(Time::parse("0000-01-01T00:00:00+23:59"), Ok(Time::MIN));
        assert_eq!(Time(i64::MAX).to_string(), Time::MAX.to_string());
        assert_eq!(Time(i64::MIN).to_string(), Time::MIN.to_string());
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
        fn any_time_round_trips_and_is_written_as_jiff_writes_it(millis in Time::MIN.0..JIFF_MAX) {
            let text = Time(millis).to_string();
            prop_assert_eq!(Time::parse(&text), Ok(Time(millis)));
            let theirs = jiff::Timestamp::from_millisecond(millis).unwrap();
            prop_assert_eq!(text, format!("{theirs:.3}"));
        }

        #[test]
        fn what_is_read_is_what_jiff_reads(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-5][0-9])",
        ) {
            let theirs = text.parse::<jiff::Timestamp>().ok().map(|time| time.as_nanosecond().div_euclid(1_000_000));
            let ours = Time::parse(&text).ok();
            match theirs {
                Some(millis) if millis < i128::from(Time::MIN.0) => prop_assert_eq!(ours, Some(Time::MIN)),
                Some(millis) if ours.is_some() => prop_assert_eq!(ours.map(|it| i128::from(it.0)), Some(millis)),
                // jiff takes offsets beyond a day, which RFC 3339 does not.
                Some(_) => prop_assert!(&text[text.len() - 5..] > "23:59", "{text} is one"),
                // jiff's last day ends early.
                None => prop_assert!(ours.is_none_or(|it| it.0 > JIFF_MAX), "{text} is none"),
            }
        }

        #[test]
        fn no_number_and_no_text_panics(millis in any::<i64>(), text in any::<String>()) {
            let _ = Time(millis).to_string();
            let _ = Time::parse(&text);
        }
    }
}
