//! What the SDK promises to a service, against a log in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

mod changes;
mod commits;
mod derived;
mod files;
mod groups;
mod handles;
mod hooks;
mod images;
mod layers;
mod lifecycle;
#[cfg(feature = "log-filter")]
mod log_filter;
mod model;
#[cfg(any(feature = "figment", feature = "config"))]
mod settings;
mod shared;
mod startup;
mod stream;
mod subscriptions;
mod survival;
mod testing;
mod views;
