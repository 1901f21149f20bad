//! Files that a command writes: whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use headwater_audit::AuditError;
use tempfile::NamedTempFile;

use crate::exit::Failure;
use crate::output::one_line_of_json;

/// Standard output, or a file that gets its name when it is whole.
pub(super) enum Output {
    Standard(BufWriter<io::Stdout>),
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::Standard(BufWriter::with_capacity(1 << 16, io::stdout())));
        };
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // Others may read it, as what an editor writes: a receipt is there to be handed on.
        let mut builder = tempfile::Builder::new();
        let builder = builder.permissions(Permissions::from_mode(0o666));
        let file = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
        let file = file.map_err(|error| unwritten(path, &error))?;
        Ok(Self::File(BufWriter::with_capacity(1 << 20, file), path.to_owned()))
    }

    /// Makes it durable and gives it its name.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Standard(mut out) => out.flush().or_else(gone).map_err(Failure::failed),
            Self::File(out, path) => named(out, &path).map_err(|error| unwritten(&path, &error)),
        }
    }
}

fn named(out: BufWriter<NamedTempFile>, path: &Path) -> io::Result<()> {
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format_args!("{} cannot be written: {error}", path.display()))
}

/// A reader that went away (`| head`) ends the command quietly.
fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Err(error)
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes).or_else(|error| gone(error).map(|()| 0)),
            Self::File(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush().or_else(gone),
            Self::File(out, _) => out.flush(),
        }
    }
}

/// A line of JSON.
pub(super) fn line<T: serde::Serialize>(out: &mut impl Write, value: &T) -> Result<(), AuditError> {
    let text = one_line_of_json(value).map_err(|error| AuditError::Output(error.to_string()))?;
    writeln!(out, "{text}").map_err(|error| AuditError::Output(error.to_string()))
}

/// Writes values into a new folder, which gets its name when all are there.
pub(super) fn folder<'a>(
    path: &Path,
    values: impl Iterator<Item = (String, &'a [u8])>,
) -> Result<u64, Failure> {
    if path.exists() {
        return Err(Failure::failed(format_args!("{} is there already", path.display()))
            .hint("name a folder that is not there"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let failed = |error: io::Error| unwritten(path, &error);
    let temporary = tempfile::Builder::new().prefix(".headwater-").tempdir_in(parent);
    let temporary = temporary.map_err(failed)?;
    let whole = temporary.path().join("whole");
    fs::create_dir(&whole).map_err(failed)?;
    let mut count = 0;
    for (name, value) in values {
        let file = whole.join(&name);
        put(&file, value).map_err(|error| {
            unwritten(&path.join(&name), &error)
                .hint("a key that is also the folder of others cannot be a file: take --out")
        })?;
        count += 1;
    }
    fs::rename(&whole, path).map_err(failed)?;
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
    Ok(count)
}

fn put(path: &Path, value: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create_new(path)?;
    file.write_all(value)?;
    file.sync_all()
}
