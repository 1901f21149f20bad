//! What the SDK promises to a service, against a log in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

mod commits;
mod handles;
mod lifecycle;
mod model;
mod startup;
mod stream;
mod subscriptions;
mod views;
