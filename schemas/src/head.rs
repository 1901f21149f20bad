//! The head of a chain and the one rule that decides which record continues it.

use std::fmt;

use bytes::Bytes;

/// The format this build writes.
pub const FORMAT: u32 = 1;
/// A format with this bit set stops every reader that does not know it.
pub const MUST_UNDERSTAND: u32 = 1 << 30;

/// Whether a reader of this build may apply a commit of `format`.
pub fn understood(format: u32) -> bool {
    format == FORMAT || format & MUST_UNDERSTAND == 0
}

/// The identity of a stream: 16 random bytes that its genesis drew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId(pub [u8; 16]);

/// BLAKE3 of a record's bytes as stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of a record's stored bytes.
    pub fn of(record: &[u8]) -> Self {
        Self(*blake3::hash(record).as_bytes())
    }
}

/// Hex in text, raw bytes in Avro.
macro_rules! hex_traits {
    ($name:ident, $bytes:literal) => {
        impl $name {
            /// Parses lower- or upper-case hex of exactly the right length.
            pub fn from_hex(text: &str) -> Option<Self> {
                let text = text.as_bytes();
                if text.len() != $bytes * 2 {
                    return None;
                }
                let mut out = [0; $bytes];
                for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
                    let digit = |c: u8| (c as char).to_digit(16);
                    *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
                }
                Some(Self(out))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    to.collect_str(self)
                } else {
                    to.serialize_bytes(&self.0)
                }
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let wrong = || serde::de::Error::custom(concat!("expected ", $bytes, " bytes"));
                if from.is_human_readable() {
                    let text = <String as serde::Deserialize>::deserialize(from)?;
                    Self::from_hex(&text).ok_or_else(wrong)
                } else {
                    let bytes = <serde_bytes::ByteBuf as serde::Deserialize>::deserialize(from)?;
                    Ok(Self(bytes.as_slice().try_into().map_err(|_| wrong())?))
                }
            }
        }
    };
}
pub(crate) use hex_traits;
hex_traits!(StreamId, 16);
hex_traits!(Hash, 32);

/// All that is needed to accept the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The stream this chain belongs to.
    pub stream_id: StreamId,
    /// The revision of the last accepted record; 0 is genesis.
    pub revision: u64,
    /// The hash of that record's stored bytes.
    pub hash: Hash,
    /// That commit's time, milliseconds since the Unix epoch; it never goes back along the chain.
    pub at_ms: i64,
}

/// Where a record stands in a log: a Kafka offset, or a sequence number of the embedded log.
/// A hint where to start reading, never a revision.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One record as a log gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// When the log took it, by the log's own clock, milliseconds since the Unix epoch.
    pub appended_at_ms: i64,
    /// The bytes as stored.
    pub bytes: Bytes,
}

/// The frozen first four fields of every commit and genesis: readable without any schema, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// The schema the rest is written in (CRC-64-AVRO).
    pub fingerprint: crate::Fingerprint,
    /// The stream it was written for.
    pub stream_id: StreamId,
    /// The format; see [`MUST_UNDERSTAND`].
    pub format: u32,
    /// The revision it claims.
    pub revision: u64,
    /// The hash of the record it follows; zero for a genesis.
    pub parent: Hash,
}

/// Why bytes are not a commit or genesis: ignore the record and count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Headwater record: {0}")]
pub struct FrozenError(&'static str);

impl Frozen {
    /// Reads the frozen header: `C3 01`, the fingerprint (8 bytes, little-endian), stream_id (fixed 16),
    /// format and revision (Avro zig-zag varints), parent (fixed 32).
    ///
    /// # Errors
    /// [`FrozenError`] when the bytes do not begin like that.
    pub fn read(bytes: &[u8]) -> Result<Self, FrozenError> {
        let rest =
            bytes.strip_prefix(&[0xC3, 0x01]).ok_or(FrozenError("no single-object marker"))?;
        let (fingerprint, rest) =
            rest.split_first_chunk::<8>().ok_or(FrozenError("cut in the fingerprint"))?;
        let (stream_id, rest) =
            rest.split_first_chunk::<16>().ok_or(FrozenError("cut in the stream id"))?;
        let (format, rest) = varint(rest).ok_or(FrozenError("bad format"))?;
        let (revision, rest) = varint(rest).ok_or(FrozenError("bad revision"))?;
        let (parent, _) = rest.split_first_chunk::<32>().ok_or(FrozenError("cut in the parent"))?;
        Ok(Self {
            fingerprint: crate::Fingerprint(*fingerprint),
            stream_id: StreamId(*stream_id),
            format: u32::try_from(format).map_err(|_| FrozenError("bad format"))?,
            revision: u64::try_from(revision).map_err(|_| FrozenError("bad revision"))?,
            parent: Hash(*parent),
        })
    }
}

/// An Avro `int` or `long`: zig-zag, seven bits a byte, at most ten bytes.
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut raw = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let low = u64::from(byte & 0x7F);
        if index == 9 && low > 1 {
            return None;
        }
        raw |= low << (7 * index);
        if byte & 0x80 == 0 {
            let value = (raw >> 1).cast_signed() ^ -((raw & 1).cast_signed());
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// The one rule: does this record continue the chain that ends in `head`?
///
/// Whoever wrote a record for which this holds knew exactly the state before it. Everything else in a
/// log (a loser of a race, a duplicate, a gap, a fork, a foreign stream) is ignored by everybody.
pub fn accept(head: &Head, record: &Frozen) -> bool {
    record.stream_id == head.stream_id
        && Some(record.revision) == head.revision.checked_add(1)
        && record.parent == head.hash
}
