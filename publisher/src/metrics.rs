//! What the publisher measures. Base units, no keys as labels.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// What became of a commit that was appended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    /// It was read back as a part of the chain.
    Accepted,
    /// It was read back and does not count.
    Ignored,
    /// Another writer was first; it is tried again or given up.
    Conflicting,
}

pub(crate) fn commits(outcome: Outcome, count: u64) {
    let outcome = match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Ignored => "ignored",
        Outcome::Conflicting => "conflicting",
    };
    counter!("headwater_publisher_commits_total", "outcome" => outcome).increment(count);
}

/// From handover to the log's word.
pub(crate) fn append(took: Duration) {
    histogram!("headwater_publisher_append_seconds").record(took);
}

/// From handover to the replica's reading it back.
pub(crate) fn read_back(took: Duration) {
    histogram!("headwater_publisher_read_back_seconds").record(took);
}

/// How many commits one append carried.
#[expect(clippy::cast_precision_loss, reason = "a count of at most a few thousand")]
pub(crate) fn group(commits: usize) {
    histogram!("headwater_publisher_group_commits").record(commits as f64);
}

/// How much is under way.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) fn depth(waiting: usize, pending: usize, parked: usize) {
    gauge!("headwater_publisher_queue_depth").set((waiting + parked) as f64);
    gauge!("headwater_publisher_pending_commits").set(pending as f64);
}

/// The head that was read back.
#[expect(clippy::cast_precision_loss, reason = "revisions stay far below 2^53")]
pub(crate) fn head(revision: u64) {
    gauge!("headwater_publisher_head_revision").set(revision as f64);
}

/// How long ago, by this clock, the log took the commit that was read back last.
#[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^53")]
pub(crate) fn lag(milliseconds: i64) {
    gauge!("headwater_publisher_lag_seconds").set(milliseconds.max(0) as f64 / 1_000.0);
}

pub(crate) fn refused(code: &'static str) {
    counter!("headwater_publisher_refusals_total", "code" => code).increment(1);
}

pub(crate) fn barriers(count: usize) {
    counter!("headwater_publisher_barriers_total").increment(count as u64);
}

pub(crate) fn breaker(open: bool) {
    gauge!("headwater_publisher_breaker_open").set(if open { 1.0 } else { 0.0 });
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) fn remembered_keys(count: usize) {
    gauge!("headwater_publisher_idempotency_keys").set(count as f64);
}

/// Whether it is this process's turn to write the table.
pub(crate) fn projector_holds(held: bool) {
    gauge!("headwater_projector_lease").set(if held { 1.0 } else { 0.0 });
}

/// Where the table is, and how many revisions behind the replica.
#[expect(clippy::cast_precision_loss, reason = "revisions stay far below 2^53")]
pub(crate) fn projector(revision: u64, lag: u64) {
    gauge!("headwater_projector_revision").set(revision as f64);
    gauge!("headwater_projector_lag_revisions").set(lag as f64);
}

/// One batch of the table was written.
pub(crate) fn projector_wrote(records: usize, took: Duration) {
    counter!("headwater_projector_records_total").increment(records as u64);
    histogram!("headwater_projector_batch_seconds").record(took);
}

pub(crate) fn projector_failed() {
    counter!("headwater_projector_errors_total").increment(1);
}

/// Whether the table stands still and a person should know.
pub(crate) fn projector_alarm(alarm: bool) {
    gauge!("headwater_projector_alarm").set(if alarm { 1.0 } else { 0.0 });
}
