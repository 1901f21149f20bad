//! Entries into one file, or to standard output: a JSON object, or an entry a line.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use headwater_api::{EntryBody, Value};
use tempfile::NamedTempFile;

use super::{Exported, Form, Report, Sink};
use crate::exit::Failure;

pub(super) struct File {
    form: Form,
    out: Out,
    begun: bool,
}

enum Out {
    Standard(BufWriter<io::Stdout>),
    /// A file that gets its name when it is whole.
    New(BufWriter<NamedTempFile>, PathBuf),
}

impl File {
    pub(super) fn begin(form: Form, path: Option<&Path>) -> Result<Self, Failure> {
        let out = match path {
            None => Out::Standard(BufWriter::new(io::stdout())),
            Some(path) => {
                let about = |error| Failure::failed(format_args!("{}: {error}", path.display()));
                let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
                // As any program would make it: what others may do is the umask's business.
                let file = tempfile::Builder::new()
                    .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
                    .tempfile_in(dir.unwrap_or(Path::new(".")))
                    .map_err(about)?;
                Out::New(BufWriter::new(file), path.to_path_buf())
            }
        };
        Ok(Self { form, out, begun: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.out {
            Out::Standard(out) => written(out.write_all(bytes)),
            Out::New(out, path) => out
                .write_all(bytes)
                .map_err(|error| Failure::failed(format_args!("{}: {error}", path.display()))),
        }
    }

    /// A member of the one object, its bytes as they are.
    fn member(&mut self, exported: &Exported) -> Result<(), Failure> {
        let Exported { entry, value } = exported;
        if entry.content_type != "application/json" {
            let told =
                format!("{} is {}, which has no place in JSON", entry.key, entry.content_type);
            return Err(Failure::failed(told).hint("choose --format ndjson or --format tree"));
        }
        let name = serde_json::to_string(entry.key.as_str()).map_err(Failure::failed)?;
        self.write(if self.begun { b",\n  " } else { b"{\n  " })?;
        self.begun = true;
        self.write(name.as_bytes())?;
        self.write(b": ")?;
        self.write(value)
    }

    fn line(&mut self, exported: Exported) -> Result<(), Failure> {
        let Exported { entry, value } = exported;
        let shown = match entry.bytes() {
            Ok(bytes) if bytes == value => entry,
            _ => as_base64(entry, &value),
        };
        let mut line = serde_json::to_vec(&shown).map_err(Failure::failed)?;
        // JSON keeps its own line breaks; a line must not. They stand between its parts only, never in a text.
        if line.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            line = serde_json::to_vec(&as_base64(shown, &value)).map_err(Failure::failed)?;
        }
        line.push(b'\n');
        self.write(&line)
    }
}

/// An entry with its value in the form that keeps every byte.
fn as_base64(entry: EntryBody, value: &[u8]) -> EntryBody {
    let Value { value_base64, .. } = Value::show("application/octet-stream", value);
    EntryBody { value: None, value_base64, ..entry }
}

impl Sink for File {
    fn take(&mut self, exported: Exported) -> Result<(), Failure> {
        match self.form {
            Form::Ndjson => self.line(exported),
            Form::Json | Form::Tree => self.member(&exported),
        }
    }

    fn finish(mut self: Box<Self>, _: &Report) -> Result<(), Failure> {
        if self.form == Form::Json {
            self.write(if self.begun { b"\n}\n" } else { b"{}\n" })?;
        }
        match self.out {
            Out::Standard(mut out) => written(out.flush()),
            Out::New(out, path) => {
                let about = |error: &dyn std::fmt::Display| {
                    Failure::failed(format_args!("{}: {error}", path.display()))
                };
                let file = out.into_inner().map_err(|error| about(&error))?;
                file.as_file().sync_all().map_err(|error| about(&error))?;
                file.persist(&path).map_err(|error| about(&error))?;
                Ok(())
            }
        }
    }
}

/// A reader that went away (`| head`) ends the command quietly.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::failed(format_args!("standard output: {error}"))),
    }
}
