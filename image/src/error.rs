//! What can go wrong with an image, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why an image cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refused: look at the path, the free space and the rights.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not what was written: drop them and take another source.
    #[error("the image is damaged: {detail}; drop it and take another source")]
    Damaged {
        /// Where, and what is wrong there.
        detail: String,
    },
    /// It was written by a build with another format: update this program, or take another source.
    #[error(
        "the image has format {found}, this build reads format {known}: update it, or take another source"
    )]
    Format {
        /// The format of the file.
        found: u32,
        /// The format this build reads.
        known: u32,
    },
    /// The caller's entries are not strictly ascending by (namespace, key): a fault of the program.
    #[error("entries must ascend by (namespace, key): {namespace}/{key} does not")]
    Unsorted {
        /// The namespace of the first entry out of order.
        namespace: String,
        /// Its key.
        key: String,
    },
    /// An entry, or what all entries have in common, is larger than an image can hold.
    #[error("{what} has {actual} bytes, an image holds at most {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        actual: u64,
        /// The most an image can hold, in bytes.
        limit: u64,
    },
    /// The entries are not those that the totals count: the source of one of them is wrong. Announce nothing.
    #[error("the entries do not add up to the totals: {detail}")]
    Totals {
        /// Which number differs.
        detail: String,
    },
    /// Bytes were fed from another place than the one that is needed next: ask [`crate::Assembler::needs`].
    #[error("bytes were given from offset {given}, the next ones needed begin at {needed}")]
    Gap {
        /// Where the given bytes begin.
        given: u64,
        /// Where the needed ones begin.
        needed: u64,
    },
    /// The source of the entries failed.
    #[error("cannot read the entries of the image: {0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

impl ImageError {
    /// A failure of the source of entries.
    pub fn source(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Source(error.into())
    }

    /// Whether the bytes themselves are wrong, so that another source may serve better.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Format { .. } | Self::Totals { .. })
    }

    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged { detail: detail.into() }
    }

    pub(crate) fn totals(detail: impl Into<String>) -> Self {
        Self::Totals { detail: detail.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// The same error, naming the file it was found in.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Damaged { detail } => {
                Self::Damaged { detail: format!("{}: {detail}", path.display()) }
            }
            other => other,
        }
    }
}
