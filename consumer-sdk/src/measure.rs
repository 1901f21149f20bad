//! The client's metrics, beside its replica's.

use std::time::Duration;

use ::metrics::{counter, histogram};

/// One call of a hook, and how it ended.
pub(crate) fn hook(outcome: &'static str, took: Duration) {
    counter!("headwater_sdk_hook_calls_total", "outcome" => outcome).increment(1);
    histogram!("headwater_sdk_hook_seconds").record(took.as_secs_f64());
}
