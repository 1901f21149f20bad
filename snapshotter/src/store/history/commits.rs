//! A page of commits, found by the indexes.

use headwater_replica::{CommitsPage, CommitsQuery, HistoryError, Order};
use headwater_schemas::Namespace;

use super::{MAX_READ_BYTES, commit};
use crate::store::past::Revisions;
use crate::store::{Rows, StoreError};

/// How many commits one page looks at for those that are wanted, where no index tells.
const MAX_LOOKED_AT: usize = 5_000;
/// How many steps one page takes in the indexes to find revisions that all of them hold.
const MAX_STEPS: usize = 50_000;

/// Under a prefix of no more keys than these the revisions of each are looked at.
const MAX_KEYS: usize = 64;

/// Revisions that stand in any of some lists.
struct Union<'r>(Vec<Revisions<'r>>);

impl Union<'_> {
    /// The first one from `from` on.
    fn from(&mut self, from: u64, order: Order) -> Result<Option<u64>, StoreError> {
        let mut first: Option<u64> = None;
        for list in &mut self.0 {
            let next = match order {
                Order::Ascending => list.at_or_above(from)?,
                Order::Descending => list.at_or_below(from)?,
            };
            first = match (first, next, order) {
                (Some(first), Some(next), Order::Ascending) => Some(first.min(next)),
                (Some(first), Some(next), Order::Descending) => Some(first.max(next)),
                (first, next, _) => first.or(next),
            };
        }
        Ok(first)
    }
}

/// The indexes that a question goes by: a commit that is wanted stands in all of them.
struct Indexes<'r> {
    all: Vec<Union<'r>>,
    order: Order,
    steps: usize,
}

/// What looking for the next revision gives.
enum Next {
    /// It stands in all indexes.
    Found(u64),
    /// None does.
    None,
    /// None does between where the search began and here, and it took long: go on from here.
    Paused(u64),
}

impl<'r> Indexes<'r> {
    fn of(rows: &'r Rows<'_>, query: &CommitsQuery) -> Result<Self, StoreError> {
        let mut all = Vec::new();
        if let Some(actor) = &query.actor {
            all.push(Union(vec![rows.of_actor(actor)?]));
        }
        match (of_prefix(rows, query)?, &query.namespace) {
            (Some(keys), _) => all.push(Union(keys)),
            (None, Some(namespace)) => {
                all.push(Union(vec![rows.of_namespace(namespace.as_str())?]));
            }
            (None, None) => {}
        }
        if all.is_empty() {
            all.push(Union(vec![rows.of_all()?]));
        }
        Ok(Self { all, order: query.order, steps: 0 })
    }

    /// The first revision from `from` on, in the order asked for, that stands in all of them.
    fn next(&mut self, from: u64) -> Result<Next, StoreError> {
        let mut candidate = from;
        loop {
            if self.steps >= MAX_STEPS {
                return Ok(Next::Paused(candidate));
            }
            let before = candidate;
            for index in &mut self.all {
                self.steps += index.0.len();
                match index.from(candidate, self.order)? {
                    Some(found) => candidate = found,
                    None => return Ok(Next::None),
                }
            }
            if candidate == before || self.all.len() == 1 {
                return Ok(Next::Found(candidate));
            }
        }
    }
}

/// The revisions of each key under the prefix that is asked for; none where there is no prefix, or those keys are too many.
fn of_prefix<'r>(
    rows: &'r Rows<'_>,
    query: &CommitsQuery,
) -> Result<Option<Vec<Revisions<'r>>>, StoreError> {
    if query.prefix.is_empty() {
        return Ok(None);
    }
    let namespaces: Vec<Namespace> = match &query.namespace {
        Some(namespace) => vec![namespace.clone()],
        None => rows.totals()?.namespaces().map(|(name, _)| name.clone()).collect(),
    };
    let mut lists = Vec::new();
    for namespace in namespaces {
        let more = rows.of_keys(namespace.as_str(), &query.prefix, MAX_KEYS - lists.len())?;
        let Some(more) = more else { return Ok(None) };
        lists.extend(more);
    }
    Ok(Some(lists))
}

/// The commits that `query` wants, of rows that reach its end.
pub(super) fn page(rows: &Rows<'_>, query: &CommitsQuery) -> Result<CommitsPage, HistoryError> {
    let codec = rows.codec()?;
    let mut indexes = Indexes::of(rows, query)?;
    let (first, end) = match query.order {
        Order::Ascending => (query.after.saturating_add(1), query.upto),
        Order::Descending => (query.upto, query.after),
    };
    let mut page = CommitsPage { commits: Vec::new(), scanned_to: end };
    if query.after >= query.upto {
        return Ok(page);
    }
    let (mut from, mut bytes, mut looked_at, mut read) = (first, 0, 0, 0);
    loop {
        let next = indexes.next(from)?;
        let (Next::Found(at) | Next::Paused(at)) = next else { return Ok(page) };
        if !is_within(query, at) {
            return Ok(page);
        }
        let is_full = page.commits.len() >= query.limit || bytes >= query.max_bytes;
        let is_long = looked_at >= MAX_LOOKED_AT || read >= MAX_READ_BYTES;
        if is_full || is_long || matches!(next, Next::Paused(_)) {
            // Everything before it was looked at.
            page.scanned_to = match query.order {
                Order::Ascending => at - 1,
                Order::Descending => at,
            };
            return Ok(page);
        }
        let (hash, record, commit) = commit(rows, &codec, at)?;
        (looked_at, read) = (looked_at + 1, read + record.bytes.len());
        if query.matches(&commit) {
            bytes += record.bytes.len();
            page.commits.push((hash, commit));
        }
        from = match query.order {
            Order::Ascending => at.saturating_add(1),
            Order::Descending => at - 1,
        };
    }
}

/// The genesis, 0, is no commit that is listed.
fn is_within(query: &CommitsQuery, revision: u64) -> bool {
    revision > query.after && revision <= query.upto
}
