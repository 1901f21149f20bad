//! One reading of the folder.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use headwater_schemas::{Key, Namespace};

use super::RefusedFile;
use super::names::{self, BYTES, JSON, Place, TEXT};

/// The largest file, in bytes: as large a value as a server takes by default.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// The most files and folders. More is no configuration but somebody's home directory.
const MAX_FILES: usize = 10_000;
/// All files together, in bytes: they are held in memory twice.
const MAX_TREE_BYTES: u64 = 32 * 1024 * 1024;
/// How deep folders may nest.
const MAX_DEPTH: usize = 32;

/// What tells one state of the folder from another without reading any file: where each path leads, how long the file
/// there is, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mark(BTreeMap<PathBuf, Trace>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Trace {
    At { identity: (u64, u64), bytes: u64, modified: Option<SystemTime> },
    Unreadable,
}

impl Trace {
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok();
        Self::At { identity: identity(metadata), bytes: metadata.len(), modified }
    }
}

/// What a path leads to, so that a link that was turned elsewhere shows.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// One file's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) content_type: &'static str,
    pub(super) value: Bytes,
}

/// Keys that something refused stands for: they stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Key(Namespace, Key),
    Below(Namespace, String),
}

/// The folder at one moment.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) mark: Mark,
    pub(super) files: BTreeMap<(Namespace, Key), File>,
    pub(super) refused: Vec<RefusedFile>,
    held: Vec<Held>,
}

impl Tree {
    /// Reads every file. The error is of the whole folder.
    pub(super) fn read(dir: &Path) -> Result<Self, String> {
        let mut tree = Self { mark: Self::mark(dir)?, ..Self::default() };
        let mut owners: BTreeMap<(Namespace, Key), PathBuf> = BTreeMap::new();
        let paths: Vec<(PathBuf, Trace)> =
            tree.mark.0.iter().map(|(path, trace)| (path.clone(), trace.clone())).collect();
        for (path, trace) in paths {
            if trace == Trace::Unreadable {
                tree.refuse_folder(
                    &path,
                    "it cannot be read: check its rights and where it links to",
                );
                continue;
            }
            match names::place(&path) {
                Err(reason) => tree.refuse(&path, reason, None),
                Ok(place) => tree.take(dir, &path, place, &mut owners),
            }
        }
        Ok(tree)
    }

    /// The mark of the folder now. The error is of the whole folder.
    pub(super) fn mark(dir: &Path) -> Result<Mark, String> {
        let whole =
            |error: io::Error| format!("the folder {} cannot be read: {error}", dir.display());
        let root = fs::metadata(dir).map_err(whole)?;
        if !root.is_dir() {
            return Err(format!("{} is no folder", dir.display()));
        }
        let mut walk = Walk { dir, mark: Mark::default(), bytes: 0, seen: 0 };
        walk.folder(Path::new(""), &mut vec![identity(&root)])?;
        Ok(walk.mark)
    }

    /// Whether something refused stands for this key.
    pub(super) fn holds_back(&self, namespace: &Namespace, key: &Key) -> bool {
        self.held.iter().any(|held| match held {
            Held::Key(ns, held) => ns == namespace && held == key,
            Held::Below(ns, prefix) => ns == namespace && key.as_str().starts_with(prefix.as_str()),
        })
    }

    fn take(
        &mut self,
        dir: &Path,
        path: &Path,
        place: Place,
        owners: &mut BTreeMap<(Namespace, Key), PathBuf>,
    ) {
        let Place { namespace, key, content_type } = place;
        let at = (namespace, key);
        if let Some(other) = owners.get(&at).cloned() {
            let both =
                format!("{} and {} are the same key: keep one", other.display(), path.display());
            self.files.remove(&at);
            self.refuse(path, both, Some(Held::Key(at.0, at.1)));
            return;
        }
        owners.insert(at.clone(), path.to_owned());
        match read_value(&dir.join(path)).and_then(|value| judged(value, content_type)) {
            Ok(file) => drop(self.files.insert(at, file)),
            Err(reason) => self.refuse(path, reason, Some(Held::Key(at.0, at.1))),
        }
    }

    fn refuse(&mut self, path: &Path, reason: impl Into<String>, held: Option<Held>) {
        self.refused.push(RefusedFile { path: path.to_owned(), reason: reason.into() });
        self.held.extend(held);
    }

