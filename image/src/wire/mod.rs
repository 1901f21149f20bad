//! The wire form: what is stored, served and cached.
//!
//! ```text
//!  header │ block │ block │ … │ footer │ trailer (56 bytes)
//! ```
//!
//! The header ([`header`]) says whose state it is and holds the texts that records share, sorted. A block ([`block`])
//! is about 1 MiB of records, compressed by itself; it ends early where a namespace begins, so that a reader of a few
//! namespaces fetches little else. The footer ([`footer`]) lists the blocks with their hashes and the totals of
//! every namespace; the trailer says where the footer begins, and hashes header and footer.
//! The same state gives the same header and the same uncompressed blocks on every machine.

mod assemble;
mod block;
mod file;
mod footer;
#[cfg(test)]
mod forged;
mod header;
mod survey;
mod unpack;
mod verify;
mod write;

pub use assemble::Assembler;
pub use file::WireImage;
pub(crate) use survey::{Place, Run, Survey};
pub use write::Visitor;

use crate::record::MAX_RECORD_BYTES;

/// The most a header, or a footer with its trailer, may take.
pub(crate) const MAX_META_BYTES: u64 = 256 << 20;
/// The most a block may take uncompressed: one record larger than a block has one to itself.
pub(crate) const MAX_BLOCK_BYTES: usize = MAX_RECORD_BYTES + 8;
/// The most a block may take compressed: what cannot be compressed grows a little.
pub(crate) const MAX_BLOCK_WIRE_BYTES: u64 = MAX_BLOCK_BYTES as u64 + (64 << 10);
