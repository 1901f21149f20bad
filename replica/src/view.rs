//! What a reader holds: one immutable, consistent state at one revision.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use headwater_image::Mapped;
use headwater_schemas::{
    Entry, EntryRef, Folded, Head, Key, Namespace, Position, STREAM_NAMESPACE, Succession, Totals,
    Word,
};

use crate::delta::{Changed, Delta};
use crate::layers::{Layers, MOST_LAYERS};

/// One immutable state: a mapped image and what changed since. Cheap to clone and to derive from.
#[derive(Debug, Clone)]
pub struct View {
    head: Head,
    totals: Totals,
    /// Where the record of the head stands in the log: a hint.
    position: Position,
    /// How many times an operator has led this replica to another chain: revisions are compared within an era.
    era: u64,
    base: Option<Arc<Mapped>>,
    delta: Delta,
    /// Which layers of an overlay may hold a key, if somebody reads through one.
    layers: Option<Arc<Layers>>,
}

impl View {
    /// The state that a genesis founds.
    pub(crate) fn founded(folded: &Folded, position: Position) -> Self {
        let (head, totals) = (folded.head, Totals::default());
        Self { head, totals, position, era: 0, base: None, delta: Delta::new(), layers: None }
            .apply(folded, position)
    }

    /// The state of an image.
    pub fn of_image(base: Arc<Mapped>) -> Self {
        Self {
            head: *base.head(),
            totals: base.totals().clone(),
            position: base.log_position(),
            era: 0,
            base: Some(base),
            delta: Delta::new(),
            layers: None,
        }
    }

    /// The state after a commit that was folded into this one.
    #[must_use]
    pub fn apply(&self, folded: &Folded, position: Position) -> Self {
        let mut delta = self.delta.clone();
        for effect in &folded.effects {
            let hash = Mapped::hash(effect.namespace.as_str(), effect.key.as_str());
            let changed = Changed {
                namespace: effect.namespace.clone(),
                key: effect.key.clone(),
                revision: folded.head.revision,
                entry: effect.after.clone(),
            };
            delta.insert(hash, changed);
            // Before anybody sees the key.
            if let Some(layers) = &self.layers {
                layers.mark(effect.namespace.as_str(), effect.key.as_str());
            }
        }
        Self {
            head: folded.head,
            totals: folded.totals.clone(),
            position,
            era: self.era,
            base: self.base.clone(),
            delta,
            layers: self.layers.clone(),
        }
    }

    /// The same state at a later head: nothing that this view holds changed in between.
    #[must_use]
    pub(crate) fn advance(&self, head: Head, position: Position) -> Self {
        Self { head, position, ..self.clone() }
    }

    /// The same state on a newer base, which was folded from a view between its base and itself; `layers` are marked for
    /// that view.
    #[must_use]
    pub(crate) fn rebased(&self, base: Arc<Mapped>, layers: Option<Layers>) -> Self {
        let delta = self.delta.after(base.head().revision);
        if let Some(layers) = &layers {
            for changed in delta.each() {
                layers.mark(changed.namespace.as_str(), changed.key.as_str());
            }
        }
        Self { delta, base: Some(base), layers: layers.map(Arc::new), ..self.clone() }
    }

    /// The same state, marked for reads through these layers.
    #[must_use]
    pub(crate) fn layered(self, namespaces: &Arc<[Namespace]>) -> Self {
        let layers = Layers::of(namespaces, &self).map(Arc::new);
        Self { layers, ..self }
    }

    /// The head of the chain this state is the fold of.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The revision of this state.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }

    /// How many times an operator has led this replica to another chain since it started. A view is newer than another
    /// one when its (era, revision) is greater: only then may a revision be lower.
    pub fn era(&self) -> u64 {
        self.era
    }

    #[must_use]
    pub(crate) fn in_era(self, era: u64) -> Self {
        Self { era, ..self }
    }

    /// What an operator's commit said last about which other chain this state goes on from.
    pub fn succession(&self) -> Option<Succession> {
        Word::succession(self.entries(STREAM_NAMESPACE, "", None))
    }

    /// Up to which revision an operator has accepted commits that do not fit their state.
    pub(crate) fn accepted(&self) -> Option<u64> {
        let mut words = self.entries(STREAM_NAMESPACE, "", None);
        words.find_map(|(key, entry)| match Word::of_entry(key, entry) {
            Some(Word::Accepts(point)) => Some(point.revision),
            _ => None,
        })
    }

    /// The revision at which the state is whole: of a stream founded from another one's state, whose first commits carry
    /// it over. 0 for any other.
    pub fn whole_at(&self) -> u64 {
        let mut words = self.entries(STREAM_NAMESPACE, "", None);
        words
            .find_map(|(key, entry)| match Word::of_entry(key, entry) {
                Some(Word::Supersedes(_, commits)) => Some(commits),
                _ => None,
            })
            .unwrap_or(0)
    }

    /// Totals and digests.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Where the record of the head stands in the log: a hint where to read on.
    pub fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn base(&self) -> Option<&Arc<Mapped>> {
        self.base.as_ref()
    }

