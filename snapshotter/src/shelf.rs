//! The image shelf: a directory of `<revision>-<hash>.hwi` and `latest.json`, the manifest of the announced one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use headwater_image::{ImageError, Lineage, Manifest, WhyNot, parse_wire_name, sweep};
use headwater_schemas::{Hash, StreamId};

/// The name of the announcement.
pub(crate) const LATEST: &str = "latest.json";
const LATEST_TMP: &str = ".latest.json.tmp";
/// An image younger than this is never deleted: somebody may be in the middle of fetching it.
const MIN_AGE: Duration = Duration::from_secs(60 * 60);

/// Why an image is not announced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShelfError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "the announcement cannot be read: {0}; delete latest.json, and a new image is announced"
    )]
    Announcement(ImageError),
    #[error("the image shelf {}: {why}", dir.display())]
    Refused { dir: PathBuf, why: WhyNot },
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> ShelfError + use<'a> {
    move |source| ShelfError::Io { action, path: path.to_path_buf(), source }
}

/// An image on the shelf, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shelved {
    pub(crate) revision: u64,
    pub(crate) hash: Hash,
    pub(crate) path: PathBuf,
}

/// The shelf of one stream, written by one process.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    latest: Mutex<Option<Arc<Manifest>>>,
}

impl Shelf {
    /// Opens a shelf, clears away what a killed process left half written, and reads what is announced.
    pub(crate) fn open(dir: &Path) -> Result<Self, ShelfError> {
        fs::create_dir_all(dir).map_err(failed("create", dir))?;
        // The shelf has one writer, and it begins now: whatever is half written is nobody's.
        sweep(dir, SystemTime::now()).map_err(failed("sweep", dir))?;
        let path = dir.join(LATEST);
        let latest = match fs::read(&path) {
            Ok(json) => Some(Manifest::parse(&json).map_err(ShelfError::Announcement)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &path)(error)),
        };
        Ok(Self { dir: dir.to_path_buf(), latest: Mutex::new(latest.map(Arc::new)) })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is announced.
    pub(crate) fn latest(&self) -> Option<Arc<Manifest>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is announced, if its file is there.
    pub(crate) fn latest_there(&self) -> Option<Arc<Manifest>> {
        self.latest().filter(|latest| self.dir.join(&latest.name).is_file())
    }

    /// Whether an image of a stream may stand here, which an operator may have led there from another one.
    pub(crate) fn check_stream(
        &self,
        ours: StreamId,
        led: Option<&Lineage>,
    ) -> Result<(), ShelfError> {
        let known = |theirs| theirs == ours || led.is_some_and(|led| led.from.stream_id == theirs);
        match self.latest() {
            Some(latest) if !known(latest.stream_id) => {
                Err(self.refused(WhyNot::OtherStream { theirs: latest.stream_id, ours }))
            }
            _ => Ok(()),
        }
    }

    fn refused(&self, why: WhyNot) -> ShelfError {
        ShelfError::Refused { dir: self.dir.clone(), why }
    }

    /// Announces an image that stands on the shelf and was proved. Only a greater revision is, or the same image again.
    pub(crate) fn announce(&self, manifest: Manifest) -> Result<(), ShelfError> {
        if let Some(latest) = self.latest()
            && let Err(why) = manifest.may_follow(&latest)
            && !matches!(why, WhyNot::Same { .. })
        {
            return Err(self.refused(why));
        }
        let (tmp, path) = (self.dir.join(LATEST_TMP), self.dir.join(LATEST));
        let write = || {
            let mut file = File::create(&tmp)?;
            file.write_all(&serde_json::to_vec(&manifest)?)?;
            file.sync_all()?;
            fs::rename(&tmp, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(failed("write", &path))?;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(manifest));
        Ok(())
    }

    /// The images on the shelf, the newest first.
    pub(crate) fn images(&self) -> Result<Vec<Shelved>, ShelfError> {
        let mut images = Vec::new();
        for file in fs::read_dir(&self.dir).map_err(failed("list", &self.dir))? {
            let file = file.map_err(failed("list", &self.dir))?;
            let name = file.file_name();
            let parsed = name.to_str().and_then(parse_wire_name);
            images.extend(parsed.map(|(revision, hash)| Shelved {
                revision,
                hash,
                path: file.path(),
            }));
        }
        images.sort_by_key(|image| std::cmp::Reverse(image.revision));
        Ok(images)
    }

    /// Deletes what is neither announced, nor one of the newest `keep`, nor younger than an hour at `now`.
    /// Says how many went.
    pub(crate) fn retain(&self, keep: usize, now: SystemTime) -> Result<usize, ShelfError> {
        let announced = self.latest().map(|latest| self.dir.join(&latest.name));
        let mut gone = 0;
        for image in self.images()?.into_iter().skip(keep) {
            let made = fs::metadata(&image.path).and_then(|about| about.modified());
            // A time in the future, or none, is as good as young.
            let old =
                made.is_ok_and(|made| now.duration_since(made).is_ok_and(|age| age >= MIN_AGE));
            if old && Some(&image.path) != announced.as_ref() {
                fs::remove_file(&image.path).map_err(failed("delete", &image.path))?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_schemas::{Digest, Position};

    fn manifest(revision: u64, stream: u8) -> Manifest {
        let hash = Hash([u8::try_from(revision).unwrap(); 32]);
        Manifest {
            name: format!("{revision}-{hash}.hwi"),
            stream_id: StreamId([stream; 16]),
            revision,
            hash,
            digest: Digest::default(),
            entries: 0,
            bytes: 9,
            blake3: Hash::default(),
            created_at_ms: 1,
            log_position: Position(revision),
            blocks: Vec::new(),
            succession: None,
        }
    }

    /// Puts a file on the shelf, so many minutes old.
    fn put(shelf: &Shelf, revision: u64, minutes: u64) -> PathBuf {
        let path = shelf.dir().join(manifest(revision, 1).name);
        let file = File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(minutes * 60)).unwrap();
        path
    }

    #[test]
    fn only_a_greater_revision_of_the_same_stream_is_announced() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        shelf.announce(manifest(5, 1)).unwrap();
        let why = |refused| match refused {
            Err(ShelfError::Refused { why, .. }) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(shelf.announce(manifest(4, 1))).is_harmless());
        let other = why(shelf.announce(manifest(6, 2)));
        assert!(matches!(other, WhyNot::OtherStream { .. }), "{other}");
        assert_eq!(shelf.latest().unwrap().revision, 5);
        shelf.announce(manifest(6, 1)).unwrap();
        drop(shelf);
        assert_eq!(Shelf::open(dir.path()).unwrap().latest().unwrap().revision, 6);
    }

    #[test]
    fn the_young_the_announced_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        let (announced, old) = (put(&shelf, 1, 999), put(&shelf, 2, 999));
        let (young, newest) = (put(&shelf, 3, 59), put(&shelf, 4, 999));
        let foreign = dir.path().join("notes.txt");
        fs::write(&foreign, "x").unwrap();
        shelf.announce(manifest(1, 1)).unwrap();
        assert_eq!(shelf.retain(1, SystemTime::now()).unwrap(), 1);
        let there: Vec<bool> =
            [&announced, &old, &young, &newest, &foreign].map(|path| path.exists()).to_vec();
        assert_eq!(there, [true, false, true, true, true]);
    }

    #[test]
    fn a_damaged_announcement_is_told_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LATEST), "{").unwrap();
        let error = Shelf::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("delete latest.json"), "{error}");
    }
}
