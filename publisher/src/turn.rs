//! Fairness among writers: whoever sees that another one lost leaves it a turn.
//!
//! The other one has to read what it lost to, evaluate anew and append, which takes about as long as a commit of our own
//! takes until it is read back. A pause shorter than that would be over before the other one's commit is in the log, and
//! a busy writer would win every time. So the pause grows with that time; and it ends when the other one has had its turn.

use std::time::Duration;

use tokio::time::Instant;

/// A turn is left for so many times the way to the log and back.
const WAYS: u32 = 2;
/// The longest pause: the other writer may be gone.
const LONGEST: Duration = Duration::from_millis(100);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    others_until: Option<Instant>,
    /// How long commits of our own took lately until they were read back.
    way: Duration,
}

impl Turn {
    /// A commit of our own was read back after so long.
    pub(crate) fn read_back(&mut self, took: Duration) {
        self.way = if self.way.is_zero() { took } else { (self.way * 7 + took) / 8 };
    }

    /// Another writer lost: nothing new is sent for a while, and for `least` in any case.
    pub(crate) fn leave(&mut self, now: Instant, least: Duration) {
        let pause = (self.way * WAYS).clamp(least, LONGEST.max(least));
        self.others_until = self.others_until.max(Some(now + pause));
    }

    /// A commit was accepted that ends the wait.
    pub(crate) fn end(&mut self) {
        self.others_until = None;
    }

    /// Whether it is the others' turn.
    pub(crate) fn is_others(&self, now: Instant) -> bool {
        self.others_until.is_some_and(|until| until > now)
    }

    /// When it is ours again.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.others_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(2);

    #[test]
    fn a_turn_is_left_for_as_long_as_the_other_needs_and_no_longer() {
        let (mut turn, now) = (Turn::default(), Instant::now());
        turn.leave(now, LEAST);
        assert_eq!(turn.until(), Some(now + LEAST), "nothing is known yet");
        turn.read_back(Duration::from_millis(10));
        turn.leave(now, LEAST);
        assert_eq!(turn.until(), Some(now + Duration::from_millis(20)));
        turn.end();
        assert!(!turn.is_others(now));
        (0..100).for_each(|_| turn.read_back(Duration::from_secs(5)));
        turn.leave(now, LEAST);
        assert_eq!(turn.until(), Some(now + LONGEST), "the other one may be gone");
        assert!(turn.is_others(now) && !turn.is_others(now + LONGEST));
    }
}
