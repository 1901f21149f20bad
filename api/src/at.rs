//! `at`: a revision or a time.

use crate::{Time, TimeError};

/// Which state a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After this revision.
    Revision(u64),
    /// After the last commit at or before this time.
    Time(Time),
}

impl std::str::FromStr for At {
    type Err = TimeError;

    /// Parses a revision (digits only) or an RFC 3339 time.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        if !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(revision) = text.parse()
        {
            return Ok(Self::Revision(revision));
        }
        Time::parse(text).map(Self::Time)
    }
}

impl<'de> serde::Deserialize<'de> for At {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_revision_and_the_rest_a_time() {
        assert_eq!("17".parse(), Ok(At::Revision(17)));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(At::Time(Time(1_000))));
        for text in ["", "-1", "+1", "1.0", "99999999999999999999999", "yesterday"] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }
}
