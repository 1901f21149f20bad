//! The latest records in memory: a reader at the tail is served without a thread hop.

use std::collections::VecDeque;

use headwater_schemas::Record;

/// What a record costs beside its bytes.
const OVERHEAD_BYTES: usize = 64;

/// The latest records, up to a bound in bytes.
#[derive(Debug)]
pub(crate) struct Ring {
    limit_bytes: usize,
    bytes: usize,
    records: VecDeque<Record>,
}

impl Ring {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, bytes: 0, records: VecDeque::new() }
    }

    /// Takes in the next record; the oldest ones make room.
    pub(crate) fn push(&mut self, record: Record) {
        self.bytes += cost(&record);
        self.records.push_back(record);
        while self.bytes > self.limit_bytes {
            let Some(oldest) = self.records.pop_front() else { return };
            self.bytes -= cost(&oldest);
        }
    }

    /// The position behind the newest record; 0 without any.
    pub(crate) fn end(&self) -> u64 {
        self.records.back().map_or(0, |record| record.position.0 + 1)
    }

    /// The records from `position` on, at least one and about `max_bytes`; none when they are no longer here.
    pub(crate) fn from(&self, position: u64, max_bytes: usize) -> Option<Vec<Record>> {
        let first = self.records.front()?.position.0;
        let skip = usize::try_from(position.checked_sub(first)?).ok()?;
        if skip >= self.records.len() {
            return None;
        }
        let mut budget = Budget::new(max_bytes);
        let fits = |record: &&Record| budget.takes(record.bytes.len());
        Some(self.records.range(skip..).take_while(fits).cloned().collect())
    }
}

fn cost(record: &Record) -> usize {
    record.bytes.len() + OVERHEAD_BYTES
}

/// How much one read may still take: the first record always.
#[derive(Debug)]
pub(crate) struct Budget {
    left_bytes: usize,
    taken: bool,
}

impl Budget {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { left_bytes: max_bytes, taken: false }
    }

    /// Whether a record of `bytes` still fits; counts it if so.
    pub(crate) fn takes(&mut self, bytes: usize) -> bool {
        let fits = bytes < self.left_bytes || !self.taken;
        // An empty record counts one byte, or a read of nothing but those would have no bound.
        self.left_bytes = self.left_bytes.saturating_sub(bytes.max(1));
        self.taken = true;
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use headwater_schemas::Position;

    fn ring(sizes: &[usize], limit_bytes: usize) -> Ring {
        let mut ring = Ring::new(limit_bytes);
        for (index, size) in sizes.iter().enumerate() {
            let bytes = Bytes::from(vec![1; *size]);
            let position = Position(10 + index as u64);
            ring.push(Record { position, appended_at_ms: 0, bytes });
        }
        ring
    }

    fn positions(ring: &Ring, from: u64, max_bytes: usize) -> Option<Vec<u64>> {
        Some(ring.from(from, max_bytes)?.iter().map(|record| record.position.0).collect())
    }

    #[test]
    fn it_serves_from_any_position_it_holds() {
        let ring = ring(&[1, 1, 1], 1000);
        assert_eq!(positions(&ring, 10, 100), Some(vec![10, 11, 12]));
        assert_eq!(positions(&ring, 12, 100), Some(vec![12]));
        assert_eq!(positions(&ring, 9, 100), None);
        assert_eq!(positions(&ring, 13, 100), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let ring = ring(&[100; 10], 400);
        assert_eq!(positions(&ring, 17, 1000), None);
        assert_eq!(positions(&ring, 18, 1000), Some(vec![18, 19]));
    }

    #[test]
    fn a_record_larger_than_the_ring_leaves_it_empty_and_sound() {
        let mut ring = ring(&[1, 1000], 400);
        assert_eq!((ring.bytes, ring.records.len()), (0, 0));
        ring.push(Record { position: Position(12), appended_at_ms: 0, bytes: Bytes::new() });
        assert_eq!(positions(&ring, 12, 1), Some(vec![12]));
    }

    #[test]
    fn a_read_takes_at_least_one_and_about_its_bytes() {
        let ring = ring(&[100; 5], 10_000);
        assert_eq!(positions(&ring, 10, 0), Some(vec![10]));
        assert_eq!(positions(&ring, 10, 250), Some(vec![10, 11]));
    }
}
