//! One moment of a replica: questions about the revisions that its tail reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_schemas::{Effect, Entry, EntryRef, Head, Key, Namespace};

use crate::history::{
    CommitsPage, CommitsQuery, DiffPage, DiffQuery, EntriesPage, EntriesQuery, HistoryError,
    KeyDiff, Order, Version, VersionsPage, VersionsQuery,
};
use crate::{Applied, View};

/// The view, and the commits that led to it from the revision that was asked for.
pub(super) struct Moment {
    pub(super) view: Arc<View>,
    /// What the tail begins behind.
    pub(super) base: Head,
    pub(super) items: Vec<Arc<Applied>>,
}

impl Moment {
    fn effects(&self) -> impl DoubleEndedIterator<Item = (u64, &Effect)> {
        let of = |item: &'_ Arc<Applied>| item.head.revision;
        self.items
            .iter()
            .flat_map(move |item| item.effects.iter().map(move |effect| (of(item), effect)))
    }

    pub(super) fn entry(&self, namespace: &str, key: &str) -> Option<Entry> {
        let is_it =
            |effect: &Effect| effect.namespace.as_str() == namespace && effect.key.as_str() == key;
        match self.effects().find(|(_, effect)| is_it(effect)) {
            Some((_, effect)) => effect.before.clone(),
            None => self.view.get(namespace, key).map(|entry| entry.to_entry()),
        }
    }

    /// The keys of a namespace that changed since, each with what it was before; those that `wanted` wants.
    fn undone(
        &self,
        namespace: &Namespace,
        wanted: impl Fn(&Key) -> bool,
    ) -> BTreeMap<Key, Option<Entry>> {
        let mut undone = BTreeMap::new();
        for (_, effect) in self.effects() {
            if effect.namespace == *namespace && wanted(&effect.key) {
                undone.entry(effect.key.clone()).or_insert_with(|| effect.before.clone());
            }
        }
        undone
    }

    pub(super) fn entries(&self, query: &EntriesQuery) -> Result<EntriesPage, HistoryError> {
        let is_behind = |key: &Key| query.after.as_ref().is_none_or(|after| key > after);
        let wanted = |key: &Key| key.as_str().starts_with(&query.prefix) && is_behind(key);
        let undone = self.undone(&query.namespace, wanted);
        let after = query.after.as_ref().map(Key::as_str);
        let kept = self.view.entries(query.namespace.as_str(), &query.prefix, after);
        let (mut page, mut bytes) = (EntriesPage::default(), 0);
        for entry in overlaid(kept, undone) {
            let (key, entry) = entry?;
            let is_full = page.entries.len() >= query.limit || bytes >= query.max_bytes;
            if let Some((last, _)) = page.entries.last().filter(|_| is_full) {
                page.next = Some(last.clone());
                break;
            }
            bytes += entry.value.len();
            page.entries.push((key, entry));
        }
        Ok(page)
    }

    pub(super) fn versions(&self, query: &VersionsQuery) -> Result<VersionsPage, HistoryError> {
        let oldest = self.base.revision;
        if query.before <= oldest.saturating_add(1) && oldest > 0 {
            return Err(HistoryError::Compacted { oldest });
        }
        let older = (oldest > 0).then_some(oldest.saturating_add(1));
        let (mut page, mut bytes) = (VersionsPage { versions: Vec::new(), next: older }, 0);
        for item in self.items.iter().rev().filter(|item| item.head.revision < query.before) {
            let is_it =
                |effect: &&Effect| effect.namespace == query.namespace && effect.key == query.key;
            let Some(effect) = item.effects.iter().find(is_it) else { continue };
            if let Some(last) = page.versions.last()
                && (page.versions.len() >= query.limit || bytes >= query.max_bytes)
            {
                page.next = Some(last.revision);
                break;
            }
            bytes += effect.after.as_ref().map_or(0, |entry| entry.value.len());
            page.versions.push(Version::of(&item.commit, effect.after.clone()));
        }
        Ok(page)
    }

    pub(super) fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, HistoryError> {
        let within = |item: &&Arc<Applied>| {
            item.head.revision > query.after && item.head.revision <= query.upto
        };
        let items = self.items.iter().filter(within);
        let items: Vec<_> = match query.order {
            Order::Ascending => items.collect(),
            Order::Descending if query.upto <= self.base.revision && query.upto > query.after => {
                return Err(HistoryError::Compacted { oldest: self.base.revision });
            }
            Order::Descending => items.rev().collect(),
        };
        let end = match query.order {
            Order::Ascending => query.upto,
            Order::Descending => query.after.max(self.base.revision),
        };
        let (mut page, mut bytes) = (CommitsPage { commits: Vec::new(), scanned_to: end }, 0);
        for item in items.into_iter().filter(|item| query.matches(&item.commit)) {
            let is_full = page.commits.len() >= query.limit || bytes >= query.max_bytes;
            if let Some((_, last)) = page.commits.last().filter(|_| is_full) {
                page.scanned_to = match query.order {
                    Order::Ascending => last.revision,
                    Order::Descending => last.revision - 1,
                };
                break;
            }
            bytes += item.record.len();
            page.commits.push((item.head.hash, item.commit.clone()));
        }
        Ok(page)
    }

