//! The SDK a service embeds: typed configuration that is always there, changes without a restart, and costs
//! nanoseconds to read.
//!
//! ```no_run
//! # #[derive(serde::Deserialize)] struct PoolConfig { max_connections: u32 }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let hw = headwater::Client::builder()
//!     .relay("http://127.0.0.1:7070")
//!     .namespaces(["global", "payments.prod"])
//!     .cache_dir("/var/lib/payments/headwater")
//!     .connect()
//!     .await?;
//! let pool: headwater::Handle<PoolConfig> = hw.handle("db/pool")?;
//! let limit = hw.bind("db/limit").default(100).validate(|n: &u32| *n > 0).build();
//! println!("{} of {}", pool.load().max_connections, *limit.load());
//! # Ok(()) }
//! ```
//!
//! Beside single keys there are values made of many, at one revision: [`Client::derive`] builds anything of all keys under a
//! prefix, [`Client::group`] a struct whose fields they are, and [`Binding::merge`] merges the layers of one key. All of them
//! are a [`Handle`]: it is read by [`Handle::load`] or a [`Reader`], waited for by a [`Subscription`] or the stream
//! [`Changes`], and acted upon by a [`Hook`]. A value that cannot be used is reported by [`Client::status`], and the last good
//! one stays.
//!
//! What a reader calls is synchronous and never waits for the network: one thread of the client's own follows the
//! stream, decodes and validates each changed value once, and swaps it into every handle.
//!
//! ```text
//!  relay or Kafka ──▶ replica (accept, fold, digest) ──▶ view swap ──▶ dispatcher ──▶ handle swap ──▶ subscriptions
//!                         │                                  │                            │
//!                         └── last known good on disk        └── get, view()              └── load(), Reader
//! ```
//!
//! # Features
//!
//! None is on by default: relays over HTTP and TLS, images, folders and the cache are always there. A build from
//! nothing takes about two minutes of one core.
//!
//! | Feature | Gives | Costs |
//! |---|---|---|
//! | `kafka` | a stream followed on Kafka itself rather than through a relay | librdkafka, built from C |
//! | `s3` | images from a bucket that speaks S3 | `object_store`, and HTTP/2 with it |
//! | `log-filter` | a service's own log filter, bound to a key | `tracing-subscriber` |
//! | `figment`, `config` | many keys as one settings struct, by the crate of that name | that crate |

mod bind;
mod builder;
mod changes;
mod client;
mod commits;
mod core;
mod decode;
mod derive;
mod dispatch;
mod engine;
mod error;
mod files;
mod group;
mod handle;
mod hook;
#[cfg(feature = "kafka")]
mod kafka;
mod key;
mod local;
#[cfg(feature = "log-filter")]
pub mod log_filter;
mod measure;
mod merge;
mod overlay;
mod provenance;
mod recipe;
mod registry;
#[cfg(any(feature = "figment", feature = "config"))]
mod settings;
mod slot;
mod sources;
mod status;
mod step;
pub mod testing;
mod trace;
mod value;
mod view;

pub use bind::{BindKey, Binding, ByFunction, BySerde, Verdict};
pub use builder::{Builder, STARTUP_TIMEOUT};
pub use changes::{Changes, ValueChange};
pub use client::Client;
pub use commits::{Commits, Event};
pub use error::{Closed, ConnectError, HandleError, NamespaceError, ValueError};
pub use files::RefusedFile;
pub use handle::{Guard, Handle, Reader, Subscription};
#[cfg(feature = "s3")]
pub use headwater_image_store::S3Settings;
pub use headwater_replica::{Alarm, AlarmKind, Applied, Phase, Replica, Source};
pub use headwater_schemas::{
    Change, Commit, Digest, Effect, Entry, EntryRef, Hash, Head, Key, NameError, Namespace,
    StreamId,
};
pub use hook::{HOOK_TIME_LIMIT, Hook, HookOutcome, HookStatus};
pub use provenance::Provenance;
#[cfg(any(feature = "figment", feature = "config"))]
pub use settings::Settings;
pub use status::{HandleStatus, Status};
pub use value::Value;
pub use view::View;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/sdk.md")]
struct Guide;
