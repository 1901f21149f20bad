//! The replica's metrics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::metrics::{counter, gauge, histogram};

use crate::AlarmKind;

/// Begins the counters at nothing, so that the first of what they count is an increase. Called once, when a recorder
/// is there.
pub fn describe() {
    for kind in AlarmKind::ALL {
        counter!(FAILURES, "kind" => kind.as_str()).increment(0);
    }
    counter!(FAILURES, "kind" => IMAGE).increment(0);
    alarm(false);
}

/// Histogram: seconds from a commit's time until it is in the view.
pub const END_TO_END: &str = "headwater_replica_end_to_end_seconds";
const FAILURES: &str = "headwater_replica_verification_failures_total";
const IMAGE: &str = "image";

/// What is applied, and the latest that is known of.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; revisions stay far below 2^53")]
pub(crate) fn standing(revision: u64, known: u64) {
    gauge!("headwater_replica_revision").set(revision as f64);
    gauge!("headwater_replica_head_revision").set(known.max(revision) as f64);
    gauge!("headwater_replica_lag_revisions").set(known.saturating_sub(revision) as f64);
}

/// For how long the state may have been behind.
#[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^53")]
pub(crate) fn lag_seconds(milliseconds: i64) {
    gauge!("headwater_replica_lag_seconds").set(milliseconds as f64 / 1_000.0);
}

/// From a commit's time, by its writer's clock, until it is in the view, by ours. Clocks that differ never make it less
/// than nothing.
pub(crate) fn end_to_end(at_ms: i64) {
    let at = Duration::from_millis(u64::try_from(at_ms).unwrap_or(0));
    let took = since_epoch().saturating_sub(at);
    histogram!(END_TO_END).record(took);
}

pub(crate) fn ignored() {
    counter!("headwater_replica_ignored_records_total").increment(1);
}

pub(crate) fn alarm(raised: bool) {
    gauge!("headwater_replica_alarm").set(if raised { 1.0 } else { 0.0 });
}

/// Something of the log or of a source did not stand up to a check.
pub(crate) fn unverified(kind: AlarmKind) {
    counter!(FAILURES, "kind" => kind.as_str()).increment(1);
}

/// An image was damaged, or is not what its manifest says.
pub(crate) fn unverified_image() {
    counter!(FAILURES, "kind" => IMAGE).increment(1);
}

pub(crate) fn fold_seconds(seconds: f64) {
    histogram!("headwater_replica_fold_seconds").record(seconds);
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Milliseconds since the Unix epoch, by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}
