//! The state at one point of the history, from the log alone.

use std::ops::ControlFlow;

use headwater_log::LogReader;
use headwater_schemas::{Commit, State};

use crate::folding::Folding;
use crate::visit::visit;
use crate::{AuditError, Break, Published};

/// A point of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Behind the last commit there is.
    End,
    /// Behind this revision.
    Revision(u64),
    /// Behind the last commit at or before this time, milliseconds since the Unix epoch.
    Time(i64),
}

/// A state, folded from the genesis.
#[derive(Debug)]
pub struct Replayed {
    /// The state.
    pub state: State,
    /// Commits on the way that do not fit the state they lead to, and that no operator has accepted.
    pub faults: Vec<Break>,
}

impl At {
    /// Whether a commit, folded into the state, leads beyond this point.
    fn is_before(self, commit: &Commit, skipped: bool) -> bool {
        // The state begins with the genesis, whatever the time.
        matches!(self, Self::Time(wanted) if commit.at_ms > wanted && !skipped && commit.revision > 0)
    }
}

/// Folds a log from its genesis to one point.
///
/// # Errors
/// [`AuditError::Beyond`] above the log's end, [`AuditError::Broken`] where the chain breaks before.
pub async fn replay(reader: &mut dyn LogReader, at: At) -> Result<Replayed, AuditError> {
    let mut folding = Folding::new(Published::default());
    visit(reader, |accepted| {
        let revision = accepted.commit.revision;
        if at.is_before(&accepted.commit, accepted.skipped) {
            return Ok(ControlFlow::Break(()));
        }
        folding.take(accepted);
        Ok(until(at == At::Revision(revision)))
    })
    .await?;
    let (state, faults) = folding.ended();
    let state = state.ok_or(AuditError::Beyond { wanted: 0, last: 0 })?;
    Ok(Replayed { state: reached(state, at)?, faults })
}

/// The states at two points, in one pass over the log.
///
/// # Errors
/// As [`replay`].
pub(crate) async fn both(
    reader: &mut dyn LogReader,
    points: [At; 2],
) -> Result<[State; 2], AuditError> {
    let mut folding = Folding::new(Published::default());
    let mut found: [Option<State>; 2] = [None, None];
    let take = |found: &mut [Option<State>; 2], state: Option<&State>, is: &dyn Fn(At) -> bool| {
        for (place, at) in found.iter_mut().zip(points) {
            if place.is_none() && is(at) {
                *place = state.cloned();
            }
        }
        until(found.iter().all(Option::is_some))
    };
    visit(reader, |accepted| {
        let revision = accepted.commit.revision;
        let is_before = |at: At| at.is_before(&accepted.commit, accepted.skipped);
        if take(&mut found, folding.state(), &is_before).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        folding.take(accepted);
        Ok(take(&mut found, folding.state(), &|at| at == At::Revision(revision)))
    })
    .await?;
    let (last, _) = folding.ended();
    let [from, to] = found.map(|state| state.or_else(|| last.clone()));
    let nothing = || AuditError::Beyond { wanted: 0, last: 0 };
    let [a, b] = points;
    Ok([reached(from.ok_or_else(nothing)?, a)?, reached(to.ok_or_else(nothing)?, b)?])
}

fn until(done: bool) -> ControlFlow<()> {
    if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The state, if the log has come as far as the point.
fn reached(state: State, at: At) -> Result<State, AuditError> {
    match at {
        At::Revision(wanted) if state.head().revision < wanted => {
            Err(AuditError::Beyond { wanted, last: state.head().revision })
        }
        _ => Ok(state),
    }
}
