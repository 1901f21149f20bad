//! The rung between images and the whole log: the stream's table, up to a checkpoint that holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_image::{ImageError, Mapped, MappedBuilder};
use headwater_log::{Log, ReadError, Seek, Table, read_table};
use headwater_schemas::{
    Checkpoint, Codec, Commit, Entry, Genesis, Key, Namespace, NamespaceTotals, TableFold,
    TableRow, Totals, decode_table_row, entry_digest,
};

use crate::cache::Cached;
use crate::core::Core;
use crate::replica::Settings;
use crate::{Source, View, cache, is_record_of};

/// How long the log may take to give the checkpoint's record, which is there already or not at all.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// Nothing can be reached now: try again.
#[derive(Debug)]
pub(crate) struct Later;

/// Why there is no state from a table.
#[derive(Debug, thiserror::Error)]
enum NoState {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("it does not exist")]
    Absent,
    #[error("it is empty")]
    Empty,
    #[error(
        "no checkpoint in it was what had been read by then, the last one being of revision {revision:?}; \
         `headwater topic verify` says where it differs"
    )]
    NoCheckpoint { revision: Option<u64> },
    #[error("its rows do not make a state: {0}")]
    Rows(String),
    #[error(
        "its checkpoint of revision {revision} holds, and is not what that commit in the log led to"
    )]
    Forged { revision: u64 },
}

/// Takes the state of the table, or says why not and leaves it to the rungs below.
///
/// # Errors
/// [`Later`] when the brokers are away: then no rung below can be reached either.
pub(crate) async fn climb(core: &mut Core, log: &dyn Log, table: &dyn Table) -> Result<(), Later> {
    let error = match state(table, log, &core.settings).await {
        Ok((view, cached)) => match core.reset(view, Source::Table).await {
            Ok(()) => {
                core.cached(cached);
                return Ok(());
            }
            Err(error) => NoState::Rows(error.to_string()),
        },
        Err(error) => error,
    };
    let reason = format!("{}: {error}", table.place());
    // Where only the table is out of reach, the log will do.
    if matches!(&error, NoState::Read(error) if error.is_retryable()) && log.reader().await.is_err()
    {
        core.error(format!("table {reason}"));
        return Err(Later);
    }
    core.rung("table", reason);
    Ok(())
}

async fn state(
    table: &dyn Table,
    log: &dyn Log,
    settings: &Settings,
) -> Result<(View, Cached), NoState> {
    let (fold, checkpoint) = read(table).await?;
    let led_to = commit_in_log(log, &checkpoint, &fold).await.map(|commit| commit.digest);
    if led_to.is_some_and(|digest| digest != checkpoint.digest) {
        return Err(NoState::Forged { revision: checkpoint.revision });
    }
    let settings = settings.clone();
    let built = tokio::task::spawn_blocking(move || build(fold, &checkpoint, &settings)).await;
    let (mapped, cached) = built.map_err(|error| NoState::Rows(error.to_string()))??;
    Ok((View::of_image(Arc::new(mapped)), cached))
}

/// Reads up to a checkpoint that says what was read.
async fn read(table: &dyn Table) -> Result<(TableFold, Checkpoint), NoState> {
    let nothing = |fold: &TableFold| fold.is_empty() && fold.checkpoint().is_none();
    let done = |fold: &TableFold| fold.complete().is_some() || nothing(fold);
    let fold = read_table(table, TableFold::with_values(), done).await?.ok_or(NoState::Absent)?;
    match fold.complete().copied() {
        Some(checkpoint) => Ok((fold, checkpoint)),
        None if nothing(&fold) => Err(NoState::Empty),
        None => Err(NoState::NoCheckpoint { revision: fold.checkpoint().map(|it| it.revision) }),
    }
}

/// The commit that the checkpoint stands at, as the log has it: it carries the digest of the state it led to, so that the
/// log vouches for the table. None where the log cannot say: whether it is ours is the first thing that following asks.
async fn commit_in_log(log: &dyn Log, at: &Checkpoint, table: &TableFold) -> Option<Commit> {
    let mut reader = log.reader().await.ok()?;
    reader.seek(Seek::At(at.position)).await.ok()?;
    let batch = reader.read(LOOK_WAIT, 1).await.ok()?;
    let record = batch.records.first().filter(|record| is_record_of(&at.head(), record))?;
    if at.revision == 0 {
        return Genesis::decode(&record.bytes).ok()?.commit().ok();
    }
    let mut codec = Codec::default();
    for (key, held) in table.rows().filter(|(key, _)| key.starts_with(b"_schemas/")) {
        let row = decode_table_row(key, held.value.as_ref()?).ok()?;
        let TableRow::Entry { key, entry, .. } = row else { return None };
        codec.learn(key.as_str(), &entry.value).ok()?;
    }
    codec.decode(&record.bytes).ok()
}

fn build(
    fold: TableFold,
    checkpoint: &Checkpoint,
    settings: &Settings,
) -> Result<(Mapped, Cached), NoState> {
    let entries = entries(fold)?;
    let totals = totals(&entries, checkpoint.revision);
    let image = |error: ImageError| NoState::Rows(error.to_string());
    let mut builder = MappedBuilder::default();
    for ((namespace, key), entry) in &entries {
        builder.push(namespace.as_str(), key.as_str(), entry.as_ref()).map_err(image)?;
    }
    let (head, position) = (checkpoint.head(), checkpoint.position);
    let built = builder.finish(&head, &totals, position, settings.subscription()).map_err(image)?;
    Ok(cache::keep(built, settings))
}

type Rows = BTreeMap<(Namespace, Key), Entry>;

fn entries(fold: TableFold) -> Result<Rows, NoState> {
    let mut entries = Rows::new();
    for (at, held) in fold.into_rows() {
        let value = held.value.unwrap_or_default();
        let row =
            decode_table_row(&at, &value).map_err(|error| NoState::Rows(error.to_string()))?;
        let TableRow::Entry { namespace, key, entry, .. } = row else {
            return Err(NoState::Rows("a checkpoint among the rows".into()));
        };
        entries.insert((namespace, key), entry);
    }
    Ok(entries)
}

/// The totals of a table's entries. When a namespace was changed last is not in a table, where a deletion leaves
/// nothing: the revision of the checkpoint is no earlier, so that nobody takes an old list for the newest.
fn totals(entries: &Rows, revision: u64) -> Totals {
    let mut parts: BTreeMap<&Namespace, NamespaceTotals> = BTreeMap::new();
    for ((namespace, key), entry) in entries {
        let part = parts.entry(namespace).or_default();
        let hash = entry_digest(namespace.as_str(), key.as_str(), entry.as_ref());
        part.entries += 1;
        part.bytes += entry.value.len() as u64;
        part.mod_revision = revision;
        part.digest = part.digest.plus(hash);
    }
    Totals::from_namespaces(parts.into_iter().map(|(namespace, part)| (namespace.clone(), part)))
}
