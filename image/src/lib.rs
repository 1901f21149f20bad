//! Snapshots of a stream's state: an *image* is all entries at one revision, in one of two forms.
//!
//! ```text
//!   state ── WireImage::write ──▶ <revision>-<hash>.hwi ── bytes, in any pieces ──▶ Assembler ─┐
//!                                 (stored, served, cached)                                     ▼
//!   view  ── MappedBuilder::push ───────────────────────────────────────────────────▶ Mapped (in memory)
//!                                                                                              │ persist
//!                                                       Mapped::open ◀── <revision>-<hash>.hwm ┘
//! ```
//!
//! The *wire form* travels: independent, compressed, hashed blocks of sorted records. The *mapped form* is read:
//! the decoded records and a hash index, used straight from memory or a mapped file without a parse.
//! Everything here is synchronous and does no network I/O.

mod buffer;
mod bytes;
mod error;
mod hash;
mod manifest;
mod map;
mod mapped;
mod publish;
mod record;
mod strings;
mod subscription;
mod wire;

pub use error::ImageError;
pub use hash::HASH_SEED;
pub use manifest::{Lineage, Manifest, ManifestBlock, WhyNot, parse_wire_name, wire_name};
pub use mapped::{Entries, Keep, Mapped, MappedBuilder, Prefix, Trust, mapped_name};
pub use publish::{copy_image, sweep};
pub use record::MAX_RECORD_BYTES;
pub use subscription::Subscription;
pub use wire::{Assembler, Visitor, WireImage};
