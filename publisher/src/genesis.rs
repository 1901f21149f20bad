//! Founding a stream: the first record of an empty log.

use std::time::Duration;

use headwater_log::{Appended, Log, LogReader, ReadError, Seek};
use headwater_schemas::{FORMAT, Genesis, Hash, Position, StreamId, commit_schema, encode_genesis};

const READ_WAIT: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 1024 * 1024;
/// How often an append whose outcome is open is tried. Another genesis behind the first is ignored by everybody.
const TRIES: u32 = 5;

/// Why there is no stream to write to.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The log cannot be read: try again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log is not empty and holds no genesis.
    #[error(
        "the log {place} holds records and no genesis: it is not Headwater's, or its beginning was trimmed. \
         Name another stream, or restore the log"
    )]
    NotOurs {
        /// Where the log is.
        place: String,
    },
    /// The log was written to before and is empty now.
    #[error("the log {place} is empty but was not always (it ends at {}): its records were deleted. Restore it, or name another stream", end.0)]
    Emptied {
        /// Where the log is.
        place: String,
        /// Its end.
        end: Position,
    },
    /// The log takes no writes.
    #[error("the log {place} did not take the genesis: {why}")]
    Append {
        /// Where the log is.
        place: String,
        /// What it said.
        why: String,
    },
    /// This process may not write, and nobody has founded the stream.
    #[error(
        "nobody has founded the stream in {place} yet, and this process may not write: start a publisher"
    )]
    ReadOnly {
        /// Where the log is.
        place: String,
    },
}

/// A stream that has a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Founded {
    /// The identity of the stream.
    pub stream_id: StreamId,
    /// The hash of its genesis.
    pub hash: Hash,
    /// Whether this call appended it.
    pub here: bool,
}

/// Finds the genesis of a log, or appends one when the log is empty and always was. Processes that do it at once
/// end with the same one: the first in the log. `now_ms` is milliseconds since the Unix epoch.
///
/// # Errors
/// [`FoundError`]; the log is as it was, but perhaps for a genesis behind another.
pub async fn found(log: &dyn Log, now_ms: i64) -> Result<Founded, FoundError> {
    let place = || log.identity().place.clone();
    let mut reader = log.reader().await?;
    let (mut ours, mut why) = (None, String::new());
    for attempt in 0..TRIES {
        if let Looked::Genesis { stream_id, hash } = first_genesis(reader.as_mut(), place()).await?
        {
            return Ok(Founded { stream_id, hash, here: ours == Some(hash) });
        }
        let writer = log.writer().ok_or_else(|| FoundError::ReadOnly { place: place() })?;
        if attempt > 0 {
            writer.renew().await;
        }
        let record = encode_genesis(&Genesis {
            stream_id: StreamId(rand::random()),
            format: FORMAT,
            created_at_ms: now_ms,
            schema: commit_schema().into(),
            cluster_id: log.identity().cluster_id.clone(),
            supersedes: None,
        });
        ours = Some(Hash::of(&record));
        match writer.append(vec![record]).await.into_iter().next() {
            Some(Appended::InLog(_)) => {}
            Some(Appended::Ambiguous(told) | Appended::Refused(told)) => why = told,
            None => why = "no answer".into(),
        }
    }
    Err(FoundError::Append { place: place(), why })
}

/// What a log looks like to somebody who might found a stream in it.
pub(crate) enum Looked {
    /// It has one.
    Genesis { stream_id: StreamId, hash: Hash },
    /// It is empty, and always was.
    Empty,
}

/// Looks at a log's beginning.
///
/// # Errors
/// [`FoundError`] when nobody may found a stream there.
pub(crate) async fn look(log: &dyn Log) -> Result<Looked, FoundError> {
    let mut reader = log.reader().await?;
    first_genesis(reader.as_mut(), log.identity().place.clone()).await
}

async fn first_genesis(reader: &mut dyn LogReader, place: String) -> Result<Looked, FoundError> {
    reader.seek(Seek::Oldest).await?;
    let end = reader.end().await?;
    let mut any = false;
    loop {
        let batch = reader.read(READ_WAIT, READ_BYTES).await?;
        for record in &batch.records {
            if let Ok(genesis) = Genesis::decode(&record.bytes)
                && genesis.commit().is_ok()
            {
                let (stream_id, hash) = (genesis.stream_id, Hash::of(&record.bytes));
                return Ok(Looked::Genesis { stream_id, hash });
            }
            any = true;
        }
        if batch.at_end && batch.next >= end {
            return match (any, end.0) {
                (true, _) => Err(FoundError::NotOurs { place }),
                (false, 0) => Ok(Looked::Empty),
                (false, _) => Err(FoundError::Emptied { place, end }),
            };
        }
    }
}
