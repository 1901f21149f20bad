//! The hash index: where the record of a key lies.
//!
//! A power of two of 8-byte slots, at most half of them full, linear probing. A slot holds the upper 24 bits of the
//! hash and, in 40 bits, the place of the record in units of 8 bytes; zero is empty (no record lies at 0).

/// Bits of a slot that hold the place.
const PLACE_BITS: u32 = 40;
const PLACE: u64 = (1 << PLACE_BITS) - 1;
/// How many bytes a form can have: beyond this a place does not fit.
pub(crate) const MAX_BYTES: u64 = 8 << PLACE_BITS;
/// Slots of one part while building: 64 KiB stay in the cache that is nearest.
const PART_SLOTS: usize = 8 << 10;

/// A key to insert: its hash, and its place in units of 8 bytes.
pub(crate) type Placed = (u64, u64);

/// How many slots `entries` keys take.
pub(crate) fn slots_for(entries: usize) -> usize {
    entries.saturating_mul(2).next_power_of_two().max(8)
}

/// Fills `index`, which is zero and as long as [`slots_for`] says.
pub(crate) fn fill(index: &mut [u8], keys: &[Placed]) {
    let (slots, _) = index.as_chunks_mut::<8>();
    // One insert after the other would wait for memory each time. In order of their place in the table they
    // find it in the cache.
    for (hash, place) in in_order(keys, slots.len()) {
        insert(slots, hash, place);
    }
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
fn in_order(keys: &[Placed], slots: usize) -> Vec<Placed> {
    let parts = (slots / PART_SLOTS).max(1);
    let mask = slots.wrapping_sub(1);
    let part = |hash: u64| first_slot(hash, mask) / PART_SLOTS.min(slots);
    let mut next = vec![0usize; parts + 1];
    for (hash, _) in keys {
        next[part(*hash) + 1] += 1;
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut ordered = vec![(0, 0); keys.len()];
    for (hash, place) in keys {
        let at = &mut next[part(*hash)];
        ordered[*at] = (*hash, *place);
        *at += 1;
    }
    ordered
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
