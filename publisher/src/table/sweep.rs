//! Making a table equal to a state: only what differs is written.

use std::sync::Arc;

use headwater_log::{TableError, TableRecord, TableWriter};
use headwater_replica::{Applied, Tail, TailRead, View};
use headwater_schemas::{Framing, TableFold};

use super::batch::{Why, checkpoint_of, checkpoint_record, of_entry, of_extra};
use super::compare::{Difference, differences, entry_of};

/// About how many bytes one transaction holds.
const BATCH_BYTES: usize = 1024 * 1024;
/// How many records one transaction holds at most.
const BATCH_RECORDS: usize = 5_000;

/// Writes what differs between `table` and `view`, and the checkpoint behind each part: it holds only once all of them
/// are there. Gives how many rows that were. `tail` knows of the last commits why they were made.
pub(super) async fn sweep(
    writer: &mut dyn TableWriter,
    table: TableFold,
    view: &Arc<View>,
    tail: &Tail,
    framing: Framing,
) -> Result<usize, TableError> {
    let checkpoint = checkpoint_of(view);
    let holds = table.complete() == Some(&checkpoint) && table.framing() == Some(framing);
    let compared = Arc::clone(view);
    // A large state takes a while.
    let found =
        tokio::task::spawn_blocking(move || differences(table, &compared, Some(framing))).await;
    let found = found.map_err(|error| TableError::Failed(error.to_string()))?;
    if found.is_empty() && holds {
        return Ok(0);
    }
    let checkpoint = checkpoint_record(&checkpoint, framing);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for difference in &found {
        let record = mended(difference, view, tail, framing);
        bytes += record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len);
        batch.push(record);
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_RECORDS {
            batch.push(checkpoint.clone());
            writer.write(std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
    }
    batch.push(checkpoint);
    writer.write(batch).await?;
    Ok(found.len())
}

fn mended(difference: &Difference, view: &View, tail: &Tail, framing: Framing) -> TableRecord {
    let Some((namespace, key, entry)) = entry_of(view, &difference.key) else {
        return of_extra(difference.key.clone(), view.revision());
    };
    let by = commit_at(tail, entry.mod_revision);
    let why = by.as_deref().map_or_else(Why::default, |by| Why {
        reason: by.commit.reason.as_deref(),
        hash: Some(by.head.hash),
    });
    of_entry(namespace, key, entry, why, framing)
}

/// The commit of a revision, where the tail still has it.
fn commit_at(tail: &Tail, revision: u64) -> Option<Arc<Applied>> {
    match tail.after(revision.checked_sub(1)?, 1) {
        TailRead::Items(items) => {
            items.into_iter().next().filter(|item| item.head.revision == revision)
        }
        TailRead::Behind { .. } => None,
    }
}
