//! The read side on a real socket: each row of the API, as a claim.
#![allow(clippy::unwrap_used, clippy::panic)]

mod chain;
mod commits;
mod eras;
mod images;
mod lists;
mod others;
mod past;
mod polls;
mod readers;
mod records;
mod resumes;
mod streams;
mod values;
mod watch;
mod wire;
mod world;
