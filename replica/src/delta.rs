//! What changed since the base image: small persistent maps behind a bit filter.

use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_schemas::{Entry, Key, Namespace};
use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap};

/// 2^20 bits, 128 KiB: what a lookup that misses pays instead of a walk through the map.
const FILTER_BITS: u64 = 1 << 20;

/// Which keys may have changed. Bits are only ever set, so all views since one base share one filter: a bit
/// that a newer view set costs an older one a walk, never an answer.
#[derive(Debug)]
struct Filter(Box<[AtomicU64]>);

impl Filter {
    fn new() -> Self {
        Self((0..FILTER_BITS / 64).map(|_| AtomicU64::new(0)).collect())
    }

    fn slot(&self, hash: u64) -> (&AtomicU64, u64) {
        let bit = hash % FILTER_BITS;
        (&self.0[usize::try_from(bit / 64).unwrap_or(0)], 1 << (bit % 64))
    }

    fn set(&self, hash: u64) {
        let (word, bit) = self.slot(hash);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    fn may_hold(&self, hash: u64) -> bool {
        let (word, bit) = self.slot(hash);
        word.load(Ordering::Relaxed) & bit != 0
    }
}

/// The hasher of what is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What happened to one key since the base.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) namespace: Namespace,
    pub(crate) key: Key,
    /// The revision that did it.
    pub(crate) revision: u64,
    /// The entry now; none when it was deleted.
    pub(crate) entry: Option<Entry>,
}

impl Changed {
    #[inline]
    fn is_of(&self, namespace: &str, key: &str) -> bool {
        self.key.as_str() == key && self.namespace.as_str() == namespace
    }

    /// About how many bytes it holds.
    fn bytes(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.value.len() as u64)
    }
}

/// What changed under one hash.
#[derive(Debug)]
enum Found {
    One(Changed),
    /// Different keys with the same hash: hardly ever, unless somebody looks for such.
    Several(Vec<Changed>),
}

impl Found {
    #[inline]
    fn changes(&self) -> &[Changed] {
        match self {
            Self::One(changed) => slice::from_ref(changed),
            Self::Several(changes) => changes,
        }
    }
}

/// A pointer a hash: an insert copies the nodes on the way to it, and small ones are quick to copy.
type ByHash = GenericHashMap<u64, Arc<Found>, BuildHasherDefault<AsItIs>, DefaultSharedPtr>;

/// The changes since one base. Cheap to clone; a clone is not changed by what the original takes in.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    filter: Arc<Filter>,
    /// Every change: what one key is looked up in, without a comparison of texts on the way.
    changes: ByHash,
    /// The names in order, each with its hash. Only a key that had not changed before is new here.
    names: OrdMap<Namespace, OrdMap<Key, u64>>,
    len: usize,
    bytes: u64,
}

impl Delta {
    pub(crate) fn new() -> Self {
        Self {
            filter: Arc::new(Filter::new()),
            changes: ByHash::default(),
            names: OrdMap::new(),
            len: 0,
            bytes: 0,
        }
    }

    /// How many keys changed.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// About how many bytes of values it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What happened to a key whose hash is `hash`; none when it did not change.
    #[inline]
    pub(crate) fn get(&self, hash: u64, namespace: &str, key: &str) -> Option<&Changed> {
        if self.filter.may_hold(hash) { self.look_up(hash, namespace, key) } else { None }
    }

    #[inline]
    fn look_up(&self, hash: u64, namespace: &str, key: &str) -> Option<&Changed> {
        let found = self.changes.get(&hash)?;
        found.changes().iter().find(|changed| changed.is_of(namespace, key))
    }

