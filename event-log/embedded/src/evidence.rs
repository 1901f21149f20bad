//! What a log's directory holds, whole or damaged: read by RocksDB where it can, and past it where it cannot.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use headwater_log::Identity;
use headwater_schemas::{Frozen, Record};
use rocksdb::DB;

use crate::open::{self, Lock, holds_log, lock_shared};
use crate::reader::first_at;
use crate::salvage::Salvage;
use crate::shared::read;
use crate::{Damage, EmbeddedSettings, OpenError, stored, wal};

/// All that can be read, and why the rest cannot.
#[derive(Debug)]
pub(crate) struct Evidence {
    identity: Identity,
    dir: PathBuf,
    /// None where RocksDB refuses to open it.
    db: Option<DB>,
    /// Why the log does not open for writing; damage inside a table is met by reading.
    refused: Option<Damage>,
    /// What is read where RocksDB cannot; opened by the first damage.
    salvage: OnceLock<Salvage>,
    /// The position behind the last record; of a log that does not open, behind its damage, too: whoever reads to the
    /// end must meet it.
    end: u64,
    /// Kept locked, never read.
    _lock: Option<Lock>,
}

impl Evidence {
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::Directory { dir: dir.into(), error };
        let lock = lock_shared(dir)?;
        if !holds_log(dir).map_err(unusable)? {
            return Err(unusable(io::Error::new(io::ErrorKind::NotFound, "there is no log in it")));
        }
        let torn = wal::check(dir).map_err(unusable)?.err();
        let (db, refused) = tables(dir)?;
        let last = db.as_ref().map_or(Ok(None), last_position);
        let unended = last.as_ref().err().map(|why| nowhere(why.clone()));
        let place = dir.display().to_string();
        let mut evidence = Self {
            identity: Identity { kind: "embedded", place, cluster_id: None },
            dir: dir.to_owned(),
            db,
            refused: torn.or(refused).or(unended),
            salvage: OnceLock::new(),
            end: last.unwrap_or_default().map_or(0, |last| last.saturating_add(1)),
            _lock: lock,
        };
        if let Some(refused) = &evidence.refused {
            let damaged = refused.position.unwrap_or(0);
            let held = evidence.salvage().map_err(unusable)?.end();
            evidence.end = held.max(damaged).max(evidence.end).saturating_add(1);
        }
        Ok(evidence)
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The position behind the last record, or behind the damage that keeps the log from opening.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    fn salvage(&self) -> io::Result<&Salvage> {
        if let Some(salvage) = self.salvage.get() {
            return Ok(salvage);
        }
        let opened = Salvage::open(&self.dir)?;
        Ok(self.salvage.get_or_init(|| opened))
    }

    /// Reads from `position` on: at least one record.
    ///
    /// # Errors
    /// There is none: [`Damage`].
    pub(crate) fn take(&self, position: u64, max_bytes: usize) -> Result<Vec<Record>, Damage> {
        let hole = match self.db.as_ref().map(|db| read(db, position, self.end, max_bytes)) {
            Some(Ok(records)) if !records.is_empty() => return Ok(records),
            Some(Err(damage)) => Some(damage),
            _ => None,
        };
        let salvage = self.salvage().map_err(|error| nowhere(error.to_string()))?;
        if let Some(records) = salvage.take(position, max_bytes) {
            return Ok(records);
        }
        Err(self.damage_at(position, hole))
    }

    /// What is wrong at a position: what keeps the log from opening says more of a hole than the hole does.
    fn damage_at(&self, position: u64, hole: Option<Damage>) -> Damage {
        match (&self.refused, hole) {
            (Some(refused), _) if refused.position.is_none_or(|at| at <= position) => {
                let revision = refused.revision.or_else(|| self.revision_at(position));
                let position = refused.position.or(Some(position));
                Damage { position, revision, detail: refused.detail.clone() }
            }
            (_, Some(hole)) => hole,
            _ => {
                let (revision, detail) = (self.revision_at(position), "it is missing".into());
                Damage { position: Some(position), revision, detail }
            }
        }
    }

    /// The revision of the record at a position, by the record before it.
    fn revision_at(&self, position: u64) -> Option<u64> {
        let Some(before) = position.checked_sub(1) else { return Some(0) };
        let before = self.salvage().ok()?.take(before, 1)?;
        Frozen::read(&before.first()?.bytes).ok().map(|frozen| frozen.revision + 1)
    }

    /// The first record appended at or after a time; 0 where RocksDB cannot tell.
    ///
    /// # Errors
    /// A record on the way to it is damaged.
    pub(crate) fn first_at(&self, at_ms: i64) -> Result<u64, Damage> {
        self.db.as_ref().map_or(Ok(0), |db| first_at(db, self.end, at_ms))
    }
}

/// RocksDB on the directory, which writes nothing there, not even its own log; or why it would not open for writing
/// either.
fn tables(dir: &Path) -> Result<(Option<DB>, Option<Damage>), OpenError> {
    let settings = EmbeddedSettings::new(dir);
    let error = match DB::open_for_read_only(&open::options(&settings, false), dir, false) {
        Ok(db) => return Ok((Some(db), None)),
        Err(error) => error,
    };
    let (kind, detail) = (error.kind(), error.to_string());
    let is_lost = kind == rocksdb::ErrorKind::IOError && detail.contains("No such file");
    if kind != rocksdb::ErrorKind::Corruption && !is_lost {
        return Err(OpenError::Storage { dir: dir.into(), detail });
    }
    Ok((None, Some(nowhere(detail))))
}

/// Where the last record is, if there is one.
///
/// # Errors
/// Why that cannot be told.
fn last_position(db: &DB) -> Result<Option<u64>, String> {
    let mut last = db.raw_iterator();
    last.seek_to_last();
    last.status().map_err(|error| error.to_string())?;
    let Some(key) = last.key() else { return Ok(None) };
    let position = stored::position(key);
    position.map(Some).ok_or_else(|| format!("a key of {} bytes is none of a log's", key.len()))
}

/// A damage of which nobody knows as yet where it is.
fn nowhere(detail: String) -> Damage {
    Damage { position: None, revision: None, detail }
}
