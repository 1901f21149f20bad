//! Hashes of records this writer appended, so that its own losers are not taken for somebody else's.

use std::collections::{HashSet, VecDeque};

use headwater_schemas::Hash;

/// Several pipelines' worth. One that is forgotten costs a pause of two milliseconds.
const KEPT: usize = 8_192;

#[derive(Debug, Default)]
pub(crate) struct Ours {
    known: HashSet<Hash>,
    order: VecDeque<Hash>,
}

impl Ours {
    pub(crate) fn insert(&mut self, hash: Hash) {
        if self.known.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, hash: Hash) -> bool {
        self.known.contains(&hash)
    }
}
