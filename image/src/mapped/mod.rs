//! The mapped form: what a reader keeps, and reads from without a parse.
//!
//! ```text
//!  header (256 bytes) │ records, sorted │ every 16th record's place │ hash index │ tables ║ trailer
//! ```
//!
//! The header says where each part begins ([`layout`]). An index slot is 8 bytes: the upper 24 bits of the key's hash
//! and the record's place in units of 8 bytes ([`index`]). The tables hold the namespaces with their totals (those
//! with entries first), content types, actors and the subscription ([`tables`]). The trailer, which only the file
//! has, holds the BLAKE3 of all before it and of header and tables alone ([`trailer`]). The same state gives the
//! same bytes, whichever way it came.

mod build;
mod file;
#[cfg(test)]
mod forged;
mod index;
mod iterate;
mod layout;
mod lookup;
mod tables;
mod trailer;

pub use build::MappedBuilder;
pub(crate) use file::check_parts;
pub use file::{Keep, Trust, mapped_name};
pub use iterate::{Entries, Prefix};
pub use lookup::Mapped;