    pub(super) fn diff(&self, query: &DiffQuery) -> DiffPage {
        let (low, high) = (query.from.min(query.to), query.from.max(query.to));
        let is_behind = |key: &Key| query.after.as_ref().is_none_or(|after| key > after);
        let mut changed = BTreeMap::<Key, (Option<Entry>, Option<Entry>)>::new();
        for (revision, effect) in self.effects() {
            let wanted = effect.namespace == query.namespace
                && effect.key.as_str().starts_with(&query.prefix)
                && is_behind(&effect.key);
            if wanted && revision > low && revision <= high {
                let now = effect.after.clone();
                changed
                    .entry(effect.key.clone())
                    .and_modify(|(_, after)| after.clone_from(&now))
                    .or_insert_with(|| (effect.before.clone(), now.clone()));
            }
        }
        let (mut page, mut bytes) = (DiffPage::default(), 0);
        let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.value.len());
        for (key, (earlier, later)) in changed {
            if earlier == later {
                continue;
            }
            let is_full = page.changes.len() >= query.limit || bytes >= query.max_bytes;
            if let Some(last) = page.changes.last().filter(|_| is_full) {
                page.next = Some(last.key.clone());
                break;
            }
            bytes += size(&earlier) + size(&later);
            let (old, new) =
                if query.from <= query.to { (earlier, later) } else { (later, earlier) };
            page.changes.push(KeyDiff { key, old, new });
        }
        page
    }

    pub(super) fn revision_at(&self, at_ms: i64) -> Result<u64, HistoryError> {
        if self.items.is_empty() && at_ms >= self.view.head().at_ms {
            return Ok(self.view.revision());
        }
        let later = self.items.partition_point(|item| item.head.at_ms <= at_ms);
        match later.checked_sub(1).and_then(|last| self.items.get(last)) {
            Some(last) => Ok(last.head.revision),
            None if at_ms >= self.base.at_ms || self.base.revision == 0 => Ok(self.base.revision),
            None => Err(HistoryError::Compacted { oldest: self.base.revision }),
        }
    }

    pub(super) fn last_change(
        &self,
        namespace: &str,
        key: Option<&str>,
        upto: u64,
    ) -> Result<u64, HistoryError> {
        let is_it = |effect: &Effect| {
            effect.namespace.as_str() == namespace
                && key.is_none_or(|key| effect.key.as_str() == key)
        };
        let found = self.effects().rfind(|(at, effect)| *at <= upto && is_it(effect));
        if let Some((revision, _)) = found {
            return Ok(revision);
        }
        // What did not change since the tail's begin is as it was then.
        let standing = match key {
            Some(key) => self.view.get(namespace, key).map(|entry| entry.mod_revision),
            None => Some(self.view.totals().of(namespace).mod_revision),
        };
        match standing {
            Some(revision) if revision <= upto && (revision > 0 || key.is_none()) => Ok(revision),
            _ if self.base.revision == 0 => Ok(0),
            _ => Err(HistoryError::Compacted { oldest: self.base.revision }),
        }
    }
}

/// Entries with older ones in their place, in byte order of keys; where the older one is none, the key was absent.
fn overlaid<'a>(
    kept: impl Iterator<Item = (&'a str, EntryRef<'a>)>,
    older: BTreeMap<Key, Option<Entry>>,
) -> impl Iterator<Item = Result<(Key, Entry), HistoryError>> {
    let (mut kept, mut older) = (kept.peekable(), older.into_iter().peekable());
    std::iter::from_fn(move || {
        loop {
            let is_kept = match (kept.peek(), older.peek()) {
                (Some((key, _)), Some((first, _))) => *key < first.as_str(),
                (kept, _) => kept.is_some(),
            };
            if is_kept {
                let (key, entry) = kept.next()?;
                let key = Key::parse(key).map_err(|no| HistoryError::Unavailable(no.to_string()));
                return Some(key.map(|key| (key, entry.to_entry())));
            }
            let (key, entry) = older.next()?;
            kept.next_if(|(now, _)| *now == key.as_str());
            if let Some(entry) = entry {
                return Some(Ok((key, entry)));
            }
        }
    })
}
