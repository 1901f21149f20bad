//! Receipts: a file that proves, offline, that a commit is part of the history with a given head.
//!
//! ```text
//! magic │ format │ zstd: commit ─ link ─ link ─ … ─ head │ BLAKE3 of all before it
//! ```
//!
//! A link is what proves the header of one later commit: that it has this hash, and names the one before it as its
//! parent. So the commit's bytes lead, link by link, to the hash of the head.

mod check;
mod write;

use std::io;

use headwater_schemas::{Commit, Point};

use crate::tree::TreeError;

pub use check::check_receipt;
pub use write::write_receipt;

pub(crate) const MAGIC: &[u8; 8] = b"HWRECPT\0";
pub(crate) const FORMAT: u32 = 1;
pub(crate) const HEADER_BYTES: u64 = 12;
pub(crate) const HASH_BYTES: u64 = 32;
pub(crate) const ZSTD_LEVEL: i32 = 3;
/// The largest window of a receipt's frame, as a power of two: what reading one may cost in memory.
pub(crate) const WINDOW_LOG: u32 = 23;

pub(crate) const WHOLE: u8 = 0;
pub(crate) const FIRST: u8 = 1;
pub(crate) const HEAD: u8 = 2;

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The commit's record as stored.
    pub record: Vec<u8>,
    /// Where it stands in the history.
    pub point: Point,
    /// The head that the history leads to.
    pub head: Point,
    /// What the record says; none where this build does not know the schema it is written in.
    pub commit: Option<Commit>,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not a receipt, or of a format that this build does not know.
    #[error("it is no receipt of a format that this build knows")]
    Format,
    /// Its bytes are not those that were written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A link proves nothing.
    #[error("the link to revision {revision}: {error}")]
    Link {
        /// The revision it should lead to.
        revision: u64,
        /// Why.
        error: TreeError,
    },
    /// It leads to another head than the one that was published.
    #[error("it leads to revision {} with the hash {}, which is not the published head", .0.revision, .0.hash)]
    OtherHead(Point),
    /// A link leads elsewhere.
    #[error("the link to revision {0} does not continue the chain")]
    Torn(u64),
}
