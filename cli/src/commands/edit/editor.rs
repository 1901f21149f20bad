//! A value in a file of its own, and the editor that a person likes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use headwater_schemas::Key;
use tokio::process::Command;

use crate::exit::Failure;
use crate::filetype::extension;
use crate::output;
use crate::signals::{INTERRUPT, Signals};

/// A value under edit. Its file stays, however the command ends, until it is discarded.
pub(super) struct Draft(PathBuf);

impl Draft {
    /// A file of the person's own, named so that an editor knows what is in it.
    pub(super) fn open(key: &Key, content_type: &str, value: &[u8]) -> Result<Self, Failure> {
        let about = |error| Failure::failed(format_args!("a file to edit: {error}"));
        let name: String = key
            .as_str()
            .chars()
            .map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .take(60)
            .collect();
        let mut file = tempfile::Builder::new()
            .prefix(&format!("headwater-{name}-"))
            .suffix(&format!(".{}", extension(content_type)))
            .tempfile()
            .map_err(about)?;
        file.write_all(value).and_then(|()| file.flush()).map_err(about)?;
        let (_, path) = file.keep().map_err(|error| about(error.error))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Runs the editor, and reads what it left. An editor that ends the last line of a value which had none is not meant.
    /// Ctrl-C reaches the editor by itself and ends nothing here.
    pub(super) async fn edit(&self, old: &[u8], signals: &mut Signals) -> Result<Vec<u8>, Failure> {
        let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok());
        let editor = editor.filter(|editor| !editor.trim().is_empty());
        let editor = editor.unwrap_or_else(|| "vi".to_owned());
        // Through a shell, as everybody does it: an editor may be given with arguments.
        let mut shell = Command::new("sh");
        let ended = shell.arg("-c").arg(format!("{editor} \"$0\"")).arg(self.path()).status();
        tokio::pin!(ended);
        let ended = loop {
            tokio::select! {
                // One that came before the editor ended was meant for the editor.
                biased;
                name = signals.next() => if name != INTERRUPT {
                    return Err(Failure::failed(format_args!("ended by {name}; nothing was written")));
                },
                ended = &mut ended => break ended,
            }
        };
        let ended = ended.map_err(|error| Failure::failed(format_args!("{editor}: {error}")))?;
        if !ended.success() {
            return Err(Failure::failed(format_args!(
                "{editor} ended with {ended}; nothing was written"
            ))
            .hint("set VISUAL or EDITOR to the editor you like"));
        }
        // Editors replace files: it is read by its name, not by the handle.
        let read = fs::read(self.path());
        let mut edited = read
            .map_err(|error| Failure::failed(format_args!("{}: {error}", self.path().display())))?;
        if !old.ends_with(b"\n") && edited.ends_with(b"\n") {
            edited.pop();
        }
        Ok(edited)
    }

    /// Whether nobody's work is in it.
    pub(super) fn is(&self, old: &[u8]) -> bool {
        fs::read(self.path()).is_ok_and(|text| text == old)
    }

    pub(super) fn discard(self) {
        if let Err(error) = fs::remove_file(self.path()) {
            output::note(format_args!("{} stays: {error}", self.path().display()));
        }
    }
}
