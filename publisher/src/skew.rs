//! Whether this machine's clock is ahead of the log's.

use std::time::Duration;

use tokio::time::Instant;

/// One comparison of the two clocks, carried on by a clock that nobody sets.
///
/// A commit is appended after it was handed over. So the log's time of it is at or after the handover, and this
/// clock's time of the handover less that is a lower bound of how far this clock was ahead: no false alarm, however
/// slow the log was.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Skew {
    measured: Option<(Instant, i64)>,
}

impl Skew {
    /// A commit handed over at `handed_at` was stamped `appended_at_ms` by the log.
    pub(crate) fn measure(&mut self, handed_at: Instant, appended_at_ms: i64) {
        self.measured = Some((handed_at, appended_at_ms));
    }

    /// How many milliseconds at least this clock, which says `now_ms`, is ahead of the log's.
    pub(crate) fn ahead_ms(&self, now: Instant, now_ms: i64) -> i64 {
        let Some((at, log_ms)) = self.measured else { return 0 };
        let elapsed = now.checked_duration_since(at).unwrap_or(Duration::ZERO);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_sub(log_ms.saturating_add(elapsed_ms))
    }
}
