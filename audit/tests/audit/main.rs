//! The audit over logs that somebody tampered with.
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

mod archives;
mod lists;
mod receipts;
mod support;
mod tampered;
mod words;
