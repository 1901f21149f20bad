//! Opening a log: whose it is, whether it is whole, where it ends.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Options};

use crate::scan::{damage, scan};
use crate::{Damage, EmbeddedSettings, stored, wal};

/// Held for as long as a process uses the directory.
const LOCK_FILE: &str = "headwater.lock";
/// Stands here while a log is made.
const MAKING_FILE: &str = "headwater.making";
/// How much of a log too large for a whole verification is verified before it opens, in records.
const TAIL_RECORDS: u64 = 10_000;

const MIB: usize = 1024 * 1024;

/// Why a log on disk cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used: mend the path or its permissions.
    #[error("the log's directory {dir} cannot be used: {error}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has it open: stop that one, or take another directory.
    #[error(
        "another headwater process{holder} uses {dir}: stop it, or choose another directory with --data"
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// ` (pid 17)`, ` (it only reads)`, or nothing where that is not known.
        holder: String,
    },
    /// A record was changed or lost after it was acknowledged: restore a copy. Nothing was changed.
    #[error(
        "the log in {dir} is damaged and was left as it is: {damage}. Restore the directory from a copy, \
         or move it away and start anew"
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What and where.
        damage: Damage,
    },
    /// RocksDB cannot open it for another reason.
    #[error("the log in {dir} cannot be opened: {detail}")]
    Storage {
        /// The directory.
        dir: PathBuf,
        /// What RocksDB says.
        detail: String,
    },
}

/// The lock of a directory, given back when dropped. Closing the file would not do: a process that is being started by
/// another thread holds a copy of it for a moment.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // It cannot fail for a lock that is held, and the end of the process gives it back in any case.
        let _ = self.0.unlock();
    }
}

/// A log that was found whole.
pub(crate) struct Opened {
    pub(crate) db: DB,
    pub(crate) lock: Lock,
    /// The position behind the last record.
    pub(crate) end: u64,
    /// When the last record was appended, milliseconds since the Unix epoch; 0 for an empty log.
    pub(crate) last_ms: i64,
    /// The records before this position are still to be verified.
    pub(crate) unverified: u64,
}

pub(crate) fn open(settings: &EmbeddedSettings) -> Result<Opened, OpenError> {
    let dir = settings.dir.as_path();
    let unusable = |error| OpenError::Directory { dir: dir.into(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
    let lock = lock(dir)?;
    unmake(dir).map_err(unusable)?;
    let held = Held::count(dir).map_err(unusable)?;
    let damaged = |damage| OpenError::Damaged { dir: dir.into(), damage };
    wal::check(dir).map_err(unusable)?.map_err(|damage| damaged(complete(dir, damage)))?;
    if held.is_new {
        begin_making(dir).map_err(unusable)?;
    }
    let db =
        DB::open(&options(settings, held.is_new), dir).map_err(|error| refusal(dir, &error))?;
    if held.is_new {
        made(dir).map_err(unusable)?;
    }
    let whole = held.bytes <= settings.verify_on_open_bytes;
    let (end, unverified) = verify(&db, whole).map_err(damaged)?;
    let last_ms = last_time(&db, end).map_err(damaged)?;
    Ok(Opened { db, lock, end, last_ms, unverified })
}

/// Takes the directory for this process, and notes who it is.
fn lock(dir: &Path) -> Result<Lock, OpenError> {
    let unusable = |error| OpenError::Directory { dir: dir.into(), error };
    let path = dir.join(LOCK_FILE);
    let mut options = File::options();
    let file =
        options.create(true).truncate(false).read(true).write(true).open(path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
        Err(TryLockError::WouldBlock) => return Err(in_use(dir, file)),
    }
    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    let mut lock = Lock(file);
    note(&mut lock.0).map_err(unusable)?;
    Ok(lock)
}

/// Keeps everybody who writes out of the directory without changing it. A directory without the file was copied
/// from somewhere, and nobody writes there.
///
/// # Errors
/// [`OpenError::InUse`], or the file cannot be read.
pub(crate) fn lock_shared(dir: &Path) -> Result<Option<Lock>, OpenError> {
    let unusable = |error| OpenError::Directory { dir: dir.into(), error };
    let file = match File::open(dir.join(LOCK_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
        Err(TryLockError::WouldBlock) => Err(in_use(dir, file)),
    }
}

/// Who writes has noted its pid; who only reads has noted nothing, and the pid there is of somebody before.
fn in_use(dir: &Path, mut file: File) -> OpenError {
    let mut pid = String::new();
    let holder = if file.try_lock_shared().is_ok() {
        " (it only reads)".to_owned()
    } else if file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty() {
        format!(" (pid {})", pid.trim())
    } else {
        String::new()
    };
    OpenError::InUse { dir: dir.into(), holder }
}

/// Whether a log was ever made here: an empty directory, or one whose making was cut off, holds none.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn holds_log(dir: &Path) -> io::Result<bool> {
    Ok(!Held::count(dir)?.is_new && !dir.join(MAKING_FILE).try_exists()?)
}

/// Says that the log is being made: what stands here then was never acknowledged.
fn begin_making(dir: &Path) -> io::Result<()> {
    File::create(dir.join(MAKING_FILE))?.sync_all()?;
    File::open(dir)?.sync_all()
}

/// The log is made. Durable before the first record is: a log with that file would be thrown away.
fn made(dir: &Path) -> io::Result<()> {
    fs::remove_file(dir.join(MAKING_FILE))?;
    File::open(dir)?.sync_all()
}

/// Removes what is left of a log whose making was cut off: RocksDB opens no directory that is half its own.
fn unmake(dir: &Path) -> io::Result<()> {
    if !dir.join(MAKING_FILE).try_exists()? {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if name != MAKING_FILE && name != LOCK_FILE {
            fs::remove_file(dir.join(name))?;
        }
    }
    File::open(dir)?.sync_all()
}

/// What the directory holds before RocksDB looks at it.
struct Held {
    /// Whether a new log may be made here. Where there are tables or logs but not RocksDB's `CURRENT`, it would
    /// take the directory for an empty one and delete them.
    is_new: bool,
    bytes: u64,
}

impl Held {
    fn count(dir: &Path) -> io::Result<Self> {
        let mut held = Self { is_new: true, bytes: 0 };
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".sst") || name.ends_with(".log") {
                held.bytes += entry.metadata()?.len();
                held.is_new = false;
            }
            held.is_new &= name != "CURRENT" && !name.starts_with("MANIFEST-");
        }
        Ok(held)
    }
}

