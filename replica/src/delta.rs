//! What changed since the base image: a small persistent map behind a bit filter.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_schemas::{Entry, Key, Namespace};
use imbl::OrdMap;

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

/// What happened to one key since the base.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    /// The revision that did it.
    pub(crate) revision: u64,
    /// The entry now; none when it was deleted.
    pub(crate) entry: Option<Entry>,
}

/// The changes since one base. Cheap to clone; a clone is not changed by what the original takes in.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    filter: Arc<Filter>,
    changed: OrdMap<Namespace, OrdMap<Key, Changed>>,
    len: usize,
    bytes: u64,
}

impl Delta {
    pub(crate) fn new() -> Self {
        Self { filter: Arc::new(Filter::new()), changed: OrdMap::new(), len: 0, bytes: 0 }
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
    pub(crate) fn get(&self, hash: u64, namespace: &str, key: &str) -> Option<&Changed> {
        if !self.filter.may_hold(hash) {
            return None;
        }
        self.changed.get(namespace)?.get(key)
    }

    pub(crate) fn insert(&mut self, hash: u64, namespace: &Namespace, key: &Key, changed: Changed) {
        self.filter.set(hash);
        let size =
            |changed: &Changed| changed.entry.as_ref().map_or(0, |entry| entry.value.len() as u64);
        self.bytes += size(&changed);
        let keys = self.changed.entry(namespace.clone()).or_default();
        match keys.insert(key.clone(), changed) {
            Some(old) => self.bytes -= size(&old),
            None => self.len += 1,
        }
    }

    /// Only what happened after `revision`, with a filter of its own.
    pub(crate) fn after(&self, revision: u64, hash: impl Fn(&str, &str) -> u64) -> Self {
        let mut rest = Self::new();
        for (namespace, keys) in &self.changed {
            for (key, changed) in keys {
                if changed.revision > revision {
                    let hash = hash(namespace.as_str(), key.as_str());
                    rest.insert(hash, namespace, key, changed.clone());
                }
            }
        }
        rest
    }

    /// Visits each namespace and key.
    pub(crate) fn each(&self, mut visit: impl FnMut(&str, &str)) {
        for (namespace, keys) in &self.changed {
            keys.keys().for_each(|key| visit(namespace.as_str(), key.as_str()));
        }
    }

    /// The changed keys of one namespace, in byte order, from `from` on.
    pub(crate) fn keys<'a>(
        &'a self,
        namespace: &str,
        from: Bound<&str>,
    ) -> impl Iterator<Item = (&'a str, &'a Changed)> + use<'a> {
        let keys = self.changed.get(namespace);
        let range = keys.map(|keys| keys.range::<_, str>((from, Bound::Unbounded)));
        range.into_iter().flatten().map(|(key, changed)| (key.as_str(), changed))
    }
}
