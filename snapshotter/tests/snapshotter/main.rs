//! Rows, history and images over a log in memory and directories that are thrown away.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../relay/tests/relay/chain.rs"]
#[allow(dead_code)]
mod chain;
mod crashes;
mod history;
mod images;
mod rows;
mod share;
mod world;
