//! Proof of a stream's history, over any log: Kafka's, the embedded one, a server's, an archive.
//!
//! ```no_run
//! # async fn example(log: &dyn headwater_log::Log) -> Result<(), headwater_audit::AuditError> {
//! use headwater_audit::{Published, verify};
//!
//! let report = verify(log.reader().await?, &Published::default(), |_| ()).await?;
//! for found in &report.breaks {
//!     println!("revision {}: {}", found.revision, found.detail);
//! }
//! # Ok(()) }
//! ```
//!
//! ```text
//! log ── records ──▶ Links: does it continue? ──▶ Walk: decode ──▶ fold, digests ──▶ Report
//!                        └─ what does not: lost a race, or a break (diagnose)
//! ```
//!
//! Everything here reads. A record that does not continue the chain is ignored by every reader of a log, and usually
//! only lost a race; it is a break where the log goes on with records that the chain never reaches.

pub mod archive;
mod breaks;
mod diagnose;
mod diff;
mod durable;
mod error;
mod export;
mod faults;
mod folding;
mod links;
mod listing;
mod pump;
mod receipt;
mod replay;
mod report;
mod stray;
mod tree;
mod verify;
mod visit;
mod walk;

pub use breaks::{Break, Kind};
pub use diff::{Difference, diff};
pub use error::AuditError;
pub use export::{OCF_SCHEMA, OcfExport};
pub use listing::{Listed, Listing, Order, list};
pub use receipt::{Proof, ReceiptError, check_receipt, write_receipt};
pub use replay::{At, Replayed, replay};
pub use report::{Confirmed, Ignored, IgnoredRecord, Place, Published, Report, Said};
pub use stray::StrayKind;
pub use tree::TreeError;
pub use verify::{Progress, verify};
pub use visit::{Accepted, visit};
