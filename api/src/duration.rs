//! Durations: `<n>ms`, `<n>s` or `<n>m`, at most 60 seconds.

use std::time::Duration;

/// The longest duration a request may name.
pub const MAX_DURATION: Duration = Duration::from_secs(60);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write <n>ms, <n>s or <n>m, at most 60s, such as 500ms or 5s")]
pub struct DurationError(String);

/// Parses a duration.
///
/// # Errors
/// [`DurationError`] when it has another form or is longer than [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(text.chars().take(64).collect());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let duration = Duration::from_millis(number.checked_mul(unit_ms).ok_or_else(wrong)?);
    if duration > MAX_DURATION { Err(wrong()) } else { Ok(duration) }
}

/// A duration as [`parse_duration`] reads it, in whole milliseconds.
pub fn format_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_up_to_a_minute() {
        for (text, ms) in [
            ("0ms", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("60s", 60_000),
            ("1m", 60_000),
            ("60000ms", 60_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
            let back = format_duration(Duration::from_millis(ms));
            assert_eq!(parse_duration(&back), Ok(Duration::from_millis(ms)), "{back}");
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "5 s",
            "5S",
            "61s",
            "2m",
            "60001ms",
            "1h",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
