//! The server's edge: limits, strict extraction, preconditions, problems, health and drain.
//!
//! ```text
//! accept ─▶ connection (time limits) ─▶ edge (size, concurrency, stream guard, panics)
//!        ─▶ Router of publisher, relay … (strict extractors) ─▶ answer, stamped with revision and stream
//! ```

mod admitted;
mod body;
mod condition;
mod connection;
mod edge;
mod error;
mod extract;
mod health;
mod identity;
mod metrics;
mod provenance;
mod query;
mod serve;
mod settings;
mod trace;

pub use admitted::Admitted;
pub use body::{BodyLimits, read_body};
pub use condition::{Precondition, is_match, is_not_modified};
pub use error::{ApiError, ApiResult, not_acceptable_unless};
pub use extract::{KeyPath, NamespacePath, accepts, read_json};
pub use health::health;
pub use identity::{Identity, stamp};
pub use metrics::describe;
pub use provenance::{IdempotencyKey, Provenance};
pub use query::{NoQuery, PageLimit, Query, Wait};
pub use serve::{BindError, Drained, Server, bind};
pub use settings::ServerSettings;
pub use trace::Continue;
