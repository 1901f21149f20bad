//! Reading RocksDB's tables ourselves, where RocksDB cannot: without the list of tables, or without a table's own end.
//!
//! ```text
//! table   = blocks, then what RocksDB needs to find them; only the blocks are read here
//! block   = entries · offset of every 16th entry (4 each) · how many offsets (4) · kind (1) · checksum (4)
//! entry   = varint shared · varint unshared · varint length · key, without what it shares with the one before · value
//! key     = the log's key (8) · what RocksDB notes (8)
//! ```

use bytes::Bytes;
use headwater_schemas::{Position, Record};

use crate::stored;
use crate::wal::varint;

/// So many entries have one offset at their block's end.
const ENTRIES_AN_OFFSET: usize = 16;
const OFFSET_BYTES: usize = 4;
/// Kind and checksum behind each block.
const BEHIND_BYTES: usize = 5;
/// The upper bits of the number of offsets say other things.
const COUNT: u32 = 0x0FFF_FFFF;
const KEY_BYTES: usize = 16;
/// The note of a key that has a value.
const PUT: u8 = 1;

/// The records that a table begins with, up to the first one that is not whole, or that does not follow the one
/// before it.
pub(crate) fn records(table: &Bytes) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(next) = block(table, at, &mut records) {
        at = next;
    }
    records
}

/// Takes in the block that begins at `at`; where the next one begins, if this one is whole.
fn block(table: &Bytes, mut at: usize, records: &mut Vec<Record>) -> Option<usize> {
    let (mut key, mut count) = ([0; KEY_BYTES], 0_usize);
    while let Some((value, end)) = entry(table.get(at..)?, &mut key) {
        let position = stored::position(key.first_chunk::<8>()?)?;
        let (appended_at_ms, record) = stored::decode(position, value).ok()?;
        let position = Position(position);
        if records.last().is_some_and(|last| last.position.next() != position) {
            return None;
        }
        records.push(Record { position, appended_at_ms, bytes: table.slice_ref(record) });
        (at, count) = (at + end, count + 1);
    }
    let offsets = count.div_ceil(ENTRIES_AN_OFFSET).max(1);
    let behind = at + offsets * OFFSET_BYTES;
    let told = u32::from_le_bytes(*table.get(behind..)?.first_chunk::<OFFSET_BYTES>()?);
    let is_whole = usize::try_from(told & COUNT).ok()? == offsets;
    is_whole.then_some(behind + OFFSET_BYTES + BEHIND_BYTES)
}

/// The value of the entry that `bytes` begin with, and where it ends; `key` becomes its key. None where no entry of a
/// log begins.
fn entry<'a>(bytes: &'a [u8], key: &mut [u8; KEY_BYTES]) -> Option<(&'a [u8], usize)> {
    let (shared, rest) = varint(bytes)?;
    let (unshared, rest) = varint(rest)?;
    let (length, rest) = varint(rest)?;
    let (own, rest) = rest.split_at_checked(unshared)?;
    let value = rest.get(..length)?;
    let place = key.get_mut(shared..).filter(|place| place.len() == own.len())?;
    place.copy_from_slice(own);
    (key[8] == PUT).then_some((value, bytes.len() - rest.len() + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_a_table_without_records() {
        assert_eq!(records(&Bytes::new()), []);
        assert_eq!(records(&Bytes::from_static(&[0; 4096])), []);
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_holds_no_record(garbage in prop::collection::vec(any::<u8>(), 0..4096)) {
            prop_assert_eq!(records(&garbage.into()), []);
        }

        #[test]
        fn small_garbage_never_panics(garbage in prop::collection::vec(0..20_u8, 0..4096)) {
            let _ = records(&garbage.into());
        }
    }
}
