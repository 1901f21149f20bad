//! What a file can say about writing.

use std::time::Duration;

/// Limits and times of the writer. Sizes in bytes, times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The largest value. More costs every reader memory and makes slow subscribers slower.
    pub max_value_bytes: usize,
    /// The largest encoded commit. On Kafka it must stay below the topic's `max.message.bytes`.
    pub max_record_bytes: usize,
    /// The most changes one commit may hold.
    pub max_changes: usize,
    /// How many requests may be under way at once; the next one is answered 429.
    pub max_requests: usize,
    /// How many bytes requests under way may hold together; the next one is answered 429.
    pub max_request_bytes: usize,
    /// How many commits may be appended ahead of what was read back. Fewer costs throughput on a slow log; more makes
    /// a lost race dearer, because all that are ahead die together.
    pub max_pipeline: usize,
    /// How long a commit's fate may stay open before its request is answered 504; the log's own timeout and a second.
    pub outcome_timeout_ms: u64,
    /// How long a linearizable read waits for its marker.
    pub linearize_timeout_ms: u64,
    /// The least time between two markers.
    pub marker_interval_ms: u64,
    /// How often a request that loses to another writer is tried before it is answered 503 `contended`.
    pub max_tries: u32,
    /// How long nothing new is sent, at least, after another writer's ignored commit was read, so that it wins a turn
    /// too. It is longer where the way to the log and back is, and ends when the other one's commit was read.
    pub fairness_ms: u64,
    /// How far this machine's clock may be ahead of the log's before writing stops.
    pub max_clock_ahead_ms: u64,
    /// How long an `Idempotency-Key` is remembered, by the log's clock.
    pub idempotency_window_ms: u64,
    /// How many keys are remembered at most; a keyed write beyond them is answered 429.
    pub idempotency_keys: usize,
    /// How many bytes the remembered keys and their receipts may take.
    pub idempotency_bytes: usize,
    /// How many deleted keys are remembered for `base_revision`; older ones are asked of the history.
    pub remembered_deletions: usize,
    /// How long a shutdown waits for what is under way.
    pub drain_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_value_bytes: 256 * 1024,
            max_record_bytes: 512 * 1024,
            max_changes: 1_000,
            max_requests: 4_096,
            max_request_bytes: 64 * 1024 * 1024,
            max_pipeline: 1_024,
            outcome_timeout_ms: 11_000,
            linearize_timeout_ms: 5_000,
            marker_interval_ms: 10,
            max_tries: 8,
            fairness_ms: 2,
            max_clock_ahead_ms: 60_000,
            idempotency_window_ms: 24 * 60 * 60 * 1_000,
            idempotency_keys: 1_000_000,
            idempotency_bytes: 256 * 1024 * 1024,
            remembered_deletions: 100_000,
            drain_ms: 8_000,
        }
    }
}

impl Settings {
    pub(crate) fn outcome_timeout(&self) -> Duration {
        Duration::from_millis(self.outcome_timeout_ms)
    }

    pub(crate) fn linearize_timeout(&self) -> Duration {
        Duration::from_millis(self.linearize_timeout_ms)
    }

    pub(crate) fn marker_interval(&self) -> Duration {
        Duration::from_millis(self.marker_interval_ms)
    }

    pub(crate) fn fairness(&self) -> Duration {
        Duration::from_millis(self.fairness_ms)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
