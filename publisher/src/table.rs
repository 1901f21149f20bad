//! The stream's table: the projector that keeps it, and what compares it with the state and mends it.
//!
//! ```text
//!   lease ─▶ writer (fences) ─▶ read the table ─▶ its checkpoint is ours ─▶ the tail's commits, a batch at a time ─▶ checkpoint
//!                                       │ else: what differs from the state ─────────────────────┘
//!                                       └ of another history: alarm, until somebody repairs it
//! ```
//!
//! A projection of the log: nothing is decided by it, and nothing that is written to the log waits for it.

mod batch;
mod compare;
mod inspect;
mod projector;
mod sweep;
mod takeover;

use futures::future::BoxFuture;
use headwater_schemas::Framing;

pub use compare::{Difference, Fault};
pub use inspect::{InspectError, Inspection, Inspector};
pub use projector::{Projector, TableParts};

/// Asks how values are framed: where a registry of schemas is used, it must give the schema an id first.
pub type Framings =
    std::sync::Arc<dyn Fn() -> BoxFuture<'static, Result<Framing, String>> + Send + Sync>;

/// What a file can say about the table. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableSettings {
    /// Whether the table is written, on Kafka.
    pub enabled: bool,
    /// How long commits gather before they are written together. Less costs the brokers a transaction each time; the
    /// table is at most about so far behind.
    pub gather_ms: u64,
    /// How long the process that writes may be silent before another takes over.
    pub lease_timeout_ms: u64,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self { enabled: true, gather_ms: 50, lease_timeout_ms: 6_000 }
    }
}
