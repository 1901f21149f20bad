//! Commits into rows. Blocking: called on threads that may.
//!
//! ```text
//!  live:      the replica's tail ── continues our head? ── its effects ─┐
//!  catch-up:  the log ── accept, decode, fold over our own rows ────────┴─▶ one batch: rows + totals + place
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use headwater_image::Lineage;
use headwater_replica::{Alarm, AlarmKind, Applied, Chain, Resumed, Step};
use headwater_schemas::{
    Commit, Digest, Divergence, Entry, Folded, Key, Namespace, Record, Totals, Word, entry_digest,
};

use crate::metrics;
use crate::steps::{self, Steps};
use crate::store::{Batch, Place, Rows, Store, StoreError};

/// Why nothing more can be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The store failed: reopen it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain cannot be followed from here: keep the last good state.
    #[error("{}", .0.detail)]
    Stop(Alarm),
}

impl Failure {
    pub(crate) fn stop(kind: AlarmKind, detail: impl Into<String>) -> Self {
        Self::Stop(Alarm { kind, detail: detail.into() })
    }
}

fn write(
    batch: Batch<'_>,
    place: &Place,
    totals: &Totals,
    hooks: &Steps,
) -> Result<(), StoreError> {
    let (started, commits) = (Instant::now(), batch.len());
    hooks.at(steps::Step::Write)?;
    batch.write(place, totals)?;
    hooks.at(steps::Step::Written)?;
    metrics::batch(commits, place.head.revision, started.elapsed());
    Ok(())
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Where the rows stand now.
    pub(crate) place: Option<Place>,
    /// A commit that did not fit the state and counts all the same: its writer was wrong.
    pub(crate) diverged: Option<Divergence>,
    /// Up to this revision an operator has accepted what did not fit.
    pub(crate) accepted: Option<u64>,
    /// How the rows' chain came about, where an operator led the stream to it just now.
    pub(crate) succession: Option<Lineage>,
    /// Why the commit behind the rows cannot be read, if so: only an operator leads past it.
    pub(crate) unreadable: Option<String>,
}

impl Taken {
    fn at(place: Option<Place>) -> Self {
        Self { place, diverged: None, accepted: None, succession: None, unreadable: None }
    }

    fn heed(&mut self, commit: &Commit) {
        match Word::of(commit) {
            Some(Word::Accepts(point)) => self.accepted = Some(point.revision),
            Some(Word::Adopts(from) | Word::Supersedes(from, _)) => {
                let (since, at_ms) = (commit.revision, commit.at_ms);
                self.succession = Some(Lineage { from, since, at_ms });
            }
            Some(Word::Skips(_)) | None => {}
        }
    }
}

/// Takes in what the replica applied. It has accepted and folded each commit and compared its digest; what is
/// checked here is that they continue the chain of these rows.
pub(crate) fn take_tail(
    store: &Store,
    mut place: Place,
    items: &[Arc<Applied>],
    steps: &Steps,
) -> Result<Taken, Failure> {
    let mut taken = Taken::at(Some(place));
    let Some(last) = items.last() else { return Ok(taken) };
    let mut batch = Batch::new(store)?;
    for item in items {
        check_continues(&place, item)?;
        let ours = item.totals.digest();
        if ours != item.commit.digest {
            let (revision, theirs) = (item.head.revision, item.commit.digest);
            taken.diverged = Some(Divergence::Digest { revision, ours, theirs });
        }
        taken.heed(&item.commit);
        let (position, appended_at_ms) = (item.position, item.appended_at_ms);
        let record = Record { position, appended_at_ms, bytes: item.record.clone() };
        batch.push(&record, &item.commit, &item.effects);
        place = Place { head: item.head, position };
    }
    write(batch, &place, &last.totals, steps)?;
    taken.place = Some(place);
    Ok(taken)
}

fn check_continues(place: &Place, item: &Applied) -> Result<(), Failure> {
    let (head, commit) = (&place.head, &item.commit);
    if item.record.is_empty() {
        let detail =
            "the replica holds some namespaces only; give the snapshotter one that holds all";
        return Err(Failure::stop(AlarmKind::WrongSource, detail));
    }
    let continues = commit.stream_id == head.stream_id
        && Some(commit.revision) == head.revision.checked_add(1)
        && commit.parent == head.hash;
    if continues { Ok(()) } else { Err(other_chain(place)) }
}

/// The chain that is followed is not the one these rows stand on.
pub(crate) fn other_chain(place: &Place) -> Failure {
    let detail = format!(
        "the chain does not continue the rows' head (revision {}, {}): the log was recreated, restored or is \
         another one. Give back the right log, or move the store's directory away to build it anew from this one",
        place.head.revision, place.head.hash
    );
    Failure::stop(AlarmKind::NotOnThisLog, detail)
}

/// What a batch does to keys, for the fold of the commits behind it.
type Pending = HashMap<(Namespace, Key), Option<Entry>>;

/// Takes records of the log in, over the rows themselves.
pub(crate) struct CatchUp {
    pub(crate) chain: Option<Chain>,
    pub(crate) place: Option<Place>,
    /// Why the commit behind the rows cannot be read, if so.
    unreadable: Option<String>,
}

impl CatchUp {
    /// Begins where the rows stand.
    pub(crate) fn new(store: &Store) -> Result<Self, StoreError> {
        let rows = store.rows();
        Ok(Self { chain: rows.chain()?, place: rows.place()?, unreadable: None })
    }

