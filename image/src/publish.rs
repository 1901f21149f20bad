//! How a file comes to be: temporary name, fsync, verify what was read back, rename, fsync of the directory.
//! Whoever sees the final name sees a whole, verified, durable file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use headwater_schemas::Hash;

use crate::{ImageError, Manifest};

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

/// Copies the wire form that `manifest` names from one directory into another: whole and read back, or not at all.
///
/// # Errors
/// [`ImageError::Io`], or [`ImageError::Damaged`] when the bytes are not those of the manifest.
pub fn copy_image(from: &Path, to: &Path, manifest: &Manifest) -> Result<(), ImageError> {
    let source = from.join(&manifest.name);
    let copy = |out: &mut Output<'_>| {
        let mut file = File::open(&source).map_err(ImageError::io("open", &source))?;
        pieces(&mut file, &source, |piece| out.write(piece))
    };
    publish(to, &manifest.name, copy, |path, ()| {
        let mut file = File::open(path).map_err(ImageError::io("open", path))?;
        let mut hasher = blake3::Hasher::new();
        pieces(&mut file, path, |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        if Hash(*hasher.finalize().as_bytes()) == manifest.blake3 {
            return Ok(());
        }
        Err(ImageError::damaged("its copy is not what the manifest says").in_file(&source))
    })
}

/// Reads a file to its end, a piece at a time.
fn pieces(
    file: &mut File,
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(ImageError::io("read", path))? {
            0 => return Ok(()),
            read => take(piece.get(..read).unwrap_or_default())?,
        }
    }
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
