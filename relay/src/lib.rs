//! Current values, images and live commits of one stream over HTTP: "Read" and "Follow" of the API.
//!
//! ```text
//!                        ┌─ http/config, list, namespaces   (one immutable view each)
//!  replica ── view ──────┤
//!          └─ tail ──────┼─ http/commits, history, diff, and what was ── history, beyond the tail
//!                        ├─ stream (a cursor into the tail per client: no queue, no task)
//!                        └─ watch  (the same as JSON: server-sent events and long polls)
//!  image shelf ──────────── http/images
//! ```
//! Nothing here writes, and nothing here waits for a log: reads go on from the last good state whatever is down.

mod cursors;
mod http;
pub mod metrics;
mod openapi;
mod past;
mod reading;
mod relay;
mod settings;
mod stream;
mod watch;

pub use openapi::document;
pub use relay::{Linearize, OtherAlarm, Relay, RequestImage, routes};
pub use settings::Settings;
