//! How a file comes to be: temporary name, fsync, verify what was read back, rename, fsync of the directory.
//! Whoever sees the final name sees a whole, verified, durable file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::ImageError;

const TEMPORARY: &str = ".hw-tmp";

/// Writes `dir/name`. `verify` reads the temporary file back; nothing is renamed that it does not vouch for.
pub(crate) fn publish<W, V>(
    dir: &Path,
    name: &str,
    write: impl FnOnce(&mut Output<'_>) -> Result<W, ImageError>,
    verify: impl FnOnce(&Path, W) -> Result<V, ImageError>,
) -> Result<V, ImageError> {
    let temporary = Temporary::new(dir, name);
    let path = &temporary.0;
    let written = {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(ImageError::io("create", path))?;
        let mut output = Output { file: BufWriter::with_capacity(1 << 20, &file), path };
        let written = write(&mut output)?;
        output.file.flush().map_err(ImageError::io("write", path))?;
        drop(output);
        file.sync_all().map_err(ImageError::io("sync", path))?;
        written
    };
    let verified = verify(path, written)?;
    fs::rename(path, dir.join(name)).map_err(ImageError::io("rename", path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(ImageError::io("sync", dir))?;
    Ok(verified)
}

/// Where the bytes of a new file go.
pub(crate) struct Output<'f> {
    file: BufWriter<&'f File>,
    path: &'f Path,
}

impl Output<'_> {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.file.write_all(bytes).map_err(ImageError::io("write", self.path))
    }
}

/// A temporary file, removed unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn new(dir: &Path, name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        Self(dir.join(format!(".{name}.{process}.{number}{TEMPORARY}")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing under this name; a leftover is what `sweep` is for.
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what killed processes left half written in `dir`: temporary files last touched before `before`
/// (an hour ago is safe: nobody writes one for so long). Says how many.
///
/// # Errors
/// When the directory cannot be listed. Files that cannot be removed are left.
pub fn sweep(dir: &Path, before: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for file in fs::read_dir(dir)? {
        let file = file?;
        let ours = file.file_name().to_string_lossy().ends_with(TEMPORARY);
        let modified = file.metadata().and_then(|about| about.modified());
        if ours && modified.is_ok_and(|at| at < before) && fs::remove_file(file.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
