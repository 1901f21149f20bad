//! A log on disk that is only read, as evidence is: nothing in its directory is changed, and a damaged one is read up
//! to its damage.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};
use headwater_schemas::{Frozen, Position, Record};
use rocksdb::DB;

use crate::open::{self, OpenError, holds_log, lock_shared};
use crate::reader::first_at;
use crate::salvage::Salvage;
use crate::shared::read;
use crate::{Damage, EmbeddedSettings, stored, wal};

/// The log of one stream in a directory that is left byte for byte as it is: it may be read-only. While it is open no
/// [`crate::EmbeddedLog`] opens there, and none must be open: a log that is being written to cannot be read from beside.
///
/// A damaged log opens, too. Its readers give every record before the first damage, also those of the block or group
/// that the damage is in, and then end with [`ReadError::Corrupt`], which says what and where it is.
#[derive(Debug)]
pub struct ReadOnlyLog {
    stored: Arc<Stored>,
}

impl ReadOnlyLog {
    /// Opens the log in `dir`. Blocks, for about as long as reading its write-ahead log takes: call it where that is
    /// allowed.
    ///
    /// # Errors
    /// [`OpenError`], but never [`OpenError::Damaged`].
    pub fn open(dir: &Path) -> Result<Arc<Self>, OpenError> {
        Ok(Arc::new(Self { stored: Arc::new(Stored::open(dir)?) }))
    }
}

impl Log for ReadOnlyLog {
    fn identity(&self) -> &Identity {
        &self.stored.identity
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        let reader = Reader { stored: Arc::clone(&self.stored), position: 0 };
        std::future::ready(Ok(Box::new(reader) as Box<dyn LogReader>)).boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        None
    }
}

/// What is on the disk.
#[derive(Debug)]
struct Stored {
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
    _lock: Option<File>,
}

impl Stored {
    fn open(dir: &Path) -> Result<Self, OpenError> {
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
        let mut stored = Self {
            identity: Identity { kind: "embedded", place, cluster_id: None },
            dir: dir.to_owned(),
            db,
            refused: torn.or(refused).or(unended),
            salvage: OnceLock::new(),
            end: last.unwrap_or_default().map_or(0, |last| last.saturating_add(1)),
            _lock: lock,
        };
        if let Some(refused) = &stored.refused {
            let damaged = refused.position.unwrap_or(0);
            let held = stored.salvage().map_err(unusable)?.end();
            stored.end = held.max(damaged).max(stored.end).saturating_add(1);
        }
        Ok(stored)
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
    fn take(&self, position: u64, max_bytes: usize) -> Result<Vec<Record>, Damage> {
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

    fn first_at(&self, at_ms: i64) -> Result<u64, Damage> {
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

struct Reader {
    stored: Arc<Stored>,
    position: u64,
}

impl Reader {
    async fn next(&mut self, max_bytes: usize) -> Result<Batch, ReadError> {
        let (position, end) = (self.position, self.stored.end);
        if position > end {
            let (position, detail) = (Position(position), format!("it ends at {end}"));
            return Err(ReadError::OutOfRange { position, detail });
        }
        let records = if position < end {
            self.on_disk(move |stored| stored.take(position, max_bytes)).await?
        } else {
            Vec::new()
        };
        self.position += records.len() as u64;
        let next = Position(self.position);
        Ok(Batch { records, next, at_end: self.position == end })
    }

    async fn target(&self, to: Seek) -> Result<u64, ReadError> {
        match to {
            Seek::Oldest => Ok(0),
            Seek::Newest => Ok(self.stored.end),
            Seek::At(position) => Ok(position.0),
            Seek::BeforeTime(at_ms) => self.on_disk(move |stored| stored.first_at(at_ms)).await,
        }
    }

    /// Does `work` where it may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stored) -> Result<T, Damage> + Send + 'static,
    ) -> Result<T, ReadError> {
        let stored = Arc::clone(&self.stored);
        let done = tokio::task::spawn_blocking(move || work(&stored)).await;
        let done = done.map_err(|error| ReadError::Unavailable(error.to_string()))?;
        done.map_err(|damage| ReadError::Corrupt(damage.to_string()))
    }
}

impl LogReader for Reader {
    fn identity(&self) -> &Identity {
        &self.stored.identity
    }

    /// Never waits: nobody writes to the log while it is open.
    fn read(
        &mut self,
        _wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        self.next(max_bytes).boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        async move {
            self.position = self.target(to).await?;
            Ok(Position(self.position))
        }
        .boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        std::future::ready(Ok(Position(self.stored.end))).boxed()
    }
}
