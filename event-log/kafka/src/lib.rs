//! The log of a stream as a Kafka topic: one partition, kept for ever, checked at every start.
//!
//! ```no_run
//! use headwater_log::{Log, LogWriter};
//! use headwater_log_kafka::{KafkaLog, KafkaSettings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = KafkaSettings::new("127.0.0.1:9092", "default".parse()?);
//! let log = KafkaLog::open(settings).await?; // creates `default.commits` when it is absent, verifies it always
//! let mut reader = log.reader().await?;
//! if let Some(writer) = log.writer() {
//!     println!("{:?}", writer.append(vec!["a record".into()]).await);
//! }
//! # Ok(()) }
//! ```
//!
//! ```text
//!  LogWriter ─▶ producer (idempotent, acks=all) ─▶ <stream>.commits, partition 0 ─▶ consumer ─▶ LogReader
//!                   │ its own thread polls             │                               │ wakes the task that reads
//!                   └─ delivery report → Appended      └─ offset = Position            └─ one assignment per consumer
//! ```
//!
//! Beside it stands the table, a projection of the log: [`KafkaTable`].
//!
//! Clients of librdkafka can take seconds to close, so each is closed on a thread of its own, never on a worker
//! of the runtime.

mod asker;
mod checkup;
mod client;
mod consumer;
mod error;
mod late;
mod lease;
mod log;
pub mod metrics;
mod policy;
mod producer;
mod properties;
mod reader;
mod settings;
mod standing;
mod table;
mod table_reader;
mod table_writer;
mod token;
mod topic;
mod writer;

pub use checkup::{Scope, checkup};
pub use error::KafkaOpenError;
pub use late::LateKafkaLog;
pub use log::KafkaLog;
pub use policy::Fault;
pub use properties::Properties;
pub use settings::KafkaSettings;
pub use table::{KafkaTable, LEASE_TIMEOUT};
