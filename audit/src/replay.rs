//! The state at one point of the history, from the log alone.

use std::ops::ControlFlow;

use headwater_log::LogReader;
use headwater_schemas::State;

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

/// Folds a log from its genesis to one point.
///
/// # Errors
/// [`AuditError::Beyond`] above the log's end, [`AuditError::Broken`] where the chain breaks before.
pub async fn replay(reader: &mut dyn LogReader, at: At) -> Result<Replayed, AuditError> {
    let mut folding = Folding::new(Published::default());
    visit(reader, |accepted| {
        let (revision, at_ms) = (accepted.commit.revision, accepted.commit.at_ms);
        // The state begins with the genesis, whatever the time.
        if matches!(at, At::Time(wanted) if at_ms > wanted && !accepted.skipped && revision > 0) {
            return Ok(ControlFlow::Break(()));
        }
        folding.take(accepted);
        Ok(if at == At::Revision(revision) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
    .await?;
    let (state, faults) = folding.ended();
    let state = state.ok_or(AuditError::Beyond { wanted: 0, last: 0 })?;
    match at {
        At::Revision(wanted) if state.head().revision < wanted => {
            Err(AuditError::Beyond { wanted, last: state.head().revision })
        }
        _ => Ok(Replayed { state, faults }),
    }
}
