//! The metrics of the log on disk, in base units.

use std::time::Duration;

/// How long an append took, from its handover until the disk had it.
const APPEND_SECONDS: &str = "headwater_embedded_log_append_seconds";
/// How many records one synced batch held.
const GROUP_RECORDS: &str = "headwater_embedded_log_group_records";
/// Bytes of records appended since the start.
const BYTES: &str = "headwater_embedded_log_bytes";
/// 1 when the log takes no more writes: it is damaged, or the disk failed.
const FAILED: &str = "headwater_embedded_log_failed";

/// Bytes that RocksDB uses, by `kind`: tables on disk, memtables in memory.
const STORE_BYTES: &str = "headwater_embedded_log_store_bytes";

/// How large the store is.
pub(crate) fn store_bytes(kind: &'static str, bytes: u64) {
    metrics::gauge!(STORE_BYTES, "kind" => kind).set(bytes as f64);
}

/// One append is on disk.
pub(crate) fn appended(took: Duration) {
    metrics::histogram!(APPEND_SECONDS).record(took.as_secs_f64());
}

/// One group is on disk.
pub(crate) fn committed(records: usize, bytes: usize) {
    metrics::histogram!(GROUP_RECORDS).record(records as f64);
    metrics::counter!(BYTES).increment(bytes as u64);
}

/// The log takes no more writes.
pub(crate) fn failed() {
    metrics::gauge!(FAILED).set(1.0);
}
