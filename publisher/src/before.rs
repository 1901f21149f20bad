//! What stood at an older revision, asked when a rollback comes: of the replica's tail while that reaches back so far,
//! else of the history.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_replica::{DiffQuery, History, HistoryError, Replica, TailRead};
use headwater_schemas::{Hash, Head, Key};
use tokio::time::{Instant, timeout};

use crate::past;
use crate::refusal::Refusal;
use crate::rollback::{Rollback, value};
use crate::settings::Settings;

/// The media type and the bytes of an entry.
pub(crate) type Value = (Arc<str>, Bytes);

/// Read of the tail at once: whoever extends it waits for whoever reads it.
const TAIL_BYTES: usize = 1024 * 1024;
/// How long what is far too much is counted.
const COUNTING: Duration = Duration::from_secs(3);
const PAGE_KEYS: usize = 1_000;
const PAGE_BYTES: usize = 1024 * 1024;

/// The old values of the keys that differ between a rollback's revision and `upto`.
#[derive(Debug)]
pub(crate) struct Before {
    upto: u64,
    /// The chain hash there; none where the revision itself is what was asked for.
    hash: Option<Hash>,
    old: BTreeMap<Key, Option<Value>>,
    /// How many differ, and how many bytes their old values have. Where that is far more than one commit may hold, `old`
    /// is not all of them.
    keys: usize,
    bytes: usize,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    keys: usize,
    bytes: usize,
}

impl Before {
    /// Nothing was asked yet: all that came after the rollback's revision is still to be looked at.
    pub(crate) fn nothing(rollback: &Rollback, settings: &Settings) -> Self {
        let limits = Limits { keys: settings.max_changes, bytes: settings.max_record_bytes };
        let (old, keys, bytes) = (BTreeMap::new(), 0, 0);
        Self { upto: rollback.to_revision, hash: None, old, keys, bytes, limits }
    }

    /// Everything up to this revision was looked at.
    pub(crate) fn upto(&self) -> u64 {
        self.upto
    }

    /// The same, where it was read: what rests on it is said of no earlier state.
    pub(crate) fn read_to(&self) -> u64 {
        self.hash.map_or(0, |_| self.upto)
    }

    /// Whether that was on the chain which has this hash there.
    pub(crate) fn is_on_chain(&self, hash: Option<Hash>) -> bool {
        self.hash.is_none_or(|own| Some(own) == hash)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, Option<Value>)> {
        self.old.iter().map(|(key, old)| (key, old.clone()))
    }

    /// The keys that differed.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.old.keys()
    }

    /// Twice what a commit may hold is kept, because what is committed meanwhile may make it less; where there was more, it
    /// is refused with what was counted.
    ///
    /// # Errors
    /// Too many changes, or too many bytes.
    pub(crate) fn whole(&self) -> Result<(), Refusal> {
        if self.fits() {
            return Ok(());
        }
        let Limits { keys, bytes } = self.limits;
        Err(if self.keys > keys {
            Refusal::TooManyChanges { limit: keys, actual: self.keys }
        } else {
            Refusal::CommitTooLarge { limit: bytes, actual: self.bytes }
        })
    }

    fn fits(&self) -> bool {
        self.keys <= 2 * self.limits.keys && self.bytes <= 2 * self.limits.bytes
    }

    fn note(&mut self, key: Key, old: Option<Value>, new: Option<Value>) {
        if old == new {
            return;
        }
        self.keys += 1;
        self.bytes += old.as_ref().map_or(0, |(_, value)| value.len());
        if self.fits() {
            self.old.insert(key, old);
        }
    }

    fn reached(self, head: Head) -> Self {
        Self { upto: head.revision, hash: Some(head.hash), ..self }
    }
}

/// Looks at everything between the rollback's revision and now, as near as that can be had.
///
/// # Errors
/// The revision is no longer kept, or whoever keeps it cannot be asked now.
pub(crate) async fn ask(
    rollback: &Rollback,
    replica: &Replica,
    history: Option<&dyn History>,
    settings: &Settings,
) -> Result<Before, Refusal> {
    let nothing = Before::nothing(rollback, settings);
    let (Some(view), Some(oldest)) = (replica.view(), replica.tail().oldest()) else {
        return Ok(nothing);
    };
    // The first commits of a stream that was founded from another one's state carry that over: there is no state before.
    let whole_at = view.whole_at();
    if rollback.to_revision < whole_at {
        return Err(Refusal::RevisionCompacted { asked: rollback.to_revision, oldest: whole_at });
    }
    if rollback.to_revision >= oldest
        && let Some(before) = of_tail(rollback, replica, nothing)
    {
        return Ok(before);
    }
    let Some(history) = history else {
        return Err(Refusal::NoHistory { asked: rollback.to_revision, oldest });
    };
    let before = Before::nothing(rollback, settings);
    let patience = settings.outcome_timeout();
    let asked = timeout(patience, of_history(rollback, replica, history, before)).await;
    asked.unwrap_or_else(|_| Err(Refusal::NotReady("history does not answer in time".into())))
}

