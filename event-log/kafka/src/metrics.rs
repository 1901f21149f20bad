//! The metrics of the Kafka log, in base units.

use std::time::Duration;

/// How long an append took, from its handover until the brokers acknowledged it (histogram, seconds).
pub const APPEND_SECONDS: &str = "headwater_kafka_append_seconds";
/// Errors, by what was being done: `append`, `read`, `table` or `client` (counter).
pub const ERRORS_TOTAL: &str = "headwater_kafka_errors_total";

/// Tells the recorder what the metrics mean. Called once, when a recorder is there.
pub fn describe() {
    metrics::describe_histogram!(
        APPEND_SECONDS,
        metrics::Unit::Seconds,
        "From the handover of a record to Kafka until the brokers acknowledged it"
    );
    metrics::describe_counter!(
        ERRORS_TOTAL,
        "Errors of Kafka's clients, by operation: append (a record's fate is open or it was refused), read, table, client"
    );
}

/// One record was acknowledged.
pub(crate) fn appended(took: Duration) {
    metrics::histogram!(APPEND_SECONDS).record(took.as_secs_f64());
}

/// Something went wrong.
pub(crate) fn error(operation: &'static str) {
    metrics::counter!(ERRORS_TOTAL, "operation" => operation).increment(1);
}
