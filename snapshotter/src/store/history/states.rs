//! Older states, and what lies between two of them.

use std::collections::BTreeSet;

use headwater_replica::{DiffPage, DiffQuery, EntriesPage, EntriesQuery, HistoryError, KeyDiff};
use headwater_schemas::{Entry, Key};

use super::commit;
use crate::store::past::Change;
use crate::store::{Rows, StoreError, rows};

/// How many keys one page looks at.
const MAX_LOOKED_AT: usize = 20_000;
/// Between two states with no more commits than this the keys are taken from the commits: fewer seeks than a namespace has
/// keys.
const MAX_BETWEEN: usize = 1_000;
/// The same, in bytes of their records.
const MAX_BETWEEN_BYTES: usize = 8 * 1024 * 1024;

fn key(name: &str) -> Result<Key, StoreError> {
    Key::parse(name).map_err(|_| rows::Damaged("version").into())
}

fn size(entry: Option<&Entry>) -> usize {
    entry.map_or(0, |entry| entry.value.len())
}

pub(super) fn entries(rows: &Rows<'_>, query: &EntriesQuery) -> Result<EntriesPage, HistoryError> {
    let after = query.after.as_ref().map(Key::as_str);
    let mut keys = rows.keys(query.namespace.as_str(), &query.prefix, after)?;
    let (mut page, mut bytes, mut last) = (EntriesPage::default(), 0, None);
    let mut looked_at = 0;
    while let Some(name) = keys.next()? {
        let is_full = page.entries.len() >= query.limit || bytes >= query.max_bytes;
        if (is_full || looked_at >= MAX_LOOKED_AT) && last.is_some() {
            page.next = last;
            return Ok(page);
        }
        looked_at += 1;
        let key = key(&name)?;
        if let Some(entry) = keys.change_at(query.revision)?.and_then(|change| change.entry) {
            bytes += size(Some(&entry));
            page.entries.push((key.clone(), entry));
        }
        last = Some(key);
    }
    Ok(page)
}

pub(super) fn diff(rows: &Rows<'_>, query: &DiffQuery) -> Result<DiffPage, HistoryError> {
    match changed_between(rows, query)? {
        Some(changed) => diff_of(rows, query, changed),
        None => diff_of_all(rows, query),
    }
}

/// The earlier revision first.
fn ascending(query: &DiffQuery) -> (u64, u64) {
    (query.from.min(query.to), query.from.max(query.to))
}

/// The keys that the commits between the two states name, if those are few.
fn changed_between(
    rows: &Rows<'_>,
    query: &DiffQuery,
) -> Result<Option<BTreeSet<Key>>, HistoryError> {
    let (low, high) = ascending(query);
    let codec = rows.codec()?;
    let mut revisions = rows.of_namespace(query.namespace.as_str())?;
    let (mut changed, mut count, mut bytes, mut from) = (BTreeSet::new(), 0, 0, low);
    while let Some(revision) = from.checked_add(1).map(|from| revisions.at_or_above(from)) {
        let Some(revision) = revision?.filter(|revision| *revision <= high) else { break };
        let (_, record, commit) = commit(rows, &codec, revision)?;
        (count, bytes) = (count + 1, bytes + record.bytes.len());
        if count > MAX_BETWEEN || bytes > MAX_BETWEEN_BYTES {
            return Ok(None);
        }
        let here = commit.changes.iter().filter(|change| *change.namespace() == query.namespace);
        changed.extend(here.map(|change| change.key().clone()));
        from = revision;
    }
    let wanted = |key: &Key| {
        key.as_str().starts_with(&query.prefix)
            && query.after.as_ref().is_none_or(|after| key.as_str() > after.as_str())
    };
    changed.retain(wanted);
    Ok(Some(changed))
}

fn diff_of(
    rows: &Rows<'_>,
    query: &DiffQuery,
    changed: BTreeSet<Key>,
) -> Result<DiffPage, HistoryError> {
    let (low, high) = ascending(query);
    let mut page = Differences::new(query);
    for key in changed {
        if page.is_full() {
            return Ok(page.end(true));
        }
        let at = |revision| rows.change_at(query.namespace.as_str(), key.as_str(), revision);
        let (old, new) = (at(low)?, at(high)?);
        page.look(key, old, new);
    }
    Ok(page.end(false))
}

fn diff_of_all(rows: &Rows<'_>, query: &DiffQuery) -> Result<DiffPage, HistoryError> {
    let (low, high) = ascending(query);
    let after = query.after.as_ref().map(Key::as_str);
    let mut keys = rows.keys(query.namespace.as_str(), &query.prefix, after)?;
    let (mut page, mut looked_at) = (Differences::new(query), 0);
    while let Some(name) = keys.next()? {
        if page.is_full() || looked_at >= MAX_LOOKED_AT {
            return Ok(page.end(true));
        }
        looked_at += 1;
        let new = keys.change_at(high)?;
        let is_old = new.as_ref().is_none_or(|change| change.revision <= low);
        let old = if is_old { new.clone() } else { keys.change_at(low)? };
        page.look(key(&name)?, old, new);
    }
    Ok(page.end(false))
}

/// A page of differences being filled.
struct Differences<'q> {
    query: &'q DiffQuery,
    page: DiffPage,
    bytes: usize,
    last: Option<Key>,
}

impl<'q> Differences<'q> {
    fn new(query: &'q DiffQuery) -> Self {
        Self { query, page: DiffPage::default(), bytes: 0, last: None }
    }

    fn is_full(&self) -> bool {
        self.last.is_some()
            && (self.page.changes.len() >= self.query.limit || self.bytes >= self.query.max_bytes)
    }

    /// Takes in the last changes of a key in the earlier and in the later state.
    fn look(&mut self, key: Key, earlier: Option<Change>, later: Option<Change>) {
        self.last = Some(key.clone());
        let (earlier, later) =
            (earlier.and_then(|change| change.entry), later.and_then(|change| change.entry));
        if earlier == later {
            return;
        }
        self.bytes += size(earlier.as_ref()) + size(later.as_ref());
        let (old, new) =
            if self.query.from <= self.query.to { (earlier, later) } else { (later, earlier) };
        self.page.changes.push(KeyDiff { key, old, new });
    }

    fn end(self, more: bool) -> DiffPage {
        DiffPage { next: self.last.filter(|_| more), ..self.page }
    }
}
