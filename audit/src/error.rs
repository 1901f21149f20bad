//! Why an audit cannot be done, or has nothing sound to work with.

use std::io;
use std::path::{Path, PathBuf};

use headwater_log::ReadError;
use headwater_schemas::Hash;

use crate::Break;

/// Why an audit ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log cannot be read: try again later, or mend it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The history breaks before the point that was asked for: see what a verification says.
    #[error("the history breaks at {0}")]
    Broken(Break),
    /// The log does not reach the revision that was asked for.
    #[error("revision {wanted} is not there: the log ends at revision {last}")]
    Beyond {
        /// What was asked for.
        wanted: u64,
        /// Where the log ends.
        last: u64,
    },
    /// The log has another record at a revision than the head that was named.
    #[error("revision {revision} has the hash {found} here, not {wanted}: this is another history")]
    OtherChain {
        /// The revision.
        revision: u64,
        /// What it has here.
        found: Hash,
        /// What was named.
        wanted: Hash,
    },
    /// A file or folder cannot be read or written.
    #[error("{doing} {}: {error}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// An archive is not whole.
    #[error("the archive {}: {detail}", path.display())]
    Archive {
        /// The archive, or the file of it.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The output cannot be written.
    #[error("the output: {0}")]
    Output(String),
    /// A thread of the audit ended early: a defect.
    #[error("the audit stopped by itself: {0}")]
    Stopped(&'static str),
}

impl AuditError {
    /// Whether trying again later can help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_retryable())
    }

    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { doing, path: path.to_owned(), error }
    }

    pub(crate) fn archive(path: &Path, detail: impl std::fmt::Display) -> Self {
        Self::Archive { path: path.to_owned(), detail: detail.to_string() }
    }
}
