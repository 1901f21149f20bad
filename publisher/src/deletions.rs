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

#[cfg(test)]
mod tests {
    use headwater_schemas::Digest;

    use super::*;

    fn gone(key: &str) -> Vec<Effect> {
        let (namespace, key) = ("a".parse().unwrap(), key.parse().unwrap());
        vec![Effect { namespace, key, before: None, after: None, digest: Digest::default() }]
    }

    #[test]
    fn what_is_forgotten_lies_below_the_floor() {
        let mut deletions = Deletions::new(10, 2);
        let last = |deletions: &Deletions, key: &str| {
            deletions.last(&"a".parse().unwrap(), &key.parse().unwrap())
        };
        deletions.record(&gone("x"), 11);
        deletions.record(&gone("x"), 12);
        assert_eq!((deletions.floor(), last(&deletions, "x")), (10, Some(12)));
        deletions.record(&gone("y"), 13);
        assert_eq!(
            (deletions.floor(), last(&deletions, "x")),
            (11, Some(12)),
            "the older of two went"
        );
        deletions.record(&gone("z"), 14);
        assert_eq!((deletions.floor(), last(&deletions, "x")), (12, None));
        assert_eq!((last(&deletions, "y"), last(&deletions, "z")), (Some(13), Some(14)));
    }
}
