//! Reading the log from RocksDB: every record's checksum verified, every position there.

use std::ops::ControlFlow;

use rocksdb::{DB, ReadOptions};

use crate::Damage;
use crate::stored;

/// Read ahead of a scan, in bytes.
const READAHEAD_BYTES: usize = 1024 * 1024;
/// How far behind an unreadable block its damaged record is looked for, in records.
const SEARCH_RECORDS: u64 = 100_000;
/// How far before a damaged record a commit is looked for that says its revision, in records.
const NEIGHBOURS: u64 = 256;

/// Shows `each` the records from `from` up to `until` (none: to the end of what is stored) and says which
/// position comes next. A break leaves its record to the next scan.
///
/// # Errors
/// The first [`Damage`].
pub(crate) fn scan(
    db: &DB,
    from: u64,
    until: Option<u64>,
    mut each: impl FnMut(u64, i64, &[u8]) -> ControlFlow<()>,
) -> Result<u64, Damage> {
    let mut rows = db.raw_iterator_opt(options(until, Checks::Blocks));
    rows.seek(stored::key(from));
    let mut at = from;
    while until.is_none_or(|until| at < until) {
        let Some((key, value)) = rows.item() else {
            return match rows.status() {
                Err(error) => Err(pinpoint(db, at, until, &error)),
                Ok(()) if until.is_none() => Ok(at),
                Ok(()) => Err(damage(db, at, None, "it is missing".into())),
            };
        };
        let (at_ms, record) =
            row(at, key, value).map_err(|why| damage(db, at, own(at, key, value), why))?;
        if each(at, at_ms, record).is_break() {
            return Ok(at);
        }
        at += 1;
        rows.next();
    }
    Ok(at)
}

/// One row, which must be the record at `at`.
fn row<'a>(at: u64, key: &[u8], value: &'a [u8]) -> Result<(i64, &'a [u8]), String> {
    match stored::position(key) {
        Some(position) if position == at => stored::decode(at, value).map_err(Into::into),
        Some(position) => Err(format!("it is missing; position {position} comes next")),
        None => Err(format!("a key of {} bytes stands there, which is none of a log", key.len())),
    }
}

/// The value, when it is at least filed under the position.
fn own<'a>(at: u64, key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    (key == stored::key(at)).then_some(value)
}

/// What is verified beside our own checksums.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// RocksDB's checksums of whole blocks.
    Blocks,
    /// Nothing: only to find the damaged record inside a block that is known to be damaged.
    None,
}

fn options(until: Option<u64>, checks: Checks) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(until) = until {
        options.set_iterate_upper_bound(stored::key(until));
    }
    options.set_verify_checksums(checks == Checks::Blocks);
    options.fill_cache(false);
    options.set_readahead_size(READAHEAD_BYTES);
    options
}

/// RocksDB cannot read the block that begins with `at`: which of its records is it?
fn pinpoint(db: &DB, at: u64, until: Option<u64>, error: &rocksdb::Error) -> Damage {
    let mut rows = db.raw_iterator_opt(options(until, Checks::None));
    rows.seek(stored::key(at));
    for position in at..at.saturating_add(SEARCH_RECORDS) {
        let Some((key, value)) = rows.item() else { break };
        if let Err(why) = row(position, key, value) {
            return damage(db, position, own(position, key, value), format!("{why} ({error})"));
        }
        rows.next();
    }
    damage(db, at, None, error.to_string())
}

/// The damage at `position`, with its revision.
pub(crate) fn damage(db: &DB, position: u64, value: Option<&[u8]>, detail: String) -> Damage {
    let revision = revision_before(db, position)
        .or_else(|| value.and_then(stored::claimed_revision))
        .or((position == 0).then_some(0));
    Damage { position: Some(position), revision, detail }
}

/// The revision that follows from the last good commit before `position`: the damaged record itself may lie.
fn revision_before(db: &DB, position: u64) -> Option<u64> {
    let unchecked = options(None, Checks::None);
    (1..=NEIGHBOURS.min(position)).find_map(|back| {
        let value = db.get_pinned_opt(stored::key(position - back), &unchecked).ok()??;
        stored::decode(position - back, &value).ok()?;
        Some(stored::claimed_revision(&value)? + back)
    })
}
