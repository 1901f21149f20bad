//! Values of rows: fixed fields little-endian, then texts behind their lengths, then what is left.

use bytes::Bytes;
use headwater_schemas::{
    Digest, Entry, EntryRef, Hash, Head, NamespaceTotals, Position, Record, StreamId,
};

/// A row that cannot be read: the store is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a damaged {0} row")]
pub(crate) struct Damaged(pub(crate) &'static str);

/// Takes a row apart, field by field.
struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(Damaged(self.what))?;
        self.rest = rest;
        Ok(*field)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(Damaged(self.what))?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| Damaged(self.what))
    }

    fn end(&self) -> Result<(), Damaged> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damaged(self.what)) }
    }
}

/// An entry, in `entries` and in `versions`.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let texts = [entry.actor.as_bytes(), entry.content_type.as_bytes()];
    let mut out = Vec::with_capacity(48 + entry.value.len() + texts[0].len() + texts[1].len());
    for number in [
        entry.version,
        entry.create_revision,
        entry.mod_revision,
        entry.updated_at_ms.cast_unsigned(),
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for text in texts {
        // Both come from one record, which is far below 4 GiB.
        out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(text);
    }
    out.extend_from_slice(&entry.value);
    out
}

pub(crate) fn decode_entry(row: &[u8]) -> Result<EntryRef<'_>, Damaged> {
    let mut fields = Fields { rest: row, what: "entry" };
    let version = fields.number()?;
    let create_revision = fields.number()?;
    let mod_revision = fields.number()?;
    let updated_at_ms = fields.number()?.cast_signed();
    let actor = fields.text()?;
    let content_type = fields.text()?;
    let value = fields.rest;
    Ok(EntryRef {
        content_type,
        value,
        version,
        create_revision,
        mod_revision,
        updated_at_ms,
        actor,
    })
}

/// The head and where its record stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) head: Head,
    pub(crate) position: Position,
}

pub(crate) fn encode_place(place: &Place) -> Vec<u8> {
    let mut out = Vec::with_capacity(72);
    out.extend_from_slice(&place.head.stream_id.0);
    out.extend_from_slice(&place.head.revision.to_le_bytes());
    out.extend_from_slice(&place.head.hash.0);
    out.extend_from_slice(&place.head.at_ms.to_le_bytes());
    out.extend_from_slice(&place.position.0.to_le_bytes());
    out
}

pub(crate) fn decode_place(row: &[u8]) -> Result<Place, Damaged> {
    let mut fields = Fields { rest: row, what: "head" };
    let stream_id = StreamId(fields.array()?);
    let revision = fields.number()?;
    let hash = Hash(fields.array()?);
    let at_ms = fields.number()?.cast_signed();
    let position = Position(fields.number()?);
    fields.end()?;
    Ok(Place { head: Head { stream_id, revision, hash, at_ms }, position })
}

pub(crate) fn encode_totals(totals: &NamespaceTotals) -> Vec<u8> {
    let mut out = Vec::with_capacity(56);
    for number in [totals.entries, totals.bytes, totals.mod_revision] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&totals.digest.0);
    out
}

pub(crate) fn decode_totals(row: &[u8]) -> Result<NamespaceTotals, Damaged> {
    let mut fields = Fields { rest: row, what: "totals" };
    let (entries, bytes) = (fields.number()?, fields.number()?);
    let mod_revision = fields.number()?;
    let digest = Digest(fields.array()?);
    fields.end()?;
    Ok(NamespaceTotals { entries, bytes, mod_revision, digest })
}

/// A record as the log gave it; its hash is computed from it when it is read, which proves it too.
pub(crate) fn encode_record(position: Position, appended_at_ms: i64, record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + record.len());
    out.extend_from_slice(&position.0.to_le_bytes());
    out.extend_from_slice(&appended_at_ms.to_le_bytes());
    out.extend_from_slice(&Hash::of(record).0);
    out.extend_from_slice(record);
    out
}

pub(crate) fn decode_record(row: &[u8]) -> Result<(Hash, Record), Damaged> {
    let mut fields = Fields { rest: row, what: "commit" };
    let position = Position(fields.number()?);
    let appended_at_ms = fields.number()?.cast_signed();
    let hash = Hash(fields.array()?);
    if Hash::of(fields.rest) != hash {
        return Err(Damaged("commit"));
    }
    let bytes = Bytes::copy_from_slice(fields.rest);
    Ok((hash, Record { position, appended_at_ms, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Entry> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..40);
        (".{0,9}", bytes, any::<[u64; 3]>(), any::<i64>(), ".{0,9}").prop_map(
            |(content_type, value, numbers, updated_at_ms, actor)| Entry {
                content_type: content_type.into(),
                value: value.into(),
                version: numbers[0],
                create_revision: numbers[1],
                mod_revision: numbers[2],
                updated_at_ms,
                actor: actor.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn entries_round_trip(entry in entries()) {
            let row = encode_entry(&entry);
            prop_assert_eq!(decode_entry(&row).unwrap().to_entry(), entry);
        }

        #[test]
        fn places_and_totals_round_trip(numbers in any::<[u64; 3]>(), id in any::<[u8; 16]>(), hash in any::<[u8; 32]>(), at_ms in any::<i64>()) {
            let head = Head { stream_id: StreamId(id), revision: numbers[0], hash: Hash(hash), at_ms };
            let place = Place { head, position: Position(numbers[1]) };
            prop_assert_eq!(decode_place(&encode_place(&place)).unwrap(), place);
            let totals = NamespaceTotals { entries: numbers[0], bytes: numbers[1], mod_revision: numbers[2], digest: Digest(hash) };
            prop_assert_eq!(decode_totals(&encode_totals(&totals)).unwrap(), totals);
        }

        #[test]
        fn a_record_round_trips_and_one_flipped_bit_is_found(record in proptest::collection::vec(any::<u8>(), 1..99), bit in any::<prop::sample::Index>()) {
            let mut row = encode_record(Position(7), -3, &record);
            let (hash, back) = decode_record(&row).unwrap();
            prop_assert_eq!((hash, back.position, back.appended_at_ms, &back.bytes[..]), (Hash::of(&record), Position(7), -3, &record[..]));
            let bit = bit.index((row.len() - 16) * 8);
            row[16 + bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_record(&row).is_err());
        }

        #[test]
        fn garbage_never_panics(row in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (decode_entry(&row).is_ok(), decode_place(&row).is_ok());
            let _ = (decode_totals(&row).is_ok(), decode_record(&row).is_ok());
        }
    }
}
