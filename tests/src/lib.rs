//! The harness of the tests of the whole: a real Kafka broker, real `headwater` processes, raw access to topics.
//!
//! ```no_run
//! # async fn example() {
//! use headwater_tests::{broker, process::Headwater, topic};
//!
//! let kafka = broker::shared();
//! let topic = topic::fresh_name("orders");
//! topic::create(kafka, &topic, 1, &[]).await;
//! let data = tempfile::tempdir().unwrap();
//! let mut server = Headwater::serve(data.path(), &["--kafka", kafka]);
//! server.kill9();
//! server.restart();
//! # }
//! ```
//!
//! Nothing outlives the test that started it, not even after a panic or `kill -9`: see [`guarded`].

pub mod broker;
pub mod guarded;
pub mod http;
pub mod load;
pub mod probe;
pub mod process;
pub mod stand;
pub mod topic;
