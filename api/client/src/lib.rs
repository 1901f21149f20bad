//! The HTTP client: one method per call of the API, retries where they are safe, streams.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use headwater_client::{Client, Write};
//!
//! let client = Client::builder().server("http://127.0.0.1:7070").build()?;
//! let written = client
//!     .put(&"payments.prod".parse()?, &"db/pool".parse()?, "application/json", "{\"max\":20}", &Write::default())
//!     .await?;
//! println!("revision {}", written.receipt.revision);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod builder;
mod client;
mod download;
mod error;
mod query;
mod read;
mod registry;
mod send;
mod stream;
mod tls;
mod watch;
mod watcher;
mod write;

pub use backoff::Backoff;
pub use builder::{ClientBuilder, transport};
pub use client::Client;
pub use download::Download;
pub use error::ClientError;
pub use query::{CommitsQuery, DiffQuery, ListQuery, Read};
pub use read::{Pages, Raw, Told};
pub use registry::SchemaRegistry;
pub use stream::FrameStream;
pub use watch::{WatchEvent, WatchQuery, WatchStream};
pub use watcher::{Watched, Watcher};
pub use write::{If, Write, Written};
