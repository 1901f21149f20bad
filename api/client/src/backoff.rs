//! Waits between tries: full jitter, from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Waits between nothing and an upper bound that doubles from `base` to `cap`: never ends, replays by its seed.
#[derive(Debug)]
pub struct Backoff {
    rng: StdRng,
    bound: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits whose first is at most `base` and whose every is at most `cap`.
    pub fn new(seed: u64, base: Duration, cap: Duration) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), bound: base.min(cap), cap }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.rng.random_range(Duration::ZERO..=self.bound);
        self.bound = self.bound.saturating_mul(2).min(self.cap);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_below_their_doubling_bound_and_replay(seed in any::<u64>()) {
            let (base, cap) = (Duration::from_millis(100), Duration::from_secs(1));
            let waits: Vec<_> = Backoff::new(seed, base, cap).take(8).collect();
            for (wait, bound_ms) in waits.iter().zip([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]) {
                prop_assert!(*wait <= Duration::from_millis(bound_ms));
            }
            prop_assert_eq!(&waits, &Backoff::new(seed, base, cap).take(8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn jitter_is_full() {
        let waits = || Backoff::new(7, Duration::from_secs(1), Duration::from_secs(1)).take(200);
        assert!(waits().any(|wait| wait < Duration::from_millis(200)));
        assert!(waits().any(|wait| wait > Duration::from_millis(800)));
        assert_eq!(Backoff::new(7, Duration::ZERO, Duration::ZERO).next(), Some(Duration::ZERO));
    }
}