    /// What cannot be looked at may be a folder or a file: what it may hold stays.
    fn refuse_folder(&mut self, path: &Path, reason: &str) {
        self.refuse(path, reason, None);
        if let Ok((namespace, prefix)) = names::folder(path) {
            self.held.push(Held::Below(namespace, prefix));
        }
        if let Ok(Place { namespace, key, .. }) = names::place(path) {
            self.held.push(Held::Key(namespace, key));
        }
    }
}

/// Reads a file of a bounded size: it may have grown since it was looked at.
fn read_value(path: &Path) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut value = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut value).map_err(|error| error.to_string())?;
    if value.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes, the most of one value"));
    }
    Ok(value)
}

/// The value with its type. A JSON file that is none is refused here: it may be half written, and a server would not
/// have let it in either.
fn judged(mut value: Vec<u8>, content_type: Option<&'static str>) -> Result<File, String> {
    let content_type = content_type.unwrap_or_else(|| match std::str::from_utf8(&value) {
        Ok(_) => TEXT,
        Err(_) => BYTES,
    });
    if content_type == JSON {
        let checked: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&value);
        checked.map_err(|error| format!("it is no JSON: {error}"))?;
    }
    if content_type == TEXT {
        std::str::from_utf8(&value).map_err(|error| format!("it is not UTF-8: {error}"))?;
        // Editors end every file with one; a value put by hand has none.
        let ended = [b"\r\n".as_slice(), b"\n"].into_iter().find(|end| value.ends_with(end));
        value.truncate(value.len() - ended.map_or(0, <[u8]>::len));
    }
    Ok(File { content_type, value: value.into() })
}

struct Walk<'a> {
    dir: &'a Path,
    mark: Mark,
    bytes: u64,
    seen: usize,
}

impl Walk<'_> {
    /// Marks what stands below one folder. `above` are the folders that it stands in: a link to one of them ends there.
    fn folder(&mut self, path: &Path, above: &mut Vec<(u64, u64)>) -> Result<(), String> {
        let listing = match fs::read_dir(self.dir.join(path)) {
            Ok(listing) => listing,
            Err(error) if path.as_os_str().is_empty() => {
                return Err(format!("the folder {} cannot be read: {error}", self.dir.display()));
            }
            Err(error) => return self.unreadable(path, &error),
        };
        for entry in listing {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.unreadable(path, &error),
            };
            let name = entry.file_name();
            if names::is_passed_over(&name.to_string_lossy()) {
                continue;
            }
            self.seen += 1;
            if self.seen > MAX_FILES {
                return Err(format!(
                    "more than {MAX_FILES} files and folders in {}: is it the right folder?",
                    self.dir.display()
                ));
            }
            self.entry(path.join(name), above)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, above: &mut Vec<(u64, u64)>) -> Result<(), String> {
        let metadata = match fs::metadata(self.dir.join(&path)) {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(&path, &error),
        };
        if metadata.is_dir() {
            let identity = identity(&metadata);
            if above.len() > MAX_DEPTH || (cfg!(unix) && above.contains(&identity)) {
                self.mark.0.insert(path, Trace::Unreadable);
                return Ok(());
            }
            above.push(identity);
            let walked = self.folder(&path, above);
            above.pop();
            return walked;
        }
        if !metadata.is_file() {
            // A pipe would hang whoever opens it.
            self.mark.0.insert(path, Trace::Unreadable);
            return Ok(());
        }
        self.bytes += metadata.len().min(MAX_FILE_BYTES);
        if self.bytes > MAX_TREE_BYTES {
            return Err(format!(
                "more than {MAX_TREE_BYTES} bytes in {}: is it the right folder?",
                self.dir.display()
            ));
        }
        self.mark.0.insert(path, Trace::of(&metadata));
        Ok(())
    }

    /// What vanished while it was looked at is not there; a link to nowhere is, and cannot be read.
    fn unreadable(&mut self, path: &Path, error: &io::Error) -> Result<(), String> {
        let is_gone = error.kind() == io::ErrorKind::NotFound
            && fs::symlink_metadata(self.dir.join(path)).is_err();
        if !is_gone {
            self.mark.0.insert(path.to_owned(), Trace::Unreadable);
        }
        Ok(())
    }
}
