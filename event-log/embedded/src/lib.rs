//! The log of a stream on this machine's disk: RocksDB with group commit.
//!
//! ```text
//! append ──▶ queue ──▶ committer: one synced batch per group ──▶ ring + end ──▶ readers
//!  (bounded in records     (a thread of its own,                   (the latest     (at the tail: from the
//!   and bytes)              as a sync blocks)                       records)        ring, else from disk)
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), headwater_log_embedded::OpenError> {
//! use headwater_log::Log;
//! use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings};
//!
//! let log = EmbeddedLog::open(EmbeddedSettings::new("./data/log"))?;
//! let writer = log.writer();
//! # drop(writer);
//! log.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! An append is in the log when the disk has it. A crash loses nothing that was acknowledged; a write that the
//! crash tore is cut off. Damage anywhere else is a refusal to open that names the revision: nothing is ever
//! repaired, skipped or rolled back behind anybody's back. A [`ReadOnlyLog`] changes nothing in the directory and
//! reads a damaged log up to its damage.

mod checksum;
mod committer;
mod core;
mod damage;
mod evidence;
mod log;
mod metrics;
mod open;
mod queue;
mod read_only;
mod reader;
mod ring;
mod salvage;
mod scan;
mod settings;
mod shared;
mod stored;
mod table;
mod wal;

pub use damage::Damage;
pub use log::EmbeddedLog;
pub use open::OpenError;
pub use read_only::ReadOnlyLog;
pub use settings::EmbeddedSettings;
