//! Where lists go on, in their own terms: what stands in a cursor, and which query it belongs to.

use headwater_schemas::Key;

use crate::CursorError;

/// Takes a number from the front.
fn number(bytes: &[u8]) -> Result<(u64, &[u8]), CursorError> {
    let (number, rest) = bytes.split_first_chunk().ok_or(CursorError::Damaged)?;
    Ok((u64::from_le_bytes(*number), rest))
}

/// A key, as the payload of a cursor of entries has it.
///
/// # Errors
/// [`CursorError::Damaged`] when it is none.
pub fn key_place(payload: &[u8]) -> Result<Key, CursorError> {
    let text = std::str::from_utf8(payload).map_err(|_| CursorError::Damaged)?;
    Key::parse(text).map_err(|_| CursorError::Damaged)
}

/// The query that a cursor of entries belongs to; `at` as the client wrote it.
pub fn list_scope<'a>(
    namespace: &'a str,
    prefix: &'a str,
    keys_only: bool,
    at: &'a str,
) -> [&'a str; 4] {
    [namespace, prefix, if keys_only { "keys" } else { "entries" }, at]
}

/// The commits that are still to be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitsPlace {
    /// The revisions after this one …
    pub after: u64,
    /// … up to this one.
    pub upto: u64,
}

impl CommitsPlace {
    /// As the payload of a cursor.
    pub fn payload(self) -> Vec<u8> {
        [self.after.to_le_bytes(), self.upto.to_le_bytes()].concat()
    }

    /// Reads a payload back.
    ///
    /// # Errors
    /// [`CursorError::Damaged`].
    pub fn read(payload: &[u8]) -> Result<Self, CursorError> {
        let (after, rest) = number(payload)?;
        let (upto, rest) = number(rest)?;
        if rest.is_empty() { Ok(Self { after, upto }) } else { Err(CursorError::Damaged) }
    }
}

/// The versions of a key that are still to be listed: those before a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionsPlace {
    /// The revision.
    pub before: u64,
}

impl VersionsPlace {
    /// As the payload of a cursor.
    pub fn payload(self) -> Vec<u8> {
        self.before.to_le_bytes().to_vec()
    }

    /// Reads a payload back.
    ///
    /// # Errors
    /// [`CursorError::Damaged`].
    pub fn read(payload: &[u8]) -> Result<Self, CursorError> {
        let (before, rest) = number(payload)?;
        if rest.is_empty() { Ok(Self { before }) } else { Err(CursorError::Damaged) }
    }
}

/// The differences that are still to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffPlace {
    /// The revision of the old state.
    pub from: u64,
    /// The revision of the new state.
    pub to: u64,
    /// Keys behind this one.
    pub after: Key,
}

impl DiffPlace {
    /// As the payload of a cursor.
    pub fn payload(&self) -> Vec<u8> {
        let revisions = [self.from.to_le_bytes(), self.to.to_le_bytes()].concat();
        [&revisions, self.after.as_str().as_bytes()].concat()
    }

    /// Reads a payload back.
    ///
    /// # Errors
    /// [`CursorError::Damaged`].
    pub fn read(payload: &[u8]) -> Result<Self, CursorError> {
        let (from, rest) = number(payload)?;
        let (to, rest) = number(rest)?;
        Ok(Self { from, to, after: key_place(rest)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_round_trip(after in any::<u64>(), upto in any::<u64>(), key in "[a-z]{1,9}") {
            let commits = CommitsPlace { after, upto };
            prop_assert_eq!(CommitsPlace::read(&commits.payload()), Ok(commits));
            let versions = VersionsPlace { before: after };
            prop_assert_eq!(VersionsPlace::read(&versions.payload()), Ok(versions));
            let diff = DiffPlace { from: after, to: upto, after: key.parse().unwrap() };
            prop_assert_eq!(DiffPlace::read(&diff.payload()), Ok(diff));
        }

        #[test]
        fn garbage_is_damaged_and_never_panics(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (CommitsPlace::read(&payload), VersionsPlace::read(&payload));
            let _ = (DiffPlace::read(&payload), key_place(&payload));
        }
    }
}