    pub(crate) fn insert(&mut self, hash: u64, changed: Changed) {
        self.filter.set(hash);
        self.bytes += changed.bytes();
        let (namespace, key) = (changed.namespace.as_str(), changed.key.as_str());
        match self.look_up(hash, namespace, key).map(Changed::bytes) {
            Some(before) => self.bytes -= before,
            None => {
                self.len += 1;
                let names = self.names.entry(changed.namespace.clone()).or_default();
                names.insert(changed.key.clone(), hash);
            }
        }
        let before = self.changes.get(&hash).map_or(&[][..], |found| found.changes());
        let others = before.iter().filter(|before| !before.is_of(namespace, key));
        let others: Vec<_> = others.cloned().collect();
        let found = if others.is_empty() {
            Found::One(changed)
        } else {
            Found::Several(others.into_iter().chain([changed]).collect())
        };
        self.changes.insert(hash, Arc::new(found));
    }

    /// Only what happened after `revision`, with a filter of its own.
    pub(crate) fn after(&self, revision: u64) -> Self {
        let mut rest = Self::new();
        for (hash, found) in &self.changes {
            for changed in found.changes().iter().filter(|changed| changed.revision > revision) {
                rest.insert(*hash, changed.clone());
            }
        }
        rest
    }

    /// Each change, in no order.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Changed> {
        self.changes.values().flat_map(|found| found.changes())
    }

    /// The changed keys of one namespace, in byte order, from `from` on.
    pub(crate) fn keys<'a>(
        &'a self,
        namespace: &'a str,
        from: Bound<&str>,
    ) -> impl Iterator<Item = (&'a str, &'a Changed)> + use<'a> {
        let names = self.names.get(namespace);
        let range = names.map(|names| names.range::<_, str>((from, Bound::Unbounded)));
        range.into_iter().flatten().filter_map(move |(key, hash)| {
            Some((key.as_str(), self.look_up(*hash, namespace, key.as_str())?))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<(String, String), u64>;

    fn in_order(delta: &Delta) -> Vec<((String, String), u64)> {
        let namespaces = ["a", "b"].into_iter();
        let all = namespaces.flat_map(|namespace| {
            let keys = delta.keys(namespace, Bound::Unbounded);
            keys.map(move |(key, changed)| ((namespace.into(), key.into()), changed.revision))
        });
        all.collect()
    }

    fn assert_is(delta: &Delta, model: &Model, hash: impl Fn(&str) -> u64) {
        assert_eq!(delta.len(), model.len());
        assert_eq!(in_order(delta), model.clone().into_iter().collect::<Vec<_>>());
        for namespace in ["a", "b"] {
            for key in 0..12 {
                let key = format!("k{key}");
                let found = delta.get(hash(&key), namespace, &key).map(|changed| changed.revision);
                assert_eq!(found, model.get(&(namespace.into(), key)).copied());
            }
        }
    }

    proptest! {
        /// However many keys share a hash, in whole or in the bits that a map looks at.
        #[test]
        fn keys_with_equal_hashes_are_told_apart(
            changes in proptest::collection::vec((0..2usize, 0..12u8), 1..60),
            hashes in proptest::collection::vec(
                prop_oneof![Just(0), Just(7), Just(7 << 32), any::<u64>()], 12,
            ),
        ) {
            let hash = |key: &str| hashes[key[1..].parse::<usize>().unwrap()];
            let (mut delta, mut model) = (Delta::new(), Model::new());
            let mut kept = Vec::new();
            for (revision, (namespace, key)) in (1..).zip(changes) {
                let (namespace, key) = (["a", "b"][namespace], format!("k{key}"));
                let changed = Changed {
                    namespace: namespace.parse().unwrap(),
                    key: key.parse().unwrap(),
                    revision,
                    entry: None,
                };
                kept.push((delta.clone(), model.clone()));
                delta.insert(hash(&key), changed);
                model.insert((namespace.into(), key), revision);
                assert_is(&delta, &model, hash);
                let rest = model.clone().into_iter().filter(|(_, at)| *at > revision / 2).collect();
                assert_is(&delta.after(revision / 2), &rest, hash);
            }
            for (delta, model) in kept {
                assert_is(&delta, &model, hash);
            }
        }
    }
}
