//! The log on disk, from outside.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod claims;
mod crash;
mod damage;
mod read_only;
mod support;
