//! Whether a write may follow a state: every precondition, and all that fail.

use headwater_api::{Expected, Failure, ProposedOp};
use headwater_replica::View;
use headwater_schemas::{Key, Namespace};

use crate::deletions::Deletions;
use crate::draft::current;
use crate::past::Past;
use crate::refusal::Refusal;
use crate::request::{Kind, Write};

/// The last deletion of a key among the commits of our own that were not read back yet.
type Ahead<'a> = Box<dyn Fn(&Namespace, &Key) -> Option<u64> + 'a>;

/// What is known of keys that are absent.
pub(crate) struct Absent<'a> {
    /// What this process saw deleted.
    pub(crate) deletions: &'a Deletions,
    /// What the history said when the request came.
    pub(crate) past: Option<&'a Past>,
    /// What is deleted ahead of the state that was read back.
    pub(crate) ahead: Ahead<'a>,
}

impl Absent<'_> {
    /// A revision that stands for the last change of an absent key: above `base` exactly when that is.
    fn last_change(&self, namespace: &Namespace, key: &Key, base: u64) -> Result<u64, Refusal> {
        let seen = (self.ahead)(namespace, key).or_else(|| self.deletions.last(namespace, key));
        if let Some(revision) = seen {
            return Ok(revision);
        }
        let floor = self.deletions.floor();
        if base >= floor {
            return Ok(base);
        }
        let known = self.past.and_then(|past| past.last_change(namespace, key, floor));
        known.ok_or_else(|| {
            Refusal::NotReady(format!(
                "{namespace}/{key} is absent, and whether it was deleted after revision {base} only a \
                 snapshotter's history knows, which this server has not or which is behind; or expect absent: \
                 true instead of base_revision"
            ))
        })
    }
}

/// Whether `write` may follow `view`.
pub(crate) fn evaluate(write: &Write, view: &View, absent: &Absent<'_>) -> Result<(), Refusal> {
    match write.kind {
        Kind::Put | Kind::Delete => single(write, view),
        Kind::Commit | Kind::Rollback => {
            let failed = failures(write, view, absent)?;
            if failed.is_empty() { Ok(()) } else { Err(Refusal::Conflict(failed)) }
        }
    }
}

fn single(write: &Write, view: &View) -> Result<(), Refusal> {
    for change in &write.proposal.changes {
        let now = current(view, &change.namespace, &change.key);
        if !write.condition.holds(now) {
            return Err(Refusal::Precondition(now));
        }
        if matches!(change.op, ProposedOp::Delete) && now == 0 {
            return Err(Refusal::KeyNotFound(change.namespace.clone(), change.key.clone()));
        }
    }
    Ok(())
}

/// Every precondition of a change set that does not hold.
pub(crate) fn failures(
    write: &Write,
    view: &View,
    absent: &Absent<'_>,
) -> Result<Vec<Failure>, Refusal> {
    let mut failed = Vec::new();
    let mut check = |index, namespace: &Namespace, key: &Key, expected: Expected| {
        let current_revision = current(view, namespace, key);
        let holds = expected.holds(current_revision);
        if !holds {
            let (namespace, key) = (namespace.clone(), key.clone());
            failed.push(Failure { index, namespace, key, expected, current_revision });
        }
        holds
    };
    for (index, change) in write.proposal.changes.iter().enumerate() {
        let (namespace, key) = (&change.namespace, &change.key);
        let held =
            change.expect.is_none_or(|expected| check(Some(index), namespace, key, expected));
        if held && matches!(change.op, ProposedOp::Delete) {
            check(Some(index), namespace, key, Expected::Exists);
        }
    }
    for guard in &write.proposal.expects {
        check(None, &guard.namespace, &guard.key, guard.expected);
    }
    if let Some(base) = write.proposal.base_revision {
        failed.extend(changed_since(base, write, view, absent)?);
    }
    Ok(failed)
}

fn changed_since(
    base: u64,
    write: &Write,
    view: &View,
    absent: &Absent<'_>,
) -> Result<Vec<Failure>, Refusal> {
    if base > view.revision() {
        return Err(Refusal::RevisionInFuture { asked: base, head: view.revision() });
    }
    let mut failed = Vec::new();
    for (index, namespace, key) in write.named() {
        let current_revision = current(view, namespace, key);
        let changed = match current_revision {
            0 => absent.last_change(namespace, key, base)?,
            revision => revision,
        };
        if changed > base {
            let (namespace, key) = (namespace.clone(), key.clone());
            let expected = Expected::BaseRevision(base);
            failed.push(Failure { index, namespace, key, expected, current_revision });
        }
    }
    Ok(failed)
}
