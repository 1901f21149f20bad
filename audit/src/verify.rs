//! Verifying a whole history: linked, decoded, folded, every digest compared.
//!
//! ```text
//! log ──▶ reads (the caller's task) ──▶ links, hashes, decodes (a thread) ──▶ folds (a thread) ──▶ Report
//! ```
//!
//! Two channels of a few batches stand between them: the slowest sets the pace, and memory is bounded.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use headwater_log::{LogReader, ReadError};
use headwater_schemas::{Position, Record};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::folding::Folding;
use crate::pump::Pump;
use crate::visit::Accepted;
use crate::walk::Walk;
use crate::{AuditError, Break, Kind, Published, Report};

/// Batches that wait between two steps.
const BATCHES: usize = 8;
/// How long a log that is still written to may take to go on behind records that lost a race.
const SETTLES: Duration = Duration::from_secs(5);

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The position behind the last one.
    pub position: Position,
    /// Where it ends.
    pub end: Position,
}

/// Verifies a log from its genesis to where it ends now, and compares it with published heads. `progress` is told now
/// and then.
///
/// # Errors
/// [`AuditError`] when the log cannot be read to its end. What is wrong with the history is in the report.
pub async fn verify(
    mut reader: Box<dyn LogReader>,
    published: &Published,
    mut progress: impl FnMut(Progress),
) -> Result<Report, AuditError> {
    let source = reader.identity().place.clone();
    // Nobody else writes to an archive, or to a log that this process has open.
    let others_write = !matches!(reader.identity().kind, "archive" | "embedded" | "memory");
    let (to_walk, to_be_walked) = mpsc::channel(BATCHES);
    let (to_fold, to_be_folded) = sync_channel(BATCHES);
    let walking = spawn_blocking(move || walk(to_be_walked, &to_fold));
    let folding = spawn_blocking({
        let folding = Folding::new(published.clone());
        move || fold(folding, &to_be_folded)
    });
    let mut pump = Pump::begin(reader.as_mut()).await?;
    let mut so_far = Progress { records: 0, bytes: 0, position: Position(0), end: pump.end() };
    let damaged = read(&mut pump, &to_walk, &mut so_far, &mut progress).await;
    drop(to_walk);
    let mut walk = walking.await.map_err(|_| AuditError::Stopped("the chain's thread"))?;
    let mut folding = folding.await.map_err(|_| AuditError::Stopped("the fold's thread"))?;
    let damaged = match damaged {
        Ok(()) => None,
        Err(AuditError::Read(ReadError::Corrupt(detail))) => Some(detail),
        Err(other) => return Err(other),
    };
    if damaged.is_none() && others_write {
        settle(&mut pump, &mut walk, &mut folding).await?;
    }
    let mut breaks = walk.broken(published);
    if let Some(detail) = damaged {
        let next = walk.links.tip().map_or(0, |tip| tip.revision + 1);
        breaks.push(Break::new(next, Kind::Damaged, detail).at(so_far.position));
    }
    Ok(folding.report(source, walk.links, breaks))
}

async fn read(
    pump: &mut Pump<'_>,
    to_walk: &mpsc::Sender<Vec<Record>>,
    so_far: &mut Progress,
    progress: &mut impl FnMut(Progress),
) -> Result<(), AuditError> {
    while let Some(records) = pump.next().await? {
        so_far.records += records.len() as u64;
        so_far.bytes += records.iter().map(|record| record.bytes.len() as u64).sum::<u64>();
        so_far.position = records.last().map_or(so_far.position, |last| last.position.next());
        to_walk.send(records).await.map_err(|_| AuditError::Stopped("the chain's thread"))?;
        progress(*so_far);
    }
    Ok(())
}

fn walk(mut batches: mpsc::Receiver<Vec<Record>>, to_fold: &SyncSender<Vec<Accepted>>) -> Walk {
    let mut walk = Walk::default();
    while let Some(batch) = batches.blocking_recv() {
        let mut accepted = Vec::with_capacity(batch.len());
        for record in batch {
            walk.take(record, &mut accepted);
        }
        // The fold needs none of the records: what was decoded holds bytes of its own.
        accepted.iter_mut().for_each(|accepted| accepted.record.bytes = Bytes::new());
        if to_fold.send(accepted).is_err() {
            break;
        }
    }
    walk
}

fn fold(mut folding: Folding, batches: &Receiver<Vec<Accepted>>) -> Folding {
    while let Ok(batch) = batches.recv() {
        batch.into_iter().for_each(|accepted| folding.take(accepted));
    }
    folding
}

/// A log that is still written to may end, for a moment, with writes that lost a race.
async fn settle(
    pump: &mut Pump<'_>,
    walk: &mut Walk,
    folding: &mut Folding,
) -> Result<(), AuditError> {
    let deadline = Instant::now() + SETTLES;
    let mut accepted = Vec::new();
    while walk.links.is_contested() && walk.links.tip().is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        for record in pump.more(left).await? {
            walk.take(record, &mut accepted);
        }
        accepted.drain(..).for_each(|accepted| folding.take(accepted));
    }
    Ok(())
}
