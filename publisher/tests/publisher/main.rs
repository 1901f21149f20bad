//! What the write side claims, over a log in memory, seeded faults and a real replica.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod ambiguous;
mod chain;
mod conflict;
mod dry_run;
mod founding;
mod harness;
mod http;
mod idempotency;
mod linearize;
mod metered;
mod past;
mod preconditions;
mod rollback;
mod storm;
mod table;
