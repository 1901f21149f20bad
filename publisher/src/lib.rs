//! The write side of a stream: admission, the one writer of a process, and the HTTP calls that change things.
//!
//! ```text
//!   HTTP ──▶ admit ──▶ Writer ──▶ draft ──▶ log ──▶ replica ──▶ read back ──▶ receipt
//! ```
//!
//! There is no leader: any number of processes may write to one log, and the log decides who was first.

mod admit;
mod app;
mod barrier;
mod before;
mod deletions;
mod done;
mod draft;
mod ending;
mod evaluate;
mod gate;
pub mod genesis;
mod http;
mod idempotency;
mod job;
mod judge;
mod launch;
mod marker;
pub mod mend;
mod metrics;
mod ours;
mod past;
mod preview;
mod probe;
mod recall;
mod receipt;
mod refusal;
mod request;
mod rollback;
mod seen;
mod settings;
mod skew;
mod speculative;
pub mod table;
mod task;
mod turn;
mod writer;

pub use app::routes;
pub use idempotency::request_digest;
pub use receipt::Receipt;
pub use refusal::Refusal;
pub use request::{Kind, Write};
pub use rollback::Rollback;
pub use settings::Settings;
pub use task::WriterTask;
pub use writer::{Clock, Parts, ReadOnly, Writer, Written};