    /// How many keys changed since the base image.
    pub(crate) fn changed_keys(&self) -> usize {
        self.delta.len()
    }

    /// About how many bytes of values changed since the base image.
    pub(crate) fn changed_bytes(&self) -> u64 {
        self.delta.bytes()
    }

    /// The entry of one key, to keep: what a fold looks up.
    pub(crate) fn lookup(&self, namespace: &Namespace, key: &Key) -> Option<Entry> {
        self.get(namespace.as_str(), key.as_str()).map(|entry| entry.to_entry())
    }

    /// The entry of one key.
    #[inline]
    pub fn get(&self, namespace: &str, key: &str) -> Option<EntryRef<'_>> {
        self.get_hashed(Mapped::hash(namespace, key), namespace, key)
    }

    #[inline]
    fn get_hashed(&self, hash: u64, namespace: &str, key: &str) -> Option<EntryRef<'_>> {
        match self.delta.get(hash, namespace, key) {
            Some(changed) => changed.entry.as_ref().map(Entry::as_ref),
            None => self.base.as_ref()?.get_hashed(hash, namespace, key),
        }
    }

    /// The entry of a key in the last of `namespaces` that holds it. Where these are the replica's own
    /// [`crate::Settings::layers`], it costs about what [`View::get`] does.
    #[inline]
    pub fn get_over(&self, namespaces: &Arc<[Namespace]>, key: &str) -> Option<EntryRef<'_>> {
        let lowest = namespaces.first()?.as_str();
        let hash = Mapped::hash(lowest, key);
        match self.find_above(namespaces, hash, key) {
            Some((_, entry)) => Some(entry),
            None => self.get_hashed(hash, lowest, key),
        }
    }

    /// As [`View::get_over`], and which of the namespaces it is, at the price of a copy.
    #[inline]
    pub fn find(&self, namespaces: &Arc<[Namespace]>, key: &str) -> Option<(usize, EntryRef<'_>)> {
        let lowest = namespaces.first()?.as_str();
        let hash = Mapped::hash(lowest, key);
        match self.find_above(namespaces, hash, key) {
            Some(found) => Some(found),
            None => Some((0, self.get_hashed(hash, lowest, key)?)),
        }
    }

    /// The same in the layers above the lowest, where the key has this hash.
    #[inline]
    fn find_above(
        &self,
        namespaces: &Arc<[Namespace]>,
        hash: u64,
        key: &str,
    ) -> Option<(usize, EntryRef<'_>)> {
        if namespaces.len() == 1 {
            return None;
        }
        match self.layers.as_ref().map(|layers| layers.may_hold(namespaces, hash)) {
            Some(0) => None,
            may_hold => self.find_marked(may_hold.unwrap_or(u8::MAX), namespaces, key),
        }
    }

    /// The same in those that `may_hold` has a bit for.
    fn find_marked(
        &self,
        may_hold: u8,
        namespaces: &[Namespace],
        key: &str,
    ) -> Option<(usize, EntryRef<'_>)> {
        let upper = namespaces.iter().enumerate().skip(1).rev();
        let mut asked =
            upper.filter(|(layer, _)| *layer >= MOST_LAYERS || may_hold & (1 << layer) != 0);
        asked.find_map(|(layer, name)| Some((layer, self.get(name.as_str(), key)?)))
    }

    /// The entries of one namespace whose keys begin with `prefix` and, if given, come after `after`, in byte order.
    pub fn entries<'a>(
        &'a self,
        namespace: &'a str,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, EntryRef<'a>)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let base = self.base.as_deref().map(|base| base.prefix(namespace, prefix, after));
        let changed =
            self.delta.keys(namespace, from).take_while(move |(key, _)| key.starts_with(prefix));
        Merge { base: base.into_iter().flatten().peekable(), changed: changed.peekable() }
    }

    /// Every entry, in order of (namespace, key).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, EntryRef<'_>)> {
        self.totals.namespaces().flat_map(|(namespace, _)| {
            let namespace = namespace.as_str();
            self.entries(namespace, "", None).map(move |(key, entry)| (namespace, key, entry))
        })
    }
}

/// Base entries overlaid with what changed, both in byte order of keys.
struct Merge<B: Iterator, C: Iterator> {
    base: Peekable<B>,
    changed: Peekable<C>,
}

impl<'a, B, C> Iterator for Merge<B, C>
where
    B: Iterator<Item = (&'a str, EntryRef<'a>)>,
    C: Iterator<Item = (&'a str, &'a Changed)>,
{
    type Item = (&'a str, EntryRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.changed.peek() else { return self.base.next() };
            if let Some(below) = self.base.next_if(|(base, _)| base < key) {
                return Some(below);
            }
            let (key, changed) = self.changed.next()?;
            self.base.next_if(|(base, _)| *base == key);
            if let Some(entry) = &changed.entry {
                return Some((key, entry.as_ref()));
            }
        }
    }
}
