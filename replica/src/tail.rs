//! The last applied commits, for those who follow live: bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use headwater_schemas::{Commit, Effect, Entry, Hash, Head, Position, Totals};

/// One applied commit and what it led to.
#[derive(Debug)]
pub struct Applied {
    /// The head it led to.
    pub head: Head,
    /// The revision this replica stood at before it: one less, but in a filtered replica.
    pub previous: u64,
    /// Where its record stands in the log.
    pub position: Position,
    /// When the log took it, by the log's own clock, milliseconds since the Unix epoch.
    pub appended_at_ms: i64,
    /// The record as stored; empty in a filtered replica, which never saw it.
    pub record: Bytes,
    /// The commit.
    pub commit: Commit,
    /// What it did.
    pub effects: Vec<Effect>,
    /// Totals and digests after it.
    pub totals: Totals,
}

impl Applied {
    fn cost_bytes(&self) -> usize {
        // The entry before is a copy of its own, and a filtered replica has no record: so the values count, too. The
        // commit shares its values with the entries after it.
        let value = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.value.len());
        let effects = self.effects.iter();
        let effects = effects.map(|effect| 256 + value(&effect.before) + value(&effect.after));
        512 + self.record.len() + effects.sum::<usize>()
    }
}

/// What asking the tail gives.
#[derive(Debug)]
pub enum TailRead {
    /// What follows the revision asked for; empty when that is the newest.
    Items(Vec<Arc<Applied>>),
    /// The revision is older than the tail: take an image. `oldest` is the lowest revision one may follow from.
    Behind {
        /// The lowest revision one may follow from.
        oldest: u64,
    },
}

#[derive(Debug)]
struct Ring {
    /// What the first item follows.
    base: Head,
    items: VecDeque<Arc<Applied>>,
    bytes: usize,
}

/// The last applied commits, bounded in bytes.
#[derive(Debug)]
pub struct Tail {
    ring: Mutex<Option<Ring>>,
    max_bytes: usize,
}

impl Tail {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { ring: Mutex::new(None), max_bytes }
    }

    fn ring(&self) -> MutexGuard<'_, Option<Ring>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew at `base`: a replica that took an image has no commits before it.
    pub(crate) fn reset(&self, base: Head) {
        *self.ring() = Some(Ring { base, items: VecDeque::new(), bytes: 0 });
    }

    pub(crate) fn push(&self, applied: Arc<Applied>) {
        let mut ring = self.ring();
        let Some(ring) = ring.as_mut() else { return };
        ring.bytes += applied.cost_bytes();
        ring.items.push_back(applied);
        while ring.bytes > self.max_bytes && ring.items.len() > 1 {
            if let Some(gone) = ring.items.pop_front() {
                ring.bytes -= gone.cost_bytes();
                ring.base = gone.head;
            }
        }
    }

    /// The lowest revision one may follow from; none before the first state.
    pub fn oldest(&self) -> Option<u64> {
        self.ring().as_ref().map(|ring| ring.base.revision)
    }

    /// The head that the first commit it still knows follows; none before the first state.
    pub fn base(&self) -> Option<Head> {
        self.ring().as_ref().map(|ring| ring.base)
    }

    /// The chain hash at a revision the tail still knows.
    pub fn hash_at(&self, revision: u64) -> Option<Hash> {
        let ring = self.ring();
        let ring = ring.as_ref()?;
        if ring.base.revision == revision {
            return Some(ring.base.hash);
        }
        let index = ring.items.partition_point(|item| item.head.revision < revision);
        ring.items
            .get(index)
            .filter(|item| item.head.revision == revision)
            .map(|item| item.head.hash)
    }

    /// The commits after `revision`, oldest first, about `max_bytes` of them and at least one if there is any.
    pub fn after(&self, revision: u64, max_bytes: usize) -> TailRead {
        let ring = self.ring();
        let Some(ring) = ring.as_ref() else { return TailRead::Items(Vec::new()) };
        if revision < ring.base.revision {
            return TailRead::Behind { oldest: ring.base.revision };
        }
        let first = ring.items.partition_point(|item| item.head.revision <= revision);
        let mut bytes = 0;
        let fits = |item: &&Arc<Applied>| {
            let before = bytes;
            bytes += item.cost_bytes();
            before < max_bytes
        };
        TailRead::Items(ring.items.range(first..).take_while(fits).cloned().collect())
    }
}
