//! Who changed what, when and why: commits by the filters of the HTTP API.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use headwater_log::LogReader;
use headwater_schemas::{Change, Commit, Hash};

use crate::AuditError;
use crate::visit::{Accepted, visit};

/// In which order commits are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they were made.
    #[default]
    Ascending,
    /// The newest first.
    Descending,
}

/// Which commits are wanted. What is absent filters nothing.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only later revisions.
    pub after: Option<u64>,
    /// Only earlier revisions.
    pub before: Option<u64>,
    /// Only commits that change something in this namespace.
    pub namespace: Option<String>,
    /// Only commits that change a key that begins so, in that namespace if it is given.
    pub prefix: Option<String>,
    /// Only commits of this actor.
    pub actor: Option<String>,
    /// Only commits at or after this time, milliseconds since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Only commits at or before this time.
    pub until_ms: Option<i64>,
    /// In which order.
    pub order: Order,
    /// At most so many. Without it a listing of the newest first holds all that match in memory.
    pub limit: Option<usize>,
}

/// A commit that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The hash of its record.
    pub hash: Hash,
    /// The commit, whole.
    pub commit: Commit,
}

impl Listing {
    /// Whether a commit is wanted.
    pub fn wants(&self, commit: &Commit) -> bool {
        self.after.is_none_or(|after| commit.revision > after)
            && self.before.is_none_or(|before| commit.revision < before)
            && self.since_ms.is_none_or(|since| commit.at_ms >= since)
            && self.until_ms.is_none_or(|until| commit.at_ms <= until)
            && self.actor.as_deref().is_none_or(|actor| *actor == *commit.actor)
            && self.wants_changes(&commit.changes)
    }

    fn wants_changes(&self, changes: &[Change]) -> bool {
        let (namespace, prefix) = (self.namespace.as_deref(), self.prefix.as_deref());
        (namespace.is_none() && prefix.is_none())
            || changes.iter().any(|change| change.is_under(namespace, prefix.unwrap_or_default()))
    }

    /// Whether nothing behind this commit can be wanted.
    fn is_past(&self, commit: &Commit) -> bool {
        self.before.is_some_and(|before| commit.revision.saturating_add(1) >= before)
            || self.until_ms.is_some_and(|until| commit.at_ms > until)
    }
}

/// Gives the wanted commits to `see`, in the order that is asked for. The genesis is no commit of anybody's and is left out.
///
/// # Errors
/// [`AuditError`].
pub async fn list(
    reader: &mut dyn LogReader,
    listing: &Listing,
    mut see: impl FnMut(Listed) -> Result<(), AuditError>,
) -> Result<(), AuditError> {
    let mut left = listing.limit.unwrap_or(usize::MAX);
    let mut newest: VecDeque<Listed> = VecDeque::new();
    visit(reader, |accepted| {
        let Accepted { hash, commit, .. } = accepted;
        if left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        let past = listing.is_past(&commit);
        if commit.revision > 0 && listing.wants(&commit) {
            let listed = Listed { hash, commit };
            match listing.order {
                Order::Ascending => {
                    left -= 1;
                    see(listed)?;
                }
                Order::Descending => {
                    newest.push_front(listed);
                    newest.truncate(left);
                }
            }
        }
        Ok(if past { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
    .await?;
    newest.into_iter().try_for_each(see)
}
