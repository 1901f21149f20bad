//! What the binary itself measures.

use metrics::{counter, gauge};

const LOG_FILTER_REFUSED: &str = "headwater_log_filter_refused";
const TRACE_SPANS: &str = "headwater_trace_spans_total";

/// Begins the counters at nothing, so that the first of what they count is an increase.
pub(crate) fn begin_spans() {
    spans(true, 0);
    spans(false, 0);
}

/// What became of spans that were handed to the collector.
pub(crate) fn spans(taken: bool, count: usize) {
    let outcome = if taken { "sent" } else { "failed" };
    counter!(TRACE_SPANS, "outcome" => outcome).increment(count as u64);
}

/// Whether the newest log filter is none.
pub(crate) fn log_filter_refused(refused: bool) {
    gauge!(LOG_FILTER_REFUSED).set(if refused { 1.0 } else { 0.0 });
}
