//! Entries into one file, or to standard output: a JSON object, or an entry a line.

use std::io::Write;
use std::path::Path;

use headwater_api::{EntryBody, Value};

use super::{Exported, Form, Report, Sink};
use crate::exit::Failure;
use crate::file_output::FileOutput;

pub(super) struct File {
    form: Form,
    out: FileOutput,
    begun: bool,
}

impl File {
    pub(super) fn begin(form: Form, path: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self { form, out: FileOutput::open(path)?, begun: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| self.out.failed(&error))
    }

    /// A member of the one object, its bytes as they are.
    fn member(&mut self, exported: &Exported) -> Result<(), Failure> {
        let Exported { entry, value } = exported;
        has_place(entry)?;
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

/// Whether JSON can say an entry: asked before anything of its page is written.
pub(super) fn has_place(entry: &EntryBody) -> Result<(), Failure> {
    if entry.content_type == "application/json" {
        return Ok(());
    }
    let told = format!("{} is {}, which has no place in JSON", entry.key, entry.content_type);
    Err(Failure::failed(told).hint("choose --format ndjson or --format tree"))
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
        self.out.finish()
    }
}
