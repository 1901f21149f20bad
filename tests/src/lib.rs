//! The harness of the tests of the whole: a real Kafka broker, real `headwater` processes, raw access to topics.
//!
//! One line gives a server on either log ([`stand::Stand`]); [`on_both_logs!`] makes a claim a test on each:
//!
//! ```no_run
//! use headwater_tests::{http::Ask, on_both_logs, stand::Stand};
//!
//! on_both_logs! {
//!     async fn what_is_put_is_got(log) {
//!         let stand = Stand::start(log);
//!         stand.ask(Ask::put("/v1/config/app/k", "1")).await.is(201);
//!         assert_eq!(stand.ask(Ask::get("/v1/config/app/k")).await.is(200).text(), "1");
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! By hand, where a test needs a broker, a topic or a process of its own:
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
pub mod cluster;
pub mod collector;
pub mod deployed;
pub mod example;
pub mod field;
pub mod guarded;
pub mod http;
pub mod load;
pub mod postgres;
pub mod probe;
pub mod process;
pub mod ran;
pub mod s3;
pub mod scrape;
pub mod secure;
pub mod stand;
pub mod storm;
pub mod topic;
pub mod web;
