//! Which keys were deleted lately, and when: what the state no longer says and `base_revision` asks.

use std::collections::{HashMap, VecDeque};

use headwater_schemas::{Effect, Key, Namespace};

type At = (Namespace, Key);

/// Every deletion after `floor`. Bounded: the oldest are forgotten, and the floor rises over them.
#[derive(Debug)]
pub(crate) struct Deletions {
    floor: u64,
    last: HashMap<At, u64>,
    order: VecDeque<(u64, At)>,
    max: usize,
}

impl Deletions {
    pub(crate) fn new(floor: u64, max: usize) -> Self {
        Self { floor, last: HashMap::new(), order: VecDeque::new(), max }
    }

    /// Every deletion after this revision is known.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn record(&mut self, effects: &[Effect], revision: u64) {
        for effect in effects.iter().filter(|effect| effect.after.is_none()) {
            let at = (effect.namespace.clone(), effect.key.clone());
            self.last.insert(at.clone(), revision);
            self.order.push_back((revision, at));
        }
        while self.order.len() > self.max
            && let Some((revision, at)) = self.order.pop_front()
        {
            self.floor = self.floor.max(revision);
            if self.last.get(&at) == Some(&revision) {
                self.last.remove(&at);
            }
        }
    }

    /// The last deletion of a key after the floor.
    pub(crate) fn last(&self, namespace: &Namespace, key: &Key) -> Option<u64> {
        self.last.get(&(namespace.clone(), key.clone())).copied()
    }
}
