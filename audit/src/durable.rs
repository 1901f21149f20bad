//! How a file comes to be: temporary name, fsync, read back and verify, rename, fsync of the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::AuditError;

const TEMPORARY: &str = ".hw-tmp";

/// A step that was just taken, so that tests can end there as a crash would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Created,
    Written,
    Synced,
    Verified,
    Renamed,
    Durable,
}

/// Writes `dir/name`, whole or not at all; `verify` vouches for the temporary file before it gets its name.
pub(crate) fn put(
    dir: &Path,
    name: &str,
    steps: &mut dyn FnMut(Step) -> Result<(), AuditError>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), AuditError>,
    verify: impl FnOnce(&Path) -> Result<(), AuditError>,
) -> Result<(), AuditError> {
    let temporary = Temporary::new(dir, name);
    let path = temporary.0.as_path();
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(AuditError::file("create", path))?;
    steps(Step::Created)?;
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    write(&mut out)?;
    out.flush().map_err(AuditError::file("write", path))?;
    drop(out);
    steps(Step::Written)?;
    file.sync_all().map_err(AuditError::file("sync", path))?;
    steps(Step::Synced)?;
    verify(path)?;
    steps(Step::Verified)?;
    fs::rename(path, dir.join(name)).map_err(AuditError::file("rename", path))?;
    steps(Step::Renamed)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(AuditError::file("sync", dir))?;
    steps(Step::Durable)
}

/// Removes what an earlier process left half written. Only for who holds the folder's lock.
pub(crate) fn sweep(dir: &Path) -> Result<(), AuditError> {
    for file in fs::read_dir(dir).map_err(AuditError::file("list", dir))? {
        let path = file.map_err(AuditError::file("list", dir))?.path();
        if path.to_string_lossy().ends_with(TEMPORARY) {
            fs::remove_file(&path).map_err(AuditError::file("remove", &path))?;
        }
    }
    Ok(())
}

/// A temporary file, removed unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn new(dir: &Path, name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(dir.join(format!(".{name}.{process}.{number}{TEMPORARY}")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename nothing stands under this name; a leftover is what `sweep` is for.
        let _ = fs::remove_file(&self.0);
    }
}
