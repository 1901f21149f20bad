//! A verified copy of one stream in a process, and the one loop that keeps it.
//!
//! ```text
//!            ladder: cache → image → table → whole log
//!                         │
//!  log or relay ── read ── accept ── decode ── fold ── view swap ── tail ── wake readers
//!                                      │                               │
//!                                      └── compare digest              └── observer (the writer)
//! ```

mod ancestry;
mod bootstrap;
mod cache;
mod chain;
mod core;
mod delta;
mod follow;
mod freshness;
mod history;
pub mod history_conformance;
mod images;
mod layers;
mod measure;
mod rebase;
mod records;
mod remote;
mod replay;
mod replica;
mod status;
mod table;
mod tail;
mod trace;
mod view;

pub use bootstrap::last_good;
pub use chain::{Chain, Resumed, Step, Stop};
pub use follow::is_record_of;
pub use history::{
    Asked, CommitsPage, CommitsQuery, DiffPage, DiffQuery, EntriesPage, EntriesQuery, History,
    HistoryError, KeyDiff, Order, Put, Recent, RemoteHistory, Version, VersionsPage, VersionsQuery,
};
pub use measure::{END_TO_END, describe};
pub use records::RecordReader;
pub use replay::{ReplayError, Replayed, replay};
pub use replica::{Closed, Follow, Loop, Observer, Progress, Replica, Seen, Settings};
pub use status::{Alarm, AlarmKind, Phase, Source, Status};
pub use tail::{Applied, Tail, TailRead};
pub use view::View;

#[cfg(test)]
mod tests;