/// None when the tail has moved on meanwhile.
fn of_tail(rollback: &Rollback, replica: &Replica, mut before: Before) -> Option<Before> {
    let view = replica.view()?;
    let mut changed: BTreeMap<Key, (Option<Value>, Option<Value>)> = BTreeMap::new();
    let mut reached = None;
    let mut from = rollback.to_revision;
    while from < view.revision() {
        let TailRead::Items(items) = replica.tail().after(from, TAIL_BYTES) else { return None };
        // The view is swapped before the tail is extended: what is missing is looked at later.
        let Some(last) = items.last() else { break };
        from = last.head.revision;
        reached = Some(last.head);
        for effect in items.iter().flat_map(|item| rollback.meant(&item.effects)) {
            let new = effect.after.as_ref().map(value);
            match changed.entry(effect.key.clone()) {
                Entry::Vacant(place) => {
                    place.insert((effect.before.as_ref().map(value), new));
                }
                Entry::Occupied(mut known) => known.get_mut().1 = new,
            }
        }
    }
    // An operator may have led it to another chain on the way.
    replica.view().filter(|now| now.era() == view.era())?;
    for (key, (old, new)) in changed {
        before.note(key, old, new);
    }
    Some(match reached {
        Some(head) => before.reached(head),
        None => before,
    })
}

async fn of_history(
    rollback: &Rollback,
    replica: &Replica,
    history: &dyn History,
    before: Before,
) -> Result<Before, Refusal> {
    let head = past::head_of(history, replica).await;
    let head = head.map_err(|error| refused(error, rollback))?;
    if replica.tail().hash_at(head.revision) != Some(head.hash) {
        let why = "history is behind or ahead of this server by more than it remembers, or on another chain";
        return Err(Refusal::NotReady(why.into()));
    }
    if rollback.to_revision > head.revision {
        let why = format!("history is at revision {} and catches up", head.revision);
        return Err(Refusal::NotReady(why));
    }
    let before = before.reached(head);
    let asked = match rollback.one() {
        Some((_, key)) => one(rollback, key, history, before).await,
        None => all(rollback, head, history, before).await,
    };
    asked.map_err(|error| refused(error, rollback))
}

async fn one(
    rollback: &Rollback,
    key: &Key,
    history: &dyn History,
    mut before: Before,
) -> Result<Before, HistoryError> {
    let namespace = rollback.namespace.as_str();
    let old = history.entry(namespace, key.as_str(), rollback.to_revision).await?;
    let new = history.entry(namespace, key.as_str(), before.upto).await?;
    before.note(key.clone(), old.as_ref().map(value), new.as_ref().map(value));
    Ok(before)
}

async fn all(
    rollback: &Rollback,
    head: Head,
    history: &dyn History,
    mut before: Before,
) -> Result<Before, HistoryError> {
    let headwater_api::Keys::Prefix(prefix) = &rollback.keys else { return Ok(before) };
    let mut after = None;
    let give_up = Instant::now() + COUNTING;
    loop {
        let page = history.diff(DiffQuery {
            namespace: rollback.namespace.clone(),
            prefix: prefix.clone(),
            after,
            from: rollback.to_revision,
            to: head.revision,
            limit: PAGE_KEYS,
            max_bytes: PAGE_BYTES,
        });
        let page = page.await?;
        for change in page.changes {
            before.note(change.key, change.old.as_ref().map(value), change.new.as_ref().map(value));
        }
        // Far too much is refused whatever comes: it is counted as far as that takes no time worth waiting for.
        if page.next.is_none() || (!before.fits() && Instant::now() > give_up) {
            return Ok(before);
        }
        after = page.next;
    }
}

fn refused(error: HistoryError, rollback: &Rollback) -> Refusal {
    match error {
        HistoryError::Unavailable(why) => Refusal::NotReady(why),
        HistoryError::Compacted { oldest } => {
            Refusal::RevisionCompacted { asked: rollback.to_revision, oldest }
        }
    }
}
