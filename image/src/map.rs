//! The one place that maps a file, and so the one `unsafe` of the project.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::ImageError;

/// Maps a whole file for reading.
#[expect(unsafe_code, reason = "mapping a file is unsafe by nature; the invariant stands below")]
pub(crate) fn map(path: &Path) -> Result<Mmap, ImageError> {
    let file = File::open(path).map_err(ImageError::io("open", path))?;
    // SAFETY: a mapping is sound as long as nobody changes the file under it. Mapped images are written under a
    // temporary name and never again after their rename; a newer one with the same name replaces the directory
    // entry, not the bytes. Bytes changed by a foreign hand could not break memory safety further than any read
    // of them: they are only ever read through checked slices, and no text is taken from them unchecked. A file cut
    // short under the map ends the process with SIGBUS; `Keep::Copied` is for disks where that is to be feared.
    let map = unsafe { Mmap::map(&file) };
    map.map_err(ImageError::io("map", path))
}
