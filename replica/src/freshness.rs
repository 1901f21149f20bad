//! For how long the state may have been behind.

/// How long a state counts as the newest without being confirmed, in milliseconds: logs and relays do so every 5 s. A
/// source that hangs says nothing at all.
const CONFIRMED_FOR_MS: i64 = 15_000;

/// When the state was last known to be the newest there is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Freshness {
    /// Whether nothing has spoken against it since.
    is_fresh: bool,
    /// When it last was, milliseconds since the Unix epoch.
    last_ms: Option<i64>,
}

impl Freshness {
    /// Notes whether everything that the source has is applied.
    pub(crate) fn note(&mut self, is_fresh: bool, now_ms: i64) {
        if is_fresh {
            self.last_ms = Some(now_ms);
        }
        self.is_fresh = is_fresh;
    }

    /// For how long the state may have been behind, in milliseconds: 0 while it is the newest; else since it last was,
    /// or since its head was committed, whichever is later.
    pub(crate) fn lag_ms(&self, head_at_ms: Option<i64>, now_ms: i64) -> i64 {
        let confirmed = |last_ms| now_ms.saturating_sub(last_ms) <= CONFIRMED_FOR_MS;
        if self.is_fresh && self.last_ms.is_some_and(confirmed) {
            return 0;
        }
        let since = self.last_ms.into_iter().chain(head_at_ms).max();
        since.map_or(0, |since| now_ms.saturating_sub(since).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_state_is_not_behind_however_old_its_head_is() {
        let mut fresh = Freshness::default();
        fresh.note(true, 1_000_000);
        assert_eq!(fresh.lag_ms(Some(10), 1_000_000 + CONFIRMED_FOR_MS), 0);
    }

    #[test]
    fn a_state_is_behind_since_it_last_was_the_newest_or_its_head_was_committed() {
        let mut fresh = Freshness::default();
        assert_eq!(fresh.lag_ms(None, 5_000), 0, "no state is behind nothing");
        assert_eq!(fresh.lag_ms(Some(1_000), 5_000), 4_000, "a start from the cache");
        fresh.note(true, 6_000);
        fresh.note(false, 7_000);
        assert_eq!(fresh.lag_ms(Some(1_000), 9_000), 3_000, "the source went away");
        fresh.note(false, 9_500);
        assert_eq!(fresh.lag_ms(Some(1_000), 10_000), 4_000, "and stayed away");
        assert_eq!(fresh.lag_ms(Some(9_900), 10_000), 100, "a log that always has more");
        assert_eq!(fresh.lag_ms(Some(11_000), 10_000), 0, "a writer's clock that is ahead");
    }

    #[test]
    fn a_source_that_hangs_leaves_the_state_behind() {
        let mut fresh = Freshness::default();
        fresh.note(true, 1_000);
        let later = 1_001 + CONFIRMED_FOR_MS;
        assert_eq!(fresh.lag_ms(Some(10), later), later - 1_000);
        fresh.note(true, later);
        assert_eq!(fresh.lag_ms(Some(10), later), 0);
    }
}
