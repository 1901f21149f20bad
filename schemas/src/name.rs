//! Names, parsed once and valid ever after.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest namespace, in bytes of UTF-8.
pub const MAX_NAMESPACE_BYTES: usize = 128;
/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest stream name, in bytes: a Kafka topic's 249 less the longest suffix (`.commits`).
const MAX_STREAM_BYTES: usize = 240;

/// Why a text is not a name. The message says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?}: {reason}")]
pub struct NameError {
    what: &'static str,
    name: String,
    reason: &'static str,
}

impl NameError {
    fn new(what: &'static str, name: &str, reason: &'static str) -> Self {
        let mut shown: String = name.chars().take(64).collect();
        if shown.len() < name.len() {
            shown.push('…');
        }
        Self { what, name: shown, reason }
    }
}

/// A dotted namespace such as `payments.prod`: segments `[a-z0-9][a-z0-9_-]*`, at most 128 bytes.
/// A name whose first segment starts with `_` is the system's own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Parses a namespace, the system's own included.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, too long, or a segment has a character out of `[a-z0-9_-]`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError::new("namespace", name, reason));
        if name.is_empty() {
            return refuse("is empty; use dotted segments such as payments.prod");
        }
        if name.len() > MAX_NAMESPACE_BYTES {
            return refuse("is longer than 128 bytes");
        }
        for (index, segment) in name.split('.').enumerate() {
            let bytes = segment.as_bytes();
            let Some(first) = bytes.first() else {
                return refuse("has an empty segment; write a single dot between segments");
            };
            let starts_well = first.is_ascii_lowercase() || first.is_ascii_digit();
            let system = index == 0 && *first == b'_';
            if !starts_well && !system {
                return refuse("each segment must start with a-z or 0-9");
            }
            let allowed =
                |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
            if !bytes.iter().all(allowed) {
                return refuse("segments may hold only a-z, 0-9, _ and -");
            }
        }
        Ok(Self(name.into()))
    }

    /// Whether this is one of the system's own namespaces (`_schemas`), which no user writes.
    pub fn is_system(&self) -> bool {
        self.0.starts_with('_')
    }

    /// The name as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key such as `db/pool`: 1 to 512 bytes of UTF-8 in segments joined by `/`;
/// no empty, `.` or `..` segment, no control character.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    /// [`NameError`] that says which rule the text breaks.
    pub fn parse(key: &str) -> Result<Self, NameError> {
        let refuse = |reason| Err(NameError::new("key", key, reason));
        if key.is_empty() {
            return refuse("is empty");
        }
        if key.len() > MAX_KEY_BYTES {
            return refuse("is longer than 512 bytes");
        }
        if key.chars().any(char::is_control) {
            return refuse("has a control character");
        }
        for segment in key.split('/') {
            match segment {
                "" => return refuse("has an empty segment; no leading, trailing or double /"),
                "." | ".." => return refuse("has a . or .. segment"),
                _ => {}
            }
        }
        Ok(Self(key.into()))
    }

    /// The key as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a stream, from which its topics are named: `[a-z0-9][a-z0-9._-]*`, at most 240 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// Parses a stream name.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, too long or has a character out of `[a-z0-9._-]`.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let bytes = name.as_bytes();
        let starts_well =
            bytes.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let allowed = |b: &u8| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
        };
        if !starts_well || !bytes.iter().all(allowed) || bytes.len() > MAX_STREAM_BYTES {
            return Err(NameError::new(
                "stream",
                name,
                "must be 1 to 240 characters of a-z, 0-9, ., _ and -, the first a-z or 0-9",
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! name_traits {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl Borrow<str> for $name {
            #[inline]
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
name_traits!(Namespace);
name_traits!(Key);
name_traits!(StreamName);
