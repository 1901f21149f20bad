//! Rows of every version in RocksDB, history over them, and images that prove themselves.
//!
//! ```text
//!  replica's tail ─┐                       ┌─▶ history
//!                  ├─▶ follow ─▶ rows ─────┤
//!  log (catch-up) ─┘   one batch: rows,    └─▶ cut ─▶ prove ─▶ announce ─▶ image shelf
//!                      totals and place                        └─▶ share: where all readers get it
//! ```
//! It never writes to the log. A chain that does not continue stops it at its last good state, with an alarm; its rows
//! are given up only where an operator led the stream to another chain, whose log has everything.

mod cut;
mod follow;
mod materialise;
pub mod metrics;
mod prove;
mod settings;
mod share;
mod shelf;
mod snapshotter;
mod status;
mod steps;
mod store;

pub use settings::Settings;
pub use snapshotter::{Loop, OpenError, Snapshotter};
pub use status::Status;
pub use steps::{Step, Steps};
pub use store::StoreError;
