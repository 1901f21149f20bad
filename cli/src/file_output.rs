//! What a command writes: files and folders that are whole or not there.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::exit::Failure;

const BUFFER_BYTES: usize = 1 << 20;
const PREFIX: &str = ".headwater-";

/// Standard output, or a file that gets its name when it is whole.
pub(crate) enum FileOutput {
    Standard(BufWriter<io::Stdout>),
    /// What stands there is no file: a device, a pipe. It is written to, and never replaced.
    There(BufWriter<File>, PathBuf),
    New(NewFile),
}

impl FileOutput {
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            None => Ok(Self::Standard(BufWriter::new(io::stdout()))),
            Some(path)
                if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) =>
            {
                let file = File::options().write(true).open(path);
                let file = file.map_err(|error| unwritten(path, &error))?;
                Ok(Self::There(BufWriter::new(file), path.to_owned()))
            }
            Some(path) => NewFile::create(path).map(Self::New),
        }
    }

    /// Why it cannot be written.
    pub(crate) fn failed(&self, error: &io::Error) -> Failure {
        match self {
            Self::Standard(_) => Failure::failed(format_args!("standard output: {error}")),
            Self::There(_, path) => unwritten(path, error),
            Self::New(file) => file.failed(error),
        }
    }

    /// Gives it its name, durable.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush().map_err(|error| self.failed(&error))?;
        match self {
            Self::Standard(_) | Self::There(..) => Ok(()),
            Self::New(file) => file.seal()?.name(),
        }
    }
}

impl Write for FileOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes).or_else(gone),
            Self::There(out, _) => out.write(bytes),
            Self::New(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush().or_else(gone),
            Self::There(out, _) => out.flush(),
            Self::New(file) => file.flush(),
        }
    }
}

/// A reader that went away (`| head`) ends the command quietly.
fn gone<T>(error: io::Error) -> io::Result<T> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Err(error)
}

/// A file being written, without a name as yet. Dropped, it is gone.
pub(crate) struct NewFile {
    out: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl NewFile {
    /// One that will be `path`, in the same folder.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        // A link stays one: it is the file behind it that is written anew.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let before = fs::metadata(&path).ok();
        // As any program would make it: what others may do is the umask's business, or was decided before.
        let file = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder(&path))
            .and_then(|file| {
                if let Some(before) = before.filter(fs::Metadata::is_file) {
                    file.as_file().set_permissions(before.permissions())?;
                }
                Ok(file)
            })
            .map_err(|error| unwritten(&path, &error))?;
        Ok(Self { out: BufWriter::with_capacity(BUFFER_BYTES, file), path })
    }

    /// Why it cannot be written.
    pub(crate) fn failed(&self, error: &io::Error) -> Failure {
        unwritten(&self.path, error)
    }

    /// Ends it, durable: it can be checked before it gets its name.
    pub(crate) fn seal(self) -> Result<Sealed, Failure> {
        let Self { out, path } = self;
        let failed = |error: io::Error| unwritten(&path, &error);
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        Ok(Sealed { file, path })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A file that is whole and has no name as yet.
pub(crate) struct Sealed {
    file: NamedTempFile,
    path: PathBuf,
}

impl Sealed {
    /// Where it can be read.
    pub(crate) fn temporary(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its name, in place of what stands there.
    pub(crate) fn name(self) -> Result<(), Failure> {
        let Self { file, path } = self;
        file.persist(&path).map_err(|error| unwritten(&path, &error.error))?;
        sync(folder(&path)).map_err(|error| unwritten(&path, &error))
    }
}

/// A folder being filled, without its name as yet. Dropped, it is gone.
pub(crate) struct NewFolder {
    growing: TempDir,
    path: PathBuf,
    /// The folders in it.
    folders: BTreeSet<PathBuf>,
}

impl NewFolder {
    /// One that will be `path`, which is empty or not there.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| unwritten(path, &error);
        if path.exists() && fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(Failure::failed(format_args!("{} is not empty", path.display()))
                .hint("name a directory that is empty or not there yet"));
        }
        let growing = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(folder(path))
            .map_err(failed)?;
        let folders = [growing.path().to_owned()].into();
        Ok(Self { growing, path: path.to_owned(), folders })
    }

    /// Adds a file, durable; `name` stays below the folder, which its caller sees to.
    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.write(&self.growing.path().join(name), bytes);
        let folders = written.map_err(|error| unwritten(&self.path.join(name), &error))?;
        self.folders.extend(folders);
        Ok(())
    }

    /// Writes a file, and gives the folders above it.
    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<Vec<PathBuf>> {
        fs::create_dir_all(folder(file))?;
        let mut out = File::create_new(file)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        let above = file.ancestors().skip(1);
        Ok(above.take_while(|it| *it != self.growing.path()).map(Path::to_owned).collect())
    }

    /// Gives it its name, durable.
    pub(crate) fn name(self) -> Result<(), Failure> {
        let named = || {
            self.folders.iter().try_for_each(|folder| sync(folder))?;
            fs::rename(self.growing.path(), &self.path)?;
            sync(folder(&self.path))
        };
        named().map_err(|error| unwritten(&self.path, &error))
    }
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format_args!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().into_owned()
        };
        fs::read_dir(dir).unwrap().map(name).collect()
    }

    #[test]
    fn a_file_is_whole_or_what_stood_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut given_up = NewFile::create(&path).unwrap();
        given_up.write_all(b"half").unwrap();
        drop(given_up);
        let mut refused = NewFile::create(&path).unwrap();
        refused.write_all(b"new").unwrap();
        let sealed = refused.seal().unwrap();
        assert_eq!(fs::read(sealed.temporary()).unwrap(), b"new", "it can be checked");
        drop(sealed);
        assert_eq!(
            (fs::read(&path).unwrap(), names(dir.path())),
            (b"old".into(), vec!["a".into()])
        );
        let mut out = FileOutput::open(Some(&path)).unwrap();
        out.write_all(b"new").unwrap();
        out.finish().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), names(dir.path())),
            (b"new".into(), vec!["a".into()])
        );
    }

    #[test]
    fn a_device_is_written_to_a_link_stays_one_and_a_mode_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &Path| {
            let mut out = FileOutput::open(Some(path)).unwrap();
            out.write_all(b"new").unwrap();
            out.finish()
        };
        write(Path::new("/dev/null")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut given_up = NewFolder::create(&path).unwrap();
        given_up.put("x/y", b"1").unwrap();
        assert!(given_up.put("x", b"1").is_err() && given_up.put("x/y/z", b"1").is_err());
        drop(given_up);
        assert!(names(dir.path()).is_empty());
        let mut folder = NewFolder::create(&path).unwrap();
        folder.put("x/y/z", b"1").unwrap();
        folder.put("b", b"2").unwrap();
        assert_eq!(folder.folders.len(), 3, "all of them are made durable");
        folder.name().unwrap();
        assert_eq!(
            (fs::read(path.join("x/y/z")).unwrap(), names(dir.path())),
            (b"1".into(), vec!["a".into()])
        );
        assert!(NewFolder::create(&path).is_err(), "it is not empty");
    }
}
