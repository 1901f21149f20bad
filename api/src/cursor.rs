//! Cursors: opaque to clients, checked by whoever reads them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater_schemas::{Hash, StreamId};

const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
const SCOPE_BYTES: usize = 8;
/// Version, kind, stream, revision, scope.
const HEADER_BYTES: usize = 1 + 1 + 16 + 8 + SCOPE_BYTES;
/// The longest cursor, in characters.
const MAX_CURSOR_CHARS: usize = 4_096;

/// Which list a cursor goes on with. The numbers are stored in cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CursorKind {
    /// The entries of a namespace.
    List = 1,
    /// The namespaces.
    Namespaces = 2,
    /// The commits.
    Commits = 3,
    /// The versions of a key.
    History = 4,
    /// The differences between two revisions.
    Diff = 5,
}

/// Where a list goes on, and at which revision.
///
/// It is bound to its list and to the query it belongs to (`scope`: namespace, prefix, filters …), so that
/// a cursor handed to another query is refused, never misread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The stream of the list; compare it with the own one.
    pub stream_id: StreamId,
    /// The revision all pages show.
    pub revision: u64,
    /// Where to go on, in the list's own terms: the last key shown, for one.
    pub payload: Vec<u8>,
}

/// Why a cursor is refused: begin again without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It was cut, changed or made up.
    #[error("the cursor is damaged; begin again without one")]
    Damaged,
    /// It belongs to another list or to another query.
    #[error(
        "the cursor belongs to another query; keep the parameters of the first page, or begin again without one"
    )]
    Foreign,
}

impl Cursor {
    /// The text a client sends back.
    pub fn encode(&self, kind: CursorKind, scope: &[&str]) -> String {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len() + CHECKSUM_BYTES);
        bytes.extend_from_slice(&[VERSION, kind as u8]);
        bytes.extend_from_slice(&self.stream_id.0);
        bytes.extend_from_slice(&self.revision.to_le_bytes());
        bytes.extend_from_slice(&digest_of(scope));
        bytes.extend_from_slice(&self.payload);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`CursorError`]: answer 400 `invalid_cursor`.
    pub fn decode(text: &str, kind: CursorKind, scope: &[&str]) -> Result<Self, CursorError> {
        let (cursor, scoped) = Self::read(text, kind)?;
        if scoped == digest_of(scope) { Ok(cursor) } else { Err(CursorError::Foreign) }
    }

    /// Looks into the cursor of an answer that one has just asked for, whatever the query was.
    ///
    /// # Errors
    /// [`CursorError`]: the server speaks another version of them.
    pub fn peek(text: &str, kind: CursorKind) -> Result<Self, CursorError> {
        Self::read(text, kind).map(|(cursor, _)| cursor)
    }

    fn read(text: &str, kind: CursorKind) -> Result<(Self, [u8; SCOPE_BYTES]), CursorError> {
        if text.len() > MAX_CURSOR_CHARS {
            return Err(CursorError::Damaged);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Damaged)?;
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CursorError::Damaged)?;
        if checksum(body) != *sum {
            return Err(CursorError::Damaged);
        }
        let ([version, found], rest) = body.split_first_chunk().ok_or(CursorError::Damaged)?;
        let (stream_id, rest) = rest.split_first_chunk::<16>().ok_or(CursorError::Damaged)?;
        let (revision, rest) = rest.split_first_chunk::<8>().ok_or(CursorError::Damaged)?;
        let (scoped, payload) =
            rest.split_first_chunk::<SCOPE_BYTES>().ok_or(CursorError::Damaged)?;
        if *version != VERSION {
            return Err(CursorError::Damaged);
        }
        if *found != kind as u8 {
            return Err(CursorError::Foreign);
        }
        let cursor = Self {
            stream_id: StreamId(*stream_id),
            revision: u64::from_le_bytes(*revision),
            payload: payload.to_vec(),
        };
        Ok((cursor, *scoped))
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, e, f, g, h, ..] = Hash::of(bytes).0;
    [a, b, c, d, e, f, g, h]
}

fn digest_of(scope: &[&str]) -> [u8; SCOPE_BYTES] {
    let mut bytes = Vec::new();
    for part in scope {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    checksum(&bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Cursor {
        Cursor { stream_id: StreamId([7; 16]), revision: 42, payload: b"db/pool".to_vec() }
    }

    #[test]
    fn a_cursor_goes_on_only_with_its_own_query() {
        let text = sample().encode(CursorKind::List, &["a", "db/"]);
        let decode = |kind, scope: &[&str]| Cursor::decode(&text, kind, scope);
        assert_eq!(decode(CursorKind::List, &["a", "db/"]), Ok(sample()));
        assert_eq!(decode(CursorKind::Commits, &["a", "db/"]), Err(CursorError::Foreign));
        assert_eq!(decode(CursorKind::List, &["ad", "b/"]), Err(CursorError::Foreign));
    }

    #[test]
    fn a_cursor_with_any_character_changed_is_refused() {
        let text = sample().encode(CursorKind::List, &[]);
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Cursor::decode(&changed, CursorKind::List, &[]).is_err(), "{index}");
            assert!(Cursor::decode(&text[..index], CursorKind::List, &[]).is_err(), "{index}");
        }
    }

    proptest! {
        #[test]
        fn any_cursor_round_trips(id in any::<[u8; 16]>(), revision in any::<u64>(), payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            let cursor = Cursor { stream_id: StreamId(id), revision, payload };
            let text = cursor.encode(CursorKind::Commits, &["x"]);
            prop_assert_eq!(Cursor::decode(&text, CursorKind::Commits, &["x"]), Ok(cursor));
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            prop_assert!(Cursor::decode(&text, CursorKind::List, &[]).is_err());
        }
    }
}
