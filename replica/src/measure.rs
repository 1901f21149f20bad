//! The replica's metrics.

use ::metrics::{counter, gauge, histogram};

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; revisions stay far below 2^53")]
pub(crate) fn revision(revision: u64) {
    gauge!("headwater_replica_revision").set(revision as f64);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; revisions stay far below 2^53")]
pub(crate) fn lag(revisions: u64) {
    gauge!("headwater_replica_lag_revisions").set(revisions as f64);
}

pub(crate) fn ignored() {
    counter!("headwater_replica_ignored_records_total").increment(1);
}

pub(crate) fn alarm(raised: bool) {
    gauge!("headwater_replica_alarm").set(if raised { 1.0 } else { 0.0 });
}

pub(crate) fn fold_seconds(seconds: f64) {
    histogram!("headwater_replica_fold_seconds").record(seconds);
}
