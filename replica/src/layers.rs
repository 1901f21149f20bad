//! Which layers of an overlay may hold a key: found out when changes are applied, so that a read asks the layer that wins
//! and seldom another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use headwater_image::Mapped;
use headwater_schemas::Namespace;

use crate::View;

/// The fewest and the most marks, a byte each: they stay in the processor's cache, and a process pays at most 512 KiB.
const MARKS: (usize, usize) = (1 << 12, 1 << 19);
/// Marks for each key of the upper layers, as long as there is room: one key in four meets another's mark.
const MARKS_PER_KEY: usize = 4;
/// A mark has so many bits.
pub(crate) const MOST_LAYERS: usize = 8;

/// For each key, by its hash, a bit for each layer over the lowest that may hold it. Bits are only ever set, so views share
/// them: one that a newer view set costs an older one a look, never an answer.
#[derive(Debug)]
pub(crate) struct Layers {
    namespaces: Arc<[Namespace]>,
    marks: Box<[AtomicU8]>,
}

impl Layers {
    /// Marks what a view holds; none where there is nothing to choose between.
    pub(crate) fn of(namespaces: &Arc<[Namespace]>, view: &View) -> Option<Self> {
        if !(2..=MOST_LAYERS).contains(&namespaces.len()) {
            return None;
        }
        let wanted = Self::upper_keys(namespaces, view).saturating_mul(MARKS_PER_KEY);
        let marks = wanted.clamp(MARKS.0, MARKS.1).next_power_of_two();
        let marks = (0..marks).map(|_| AtomicU8::new(0)).collect();
        let layers = Self { namespaces: namespaces.clone(), marks };
        for (layer, namespace) in namespaces.iter().enumerate().skip(1) {
            for (key, _) in view.entries(namespace.as_str(), "", None) {
                layers.set(layer, key);
            }
        }
        Some(layers)
    }

    /// How many keys lie over the lowest layer.
    pub(crate) fn upper_keys(namespaces: &[Namespace], view: &View) -> usize {
        let parts = view.totals().namespaces();
        let upper = parts.filter(|(name, _)| namespaces.iter().skip(1).any(|mine| mine == *name));
        let keys: u64 = upper.map(|(_, part)| part.entries).sum();
        usize::try_from(keys).unwrap_or(usize::MAX)
    }

    /// A key was put.
    pub(crate) fn mark(&self, namespace: &str, key: &str) {
        for (layer, mine) in self.namespaces.iter().enumerate().skip(1) {
            if mine.as_str() == namespace {
                self.set(layer, key);
            }
        }
    }

    fn set(&self, layer: usize, key: &str) {
        // Its hash in the lowest layer, which whoever reads the key needs in any case.
        let hash = self.namespaces.first().map_or(0, |name| Mapped::hash(name.as_str(), key));
        self.slot(hash).fetch_or(1 << layer, Ordering::Relaxed);
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
    fn slot(&self, hash: u64) -> &AtomicU8 {
        // A power of two.
        &self.marks[hash as usize & (self.marks.len() - 1)]
    }

    /// A bit for each layer that may hold a key, whose hash in the lowest layer is given; all, where these are other layers.
    #[inline]
    pub(crate) fn may_hold(&self, namespaces: &Arc<[Namespace]>, hash: u64) -> u8 {
        if Arc::ptr_eq(&self.namespaces, namespaces) {
            self.slot(hash).load(Ordering::Relaxed)
        } else {
            u8::MAX
        }
    }
}
