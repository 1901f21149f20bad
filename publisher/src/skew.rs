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

    /// Whether the clocks were compared at all.
    pub(crate) fn is_known(&self) -> bool {
        self.measured.is_some()
    }

    /// How many milliseconds at least this clock, which says `now_ms`, is ahead of the log's.
    pub(crate) fn ahead_ms(&self, now: Instant, now_ms: i64) -> i64 {
        let Some((at, log_ms)) = self.measured else { return 0 };
        let elapsed = now.checked_duration_since(at).unwrap_or(Duration::ZERO);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_sub(log_ms.saturating_add(elapsed_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_log_is_no_clock_that_is_ahead() {
        let now = Instant::now();
        let mut skew = Skew::default();
        // Handed over at 1,000 by a clock that is right, stamped 9 s later.
        skew.measure(now, 10_000);
        assert!(skew.ahead_ms(now, 1_000) <= 0);
        assert!(skew.ahead_ms(now + Duration::from_secs(60), 61_000) <= 0);
    }

    #[test]
    fn a_clock_that_is_ahead_or_set_ahead_later_is_found_and_one_set_right_forgiven() {
        let now = Instant::now();
        let mut skew = Skew::default();
        assert_eq!(skew.ahead_ms(now, i64::MAX), 0, "nothing is known yet");
        skew.measure(now, 1_000);
        assert_eq!(skew.ahead_ms(now, 121_000), 120_000);
        let later = now + Duration::from_secs(10);
        assert_eq!(skew.ahead_ms(later, 11_000), 0);
        assert_eq!(skew.ahead_ms(later, 131_000), 120_000);
    }
}
