//! The commits of a log's chain, one after the other.

use std::ops::ControlFlow;

use headwater_log::LogReader;
use headwater_schemas::{Commit, Hash, Record};

use crate::pump::Pump;
use crate::walk::Walk;
use crate::{AuditError, Kind, Published};

/// A record that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The record as stored.
    pub record: Record,
    /// BLAKE3 of it.
    pub hash: Hash,
    /// What it says; a genesis as the commit it stands for.
    pub commit: Commit,
    /// Whether it cannot be read, and an operator had it skipped.
    pub skipped: bool,
}

/// Gives every commit of the chain to `see`, genesis first, until it breaks off or the log ends.
///
/// # Errors
/// [`AuditError::Broken`] where the chain breaks before `see` has enough, and whatever `see` says.
pub async fn visit(
    reader: &mut dyn LogReader,
    mut see: impl FnMut(Accepted) -> Result<ControlFlow<()>, AuditError>,
) -> Result<(), AuditError> {
    let mut pump = Pump::begin(reader).await?;
    let (mut walk, mut found) = (Walk::default(), Vec::new());
    while let Some(records) = pump.next().await? {
        for record in records {
            walk.take(record, &mut found);
            for accepted in found.drain(..) {
                if see(accepted)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
    // What lost a race at the very end is ignored, as by every reader; a verification tells of it.
    let torn = walk.broken(&Published::default()).into_iter().find(|it| it.kind != Kind::Fork);
    match torn {
        Some(broken) => Err(AuditError::Broken(broken)),
        None => Ok(()),
    }
}
