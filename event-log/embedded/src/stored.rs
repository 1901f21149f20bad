//! How a record lies on disk.
//!
//! Key: the position, 8 bytes, big-endian, so that RocksDB's order is the log's. Value: the time of the append
//! (milliseconds, 8 bytes, little-endian), the CRC-32C of position, time and record (4 bytes, little-endian),
//! the record. RocksDB checks whole blocks; our own sum says which record of a block it was.

use crate::checksum::crc32c;

/// What a stored value has before the record, in bytes.
const HEADER_BYTES: usize = 12;

/// The key of a position.
pub(crate) fn key(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

/// The position a key stands for; none when it is not a key of ours.
pub(crate) fn position(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// A record as it is stored.
pub(crate) fn encode(position: u64, appended_at_ms: i64, record: &[u8]) -> Vec<u8> {
    let time = appended_at_ms.to_le_bytes();
    let sum = crc32c(&[&key(position), &time, record]);
    [&time, sum.to_le_bytes().as_slice(), record].concat()
}

/// The time and the record of a stored value.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn decode(position: u64, value: &[u8]) -> Result<(i64, &[u8]), &'static str> {
    let (time, rest) = value.split_first_chunk::<8>().ok_or("it is cut short")?;
    let (sum, record) = rest.split_first_chunk::<4>().ok_or("it is cut short")?;
    if crc32c(&[&key(position), time, record]) != u32::from_le_bytes(*sum) {
        return Err("its checksum does not match");
    }
    Ok((i64::from_le_bytes(*time), record))
}

/// The revision that a stored value claims, damaged or not; none when it is no commit.
pub(crate) fn claimed_revision(value: &[u8]) -> Option<u64> {
    let record = value.get(HEADER_BYTES..)?;
    headwater_schemas::Frozen::read(record).ok().map(|frozen| frozen.revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn its_form_on_disk_is_fixed() {
        let stored = encode(258, 0x0102, b"HM");
        assert_eq!(key(258), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(stored[..8], [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(stored[8..12], 0x2875_8347_u32.to_le_bytes());
        assert_eq!(stored[12..], *b"HM");
    }

    proptest! {
        #[test]
        fn a_record_round_trips(at: u64, time: i64, record: Vec<u8>) {
            prop_assert_eq!(position(&key(at)), Some(at));
            let stored = encode(at, time, &record);
            prop_assert_eq!(decode(at, &stored), Ok((time, record.as_slice())));
        }

        #[test]
        fn any_one_changed_byte_is_noticed(
            at: u64, time: i64, record: Vec<u8>, which: prop::sample::Index, change in 1..=255_u8,
        ) {
            let mut stored = encode(at, time, &record);
            *which.get_mut(&mut stored) ^= change;
            prop_assert!(decode(at, &stored).is_err());
        }

        #[test]
        fn a_record_at_another_position_is_noticed(at: u64, other: u64, record: Vec<u8>) {
            prop_assume!(at != other);
            prop_assert!(decode(other, &encode(at, 0, &record)).is_err());
        }

        #[test]
        fn garbage_never_panics(at: u64, garbage: Vec<u8>) {
            let _ = decode(at, &garbage);
            let _ = claimed_revision(&garbage);
            let _ = position(&garbage);
        }
    }
}