    /// Takes in what continues the chain, ignores the rest, and writes it as one batch.
    pub(crate) fn take(
        &mut self,
        store: &Store,
        records: &[Record],
        steps: &Steps,
    ) -> Result<Taken, Failure> {
        let mut taken = Taken::at(None);
        let mut work = Work::new(store)?;
        for record in records {
            let judged = match self.judge(&mut work, record) {
                Ok(judged) => judged,
                Err(failure) => {
                    // What came before it counts.
                    self.flush(work, steps)?;
                    return Err(failure);
                }
            };
            for Judged { record, commit, folded, before } in judged {
                if let Some(divergence) = &folded.divergence {
                    self.flush(work, steps)?;
                    check_rows(store, &before, divergence)?;
                    taken.diverged = Some(divergence.clone());
                    work = Work::new(store)?;
                }
                taken.heed(&commit);
                work.push(&record, &commit, &folded);
                self.place = Some(Place { head: folded.head, position: record.position });
            }
        }
        self.flush(work, steps)?;
        taken.place = self.place;
        taken.unreadable.clone_from(&self.unreadable);
        Ok(taken)
    }

    fn flush(&self, work: Work<'_>, steps: &Steps) -> Result<(), StoreError> {
        match (&self.place, work.totals) {
            (Some(place), Some(totals)) => write(work.batch, place, &totals, steps),
            _ => Ok(()),
        }
    }

    /// What a record says and does; nothing when it does not continue the chain.
    fn judge(&mut self, work: &mut Work<'_>, record: &Record) -> Result<Vec<Judged>, Failure> {
        let judged = |record: &Record, (commit, folded), before| {
            let record = record.clone();
            Judged { record, commit, folded, before }
        };
        let Some(chain) = &mut self.chain else {
            let Some((chain, commit, folded)) = Chain::found(&record.bytes) else {
                return Ok(Vec::new());
            };
            self.chain = Some(chain);
            return Ok(vec![judged(record, (commit, folded), Totals::default())]);
        };
        let before = chain.totals().clone();
        let mut failed = None;
        let step = chain.step(record, |namespace, key| {
            work.lookup(namespace, key).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        match step {
            Ok(Step::Accepted(step)) => Ok(vec![judged(record, *step, before)]),
            Ok(Step::Resumed(resumed)) => {
                let Resumed { record: unread, skipped, next } = *resumed;
                self.unreadable = None;
                Ok(vec![judged(&unread, skipped, before.clone()), judged(record, next, before)])
            }
            Ok(Step::Marker(_) | Step::Ignored { .. }) => Ok(Vec::new()),
            Err(stop) if chain.blocked().is_some() => {
                self.unreadable = Some(stop.to_string());
                Ok(Vec::new())
            }
            Err(stop) => Err(Failure::stop(AlarmKind::Undecodable, stop.to_string())),
        }
    }
}

/// A commit that continues the chain, and the totals before it.
struct Judged {
    record: Record,
    commit: Commit,
    folded: Folded,
    before: Totals,
}

/// A batch being filled, and what it leads to.
struct Work<'a> {
    rows: Rows<'a>,
    batch: Batch<'a>,
    pending: Pending,
    totals: Option<Totals>,
}

impl<'a> Work<'a> {
    fn new(store: &'a Store) -> Result<Self, StoreError> {
        let (rows, batch) = (store.rows(), Batch::new(store)?);
        Ok(Self { rows, batch, pending: Pending::new(), totals: None })
    }

    fn lookup(&self, namespace: &Namespace, key: &Key) -> Result<Option<Entry>, StoreError> {
        match self.pending.get(&(namespace.clone(), key.clone())) {
            Some(entry) => Ok(entry.clone()),
            None => self.rows.entry(namespace.as_str(), key.as_str()),
        }
    }

    fn push(&mut self, record: &Record, commit: &Commit, folded: &Folded) {
        self.batch.push(record, commit, &folded.effects);
        for effect in &folded.effects {
            let at = (effect.namespace.clone(), effect.key.clone());
            self.pending.insert(at, effect.after.clone());
        }
        self.totals = Some(folded.totals.clone());
    }
}

/// A commit does not fit. Either these rows are wrong, or its writer was: the rows are added up anew. Only when
/// they are what they claim to be is it the writer, and the fold counts.
fn check_rows(store: &Store, totals: &Totals, divergence: &Divergence) -> Result<(), Failure> {
    let rows = store.rows();
    let mut sum = Digest::default();
    for (namespace, _) in totals.namespaces() {
        let namespace = namespace.as_str();
        rows.each(namespace, |key, entry| {
            sum = sum.plus(entry_digest(namespace, key, entry));
            Ok::<_, StoreError>(())
        })?;
    }
    if sum == totals.digest() {
        return Ok(());
    }
    let detail = format!(
        "{divergence}; and the rows add up to {sum} instead of {}: the store is damaged. Move its directory away, \
         and it is rebuilt from the log",
        totals.digest()
    );
    Err(Failure::stop(AlarmKind::Divergence, detail))
}

#[cfg(test)]
#[path = "../../relay/tests/relay/chain.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
pub(crate) mod chain;

#[cfg(test)]
#[path = "materialise_tests.rs"]
mod tests;
