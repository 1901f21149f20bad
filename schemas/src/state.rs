//! The plain model of a state: what tests and audits fold into and compare everything else with.

use std::collections::BTreeMap;

use crate::fold::fold_into;
use crate::{Commit, Digest, Entry, Folded, Hash, Head, Key, Namespace, Totals};

/// All entries at one revision, in an ordered map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    head: Head,
    totals: Totals,
    entries: BTreeMap<Namespace, BTreeMap<Key, Held>>,
}

/// An entry and its digest, which is taken out of the sum when the entry goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    entry: Entry,
    digest: Digest,
}

impl State {
    /// The state a founding commit (revision 0, see [`crate::Genesis::commit`]) leads to.
    pub fn found(genesis: &Commit, hash: Hash) -> Self {
        let head = Head { stream_id: genesis.stream_id, revision: 0, hash, at_ms: genesis.at_ms };
        let mut state = Self { head, totals: Totals::default(), entries: BTreeMap::new() };
        state.apply(genesis, hash);
        state
    }

    /// Folds an accepted commit in and says what it did. The fold is the truth even where the commit
    /// diverges; the caller decides what a divergence means.
    pub fn apply(&mut self, commit: &Commit, hash: Hash) -> Folded {
        let (totals, entries) = (std::mem::take(&mut self.totals), &self.entries);
        let lookup = |namespace: &Namespace, key: &Key| {
            let held = entries.get(namespace)?.get(key)?;
            Some((held.entry.clone(), Some(held.digest)))
        };
        let folded = fold_into(commit, hash, totals, lookup);
        for effect in &folded.effects {
            let entries = match self.entries.get_mut(&effect.namespace) {
                Some(entries) => entries,
                None => self.entries.entry(effect.namespace.clone()).or_default(),
            };
            match effect.after.clone() {
                Some(entry) => {
                    entries.insert(effect.key.clone(), Held { entry, digest: effect.digest })
                }
                None => entries.remove(&effect.key),
            };
        }
        self.head = folded.head;
        self.totals = folded.totals.clone();
        folded
    }

    /// The head of the chain this state is the fold of.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Totals and digests.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The entry of one key.
    pub fn get(&self, namespace: &Namespace, key: &Key) -> Option<&Entry> {
        self.entries.get(namespace)?.get(key).map(|held| &held.entry)
    }

    /// All entries in order of (namespace, key).
    pub fn iter(&self) -> impl Iterator<Item = (&Namespace, &Key, &Entry)> {
        self.entries.iter().flat_map(|(namespace, entries)| {
            entries.iter().map(move |(key, held)| (namespace, key, &held.entry))
        })
    }

    /// The entries of one namespace whose keys begin with `prefix`, in byte order.
    pub fn prefix(
        &self,
        namespace: &Namespace,
        prefix: &str,
    ) -> impl Iterator<Item = (&Key, &Entry)> {
        let entries = self.entries.get(namespace).into_iter().flatten();
        let entries = entries.map(|(key, held)| (key, &held.entry));
        entries.filter(move |(key, _)| key.as_str().starts_with(prefix))
    }
}
