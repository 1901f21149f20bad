//! An archive: a log's chain in immutable, compressed segments of whole commits, with a manifest; verifiable on its own.
//!
//! ```text
//! DIR/archive.json                                   which segments there are, their chain hashes and BLAKE3
//! DIR/<first>-<last>-<hash>.hwa                      the records of these revisions as stored
//! ```
//!
//! A segment is never changed once the manifest names it. Only records that count are archived: what lost a race, and
//! markers, stay behind.

mod manifest;
mod reader;
mod segment;
mod write;
#[cfg(test)]
mod write_tests;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use headwater_log::LogReader;
use headwater_schemas::{Hash, Point};

use crate::{AuditError, Break, Confirmed, Kind, Progress, Published, Report, verify};

pub use manifest::{Manifest, SegmentEntry};
pub use write::{Archived, archive};

use manifest::MANIFEST;
use reader::ArchiveReader;

/// A folder that holds an archive.
#[derive(Debug, Clone)]
pub struct Archive {
    dir: PathBuf,
    manifest: Manifest,
}

impl Archive {
    /// Opens one: its manifest is whole and names segments that follow each other. Their bytes are checked as they are
    /// read.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, AuditError> {
        let dir = dir.into();
        let manifest = Manifest::load(&dir)?;
        Ok(Self { dir, manifest })
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A reader of its records, which stands at a record's revision. A damaged segment is refused.
    pub fn reader(&self) -> Box<dyn LogReader> {
        Box::new(ArchiveReader::new(self.clone()))
    }

    /// Every segment's last revision with its hash: heads that were published when they were written.
    pub fn published(&self) -> Published {
        self.manifest.segments.iter().map(|it| (it.last, it.hash)).collect()
    }

    /// Verifies it as any log, and the bytes of its segments, too. A damaged segment is read as far as it can be, so that
    /// the report tells which revision it is.
    ///
    /// # Errors
    /// As [`fn@crate::verify`].
    pub async fn verify(
        &self,
        published: &Published,
        progress: impl FnMut(Progress),
    ) -> Result<Report, AuditError> {
        let (reader, damages) = ArchiveReader::lenient(self.clone());
        let mut all = self.published();
        published.iter().for_each(|(revision, hash)| all.add(revision, hash));
        let mut report = verify(Box::new(reader), &all, progress).await?;
        // What an archive says of itself confirms nothing of it.
        let given = |head: &Confirmed| published.contains(head.revision, head.hash);
        report.confirmed.retain(given);
        for damage in damages.take() {
            // What is damaged shows at its revision, where the chain tells it; else the segment must do.
            let within = |found: &Break| (damage.first..=damage.last).contains(&found.revision);
            if report.breaks.iter().any(within) {
                report.breaks.iter_mut().filter(|found| within(found)).for_each(|found| {
                    found.detail = format!("{} ({})", found.detail, damage.detail);
                });
                continue;
            }
            report.add(Break::new(damage.first, Kind::Damaged, damage.detail));
        }
        Ok(report)
    }

    fn path(&self, entry: &SegmentEntry) -> PathBuf {
        self.dir.join(entry.name())
    }
}

/// Takes a folder for this process, as long as the file is held. The file stays: who removed it could remove the lock of
/// another process.
fn lock(dir: &Path) -> Result<File, AuditError> {
    fs::create_dir_all(dir).map_err(AuditError::file("create", dir))?;
    let path = dir.join(".archive.lock");
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(AuditError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(AuditError::archive(dir, "another process writes it: wait until that is done"))
        }
        Err(TryLockError::Error(error)) => Err(AuditError::file("lock", &path)(error)),
    }
}

/// A point without its stream.
type Place = (u64, Hash);

fn place(point: &Point) -> Place {
    (point.revision, point.hash)
}
