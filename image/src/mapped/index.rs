//! The hash index: where the record of a key lies.
//!
//! A power of two of 8-byte slots, at most half of them full, linear probing. A slot holds the upper 24 bits of the
//! hash and, in 40 bits, the place of the record in units of 8 bytes; zero is empty (no record lies at 0).

use crate::ImageError;
use crate::buffer::Buffer;

/// Bits of a slot that hold the place.
const PLACE_BITS: u32 = 40;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
/// How many bytes a form can have: beyond this a place does not fit.
pub(crate) const MAX_BYTES: u64 = 8 << PLACE_BITS;
/// Slots of one part while building: 64 KiB stay in the cache that is nearest.
const PART_SLOTS: usize = 8 << 10;

/// A key to insert, as bytes: its hash, and its place in units of 8 bytes, little-endian.
pub(crate) type Placed = [u8; 16];

pub(crate) fn placed(hash: u64, place: u64) -> Placed {
    (u128::from(place) << 64 | u128::from(hash)).to_le_bytes()
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of a u128")]
fn of_placed(bytes: &Placed) -> (u64, u64) {
    let both = u128::from_le_bytes(*bytes);
    (both as u64, (both >> 64) as u64)
}

/// How many slots `entries` keys take.
pub(crate) fn slots_for(entries: usize) -> usize {
    entries.saturating_mul(2).next_power_of_two().max(8)
}

/// Fills `index`, which is zero and as long as [`slots_for`] says, with `keys`, which are [`Placed`].
pub(crate) fn fill(index: &mut [u8], keys: &[u8]) -> Result<(), ImageError> {
    let (slots, _) = index.as_chunks_mut::<8>();
    // One insert after the other would wait for memory each time. In order of their place in the table they
    // find it in the cache.
    let ordered = in_order(keys, slots.len())?;
    for (hash, place) in ordered.as_chunks().0.iter().map(of_placed) {
        insert(slots, hash, place);
    }
    Ok(())
}

fn insert(slots: &mut [[u8; 8]], hash: u64, place: u64) {
    let mask = slots.len().wrapping_sub(1);
    let mut at = first_slot(hash, mask);
    // At most half are full, so there is an empty one.
    while slots[at] != [0; 8] {
        at = (at + 1) & mask;
    }
    slots[at] = ((hash >> PLACE_BITS << PLACE_BITS) | (place & PLACE)).to_le_bytes();
}

/// The keys by the part of the table they go to; within a part as they came.
fn in_order(keys: &[u8], slots: usize) -> Result<Buffer, ImageError> {
    let parts = (slots / PART_SLOTS).max(1);
    let mask = slots.wrapping_sub(1);
    let part = |key: &Placed| first_slot(of_placed(key).0, mask) / PART_SLOTS.min(slots);
    let (placed, _) = keys.as_chunks();
    let mut next = vec![0usize; parts + 1];
    for key in placed {
        next[part(key) + 1] += 1;
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut ordered = Buffer::default();
    ordered.grow(keys.len())?;
    let (to, _) = ordered.as_chunks_mut();
    for key in placed {
        let at = &mut next[part(key)];
        to[*at] = *key;
        *at += 1;
    }
    Ok(ordered)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
fn first_slot(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// The places in bytes of the records whose keys may have this hash.
#[inline]
pub(crate) fn candidates(index: &[u8], hash: u64) -> Candidates<'_> {
    let (slots, _) = index.as_chunks::<8>();
    let mask = slots.len().wrapping_sub(1);
    Candidates {
        slots,
        mask,
        at: first_slot(hash, mask),
        left: slots.len(),
        tag: hash >> PLACE_BITS,
    }
}

pub(crate) struct Candidates<'a> {
    slots: &'a [[u8; 8]],
    mask: usize,
    at: usize,
    /// An index without an empty slot is damaged, and must not turn for ever.
    left: usize,
    tag: u64,
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.left > 0 {
            let slot = u64::from_le_bytes(*self.slots.get(self.at)?);
            if slot == 0 {
                return None;
            }
            self.at = (self.at + 1) & self.mask;
            self.left -= 1;
            if slot >> PLACE_BITS == self.tag {
                return usize::try_from((slot & PLACE) * 8).ok();
            }
        }
        None
    }
}