pub(crate) fn options(settings: &EmbeddedSettings, is_new: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(is_new);
    options.set_paranoid_checks(true);
    // The default rolls back to the last sound point in silence, over acknowledged writes too.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_recycle_log_file_num(0);
    // Uncompressed, so that our own checksums can tell which record of a damaged block it is.
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(settings.memtable_bytes);
    options.set_max_write_buffer_number(3);
    options.set_max_total_wal_size(settings.memtable_bytes as u64 * 4);
    options.set_bytes_per_sync(MIB as u64);
    options.set_max_background_jobs(2);
    options.set_max_open_files(256);
    options.set_max_manifest_file_size(16 * MIB);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * MIB);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    let mut tables = BlockBasedOptions::default();
    tables.set_block_size(16 * 1024);
    tables.set_block_cache(&Cache::new_lru_cache(4 * MIB));
    options.set_block_based_table_factory(&tables);
    options
}

/// Verifies all of it or its tail; the position behind the last record, and up to where it is unverified.
fn verify(db: &DB, whole: bool) -> Result<(u64, u64), Damage> {
    let mut last = db.raw_iterator();
    last.seek_to_last();
    let end = match last.key().and_then(stored::position) {
        Some(position) if !whole => position + 1,
        // A small log, an empty one, or one whose end cannot be read: from the start.
        _ => return Ok((scan(db, 0, None, |_, _, _| ControlFlow::Continue(()))?, 0)),
    };
    let from = end.saturating_sub(TAIL_RECORDS);
    scan(db, from, Some(end), |_, _, _| ControlFlow::Continue(()))?;
    Ok((end, from))
}

fn last_time(db: &DB, end: u64) -> Result<i64, Damage> {
    let mut last_ms = 0;
    scan(db, end.saturating_sub(1), Some(end), |_, at_ms, _| {
        last_ms = at_ms;
        ControlFlow::Continue(())
    })?;
    Ok(last_ms)
}

fn refusal(dir: &Path, error: &rocksdb::Error) -> OpenError {
    let detail = error.to_string();
    if error.kind() != rocksdb::ErrorKind::Corruption {
        return OpenError::Storage { dir: dir.into(), detail };
    }
    let damage = Damage { position: None, revision: None, detail };
    OpenError::Damaged { dir: dir.into(), damage: complete(dir, damage) }
}

/// Says where a damage is that shows no position by itself: RocksDB reads what it can without changing
/// anything, and the damage is where that ends.
fn complete(dir: &Path, mut damage: Damage) -> Damage {
    if damage.position.is_some() && damage.revision.is_some() {
        return damage;
    }
    if let Some(found) = first_unreadable(dir) {
        let elsewhere = damage.position.is_some() && damage.position != found.position;
        if !elsewhere {
            damage.position = found.position;
            damage.revision = damage.revision.or(found.revision);
        }
    }
    damage
}

fn first_unreadable(dir: &Path) -> Option<Damage> {
    let mut options = Options::default();
    options.set_paranoid_checks(false);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    let db = DB::open_for_read_only(&options, dir, false).ok()?;
    Some(match scan(&db, 0, None, |_, _, _| ControlFlow::Continue(())) {
        Ok(end) => damage(&db, end, None, String::new()),
        Err(damage) => damage,
    })
}
