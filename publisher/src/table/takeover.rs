//! What a new writer of a table finds, and where it goes on.

use std::time::Duration;

use headwater_log::{Log, ReadError, Seek};
use headwater_replica::{Replica, is_record_of};
use headwater_schemas::{Checkpoint, Framing, Point, TableFold};

/// How long the own replica may take to reach the table's checkpoint, once it follows live.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How long the log may take to give the checkpoint's record.
const READ_WAIT: Duration = Duration::from_secs(5);

/// Where to go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Takeover {
    /// The table is the state at this checkpoint: with the commits behind it.
    From(Checkpoint),
    /// It is ours, and not what its checkpoint says, or that is too long ago: with what differs.
    Sweep,
    /// It is of another history, or of none: a person must say that it may be overwritten.
    Refuse(String),
}

/// Judges a table that was read to its end, when nobody else may write it any more.
pub(super) async fn judge(
    table: &TableFold,
    replica: &Replica,
    log: &dyn Log,
    framing: Framing,
) -> Result<Takeover, ReadError> {
    let Some(checkpoint) = table.checkpoint().copied() else {
        let empty = table.is_empty();
        return Ok(if empty { Takeover::Sweep } else { Takeover::Refuse(no_checkpoint(table)) });
    };
    if led_on_from(replica, &checkpoint) {
        return Ok(Takeover::Sweep);
    }
    let ours = replica.view().map(|view| view.head().stream_id);
    if ours != Some(checkpoint.stream_id) {
        return Ok(Takeover::Refuse(format!("it is the table of stream {}", checkpoint.stream_id)));
    }
    let reached = tokio::time::timeout(CATCH_UP, replica.wait_for(checkpoint.revision)).await;
    if !matches!(reached, Ok(Ok(()))) {
        let at = replica.view().map_or(0, |view| view.revision());
        return Ok(Takeover::Refuse(format!(
            "it is at revision {}, and the log ends at {at}: the log was truncated or restored",
            checkpoint.revision
        )));
    }
    match replica.tail().hash_at(checkpoint.revision) {
        Some(hash) if hash != checkpoint.hash => Ok(Takeover::Refuse(other_chain(&checkpoint))),
        Some(_) if table.complete().is_some() && table.framing() == Some(framing) => {
            Ok(Takeover::From(checkpoint))
        }
        Some(_) => Ok(Takeover::Sweep),
        None if in_log(log, &checkpoint).await? => Ok(Takeover::Sweep),
        None => Ok(Takeover::Refuse(other_chain(&checkpoint))),
    }
}

/// Whether the table is of a chain from which an operator led the stream to ours.
fn led_on_from(replica: &Replica, checkpoint: &Checkpoint) -> bool {
    let here = Point::from(&checkpoint.head());
    let from = replica.view().and_then(|view| Some(view.succession()?.word.point()));
    from == Some(here) || replica.has_left(checkpoint.revision, checkpoint.hash)
}

fn no_checkpoint(table: &TableFold) -> String {
    format!("it holds {} keys and no checkpoint, so it may be somebody else's", table.len())
}

fn other_chain(checkpoint: &Checkpoint) -> String {
    let Checkpoint { revision, hash, .. } = checkpoint;
    format!("its revision {revision} ({hash}) is not in this log: it is of another history")
}

/// Whether the checkpoint's record stands in the log. What the log no longer keeps is not held against it.
async fn in_log(log: &dyn Log, checkpoint: &Checkpoint) -> Result<bool, ReadError> {
    let mut reader = log.reader().await?;
    reader.seek(Seek::At(checkpoint.position)).await?;
    match reader.read(READ_WAIT, 1).await {
        Ok(batch) => {
            let first = batch.records.first();
            Ok(first.is_some_and(|record| is_record_of(&checkpoint.head(), record)))
        }
        Err(ReadError::OutOfRange { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
