//! How the fate of an ambiguous append is settled, and the breaker.
//!
//! ```text
//!  Idle ──ambiguous──▶ Renewing ──▶ Appending ──all in the log──▶ Landed ──read back──▶ Idle
//!                         ▲             │ not all                  │ not in time
//!                         └── Backoff ◀─┘                          │
//!                         └────────────────────────────────────────┘
//! ```
//!
//! One barrier a slot, each on that slot's own parent: whichever of commit and barrier the log has first is
//! accepted, so when a barrier was read back its slot is settled. Here is only what happened and what is next; the
//! writer's task does it.

use std::collections::HashSet;
use std::time::Duration;

use headwater_schemas::Hash;
use tokio::time::Instant;

const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long barriers that are in the log may take to be read back. A log that lost them again would never give them.
const LANDED_WAIT: Duration = Duration::from_secs(30);
/// Barriers remembered at most, beside those of the last attempt: a log that is away for a day sees many attempts. One
/// that is forgotten and comes back after all settles its slot as anybody's commit does.
const MAX_PROBES: usize = 8_192;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Renewing,
    Appending,
    Landed(Instant),
    Backoff(Instant),
}

#[derive(Debug)]
pub(crate) struct Resolver {
    stage: Stage,
    attempt: u32,
    /// Counts the attempts, so that the outcome of one that is over is told from the current one's.
    generation: u64,
    probes: HashSet<Hash>,
    /// The breaker: open from a write whose fate could not be told in time until a barrier was read back.
    open: bool,
}

impl Resolver {
    pub(crate) fn new() -> Self {
        Self { stage: Stage::Idle, attempt: 0, generation: 0, probes: HashSet::new(), open: false }
    }

    /// Whether new commits must wait: what they would follow is not settled.
    pub(crate) fn is_active(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// Whether the breaker is open: new writes are refused.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// An append ended ambiguously.
    pub(crate) fn doubt(&mut self, now: Instant) {
        if self.stage == Stage::Idle {
            self.stage = Stage::Backoff(now);
        }
    }

    /// A write's fate could not be told in time.
    pub(crate) fn trip(&mut self, now: Instant) {
        self.open = true;
        self.doubt(now);
    }

    /// When there is something to do; none when something else has to happen first.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Backoff(at) | Stage::Landed(at) => Some(at),
            _ => None,
        }
    }

    /// Begins an attempt if one is due: the writer is to take a fresh way to the log.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|at| at <= now);
        if due {
            self.stage = Stage::Renewing;
        }
        due
    }

    /// An attempt that is due must wait: nothing may be appended now.
    pub(crate) fn postpone(&mut self, now: Instant) {
        if self.due().is_some_and(|at| at <= now) {
            self.retry(now);
        }
    }

    /// The way is fresh and barriers with these hashes are being appended; gives the attempt's number.
    pub(crate) fn appending(&mut self, probes: impl IntoIterator<Item = Hash>) -> u64 {
        if self.probes.len() > MAX_PROBES {
            self.probes.clear();
        }
        self.probes.extend(probes);
        self.stage = Stage::Appending;
        self.generation += 1;
        self.generation
    }

    /// How an attempt's append ended.
    pub(crate) fn appended(&mut self, generation: u64, landed: bool, now: Instant) {
        if self.stage != Stage::Appending || generation != self.generation {
            return;
        }
        if landed {
            self.stage = Stage::Landed(now + LANDED_WAIT);
        } else {
            self.retry(now);
        }
    }

    /// Tries again later.
    pub(crate) fn retry(&mut self, now: Instant) {
        self.attempt += 1;
        let pause = BACKOFF.0.saturating_mul(1 << self.attempt.min(6)).min(BACKOFF.1);
        self.stage = Stage::Backoff(now + pause.mul_f64(0.5 + rand::random::<f64>() / 2.0));
    }

    /// Nothing is left to settle: the attempt that was begun is not needed.
    pub(crate) fn rest(&mut self) {
        self.stage = Stage::Idle;
        self.attempt = 0;
        self.probes.clear();
    }

    /// A record was read, accepted or not. Whether it was one of the barriers.
    pub(crate) fn saw(&mut self, hash: Hash) -> bool {
        let probe = self.probes.remove(&hash);
        if probe {
            // A barrier came back: the log takes records and gives them again.
            self.open = false;
        }
        probe
    }

    /// Nothing is pending any more: all is settled, unless the breaker waits for its barrier.
    pub(crate) fn settled(&mut self) {
        if !self.open && self.stage != Stage::Renewing {
            self.rest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(attempt: u64) -> impl Iterator<Item = Hash> {
        (0..1_024u64)
            .map(move |slot| Hash::of(&[attempt.to_le_bytes(), slot.to_le_bytes()].concat()))
    }

    #[test]
    fn a_log_that_is_away_for_long_does_not_fill_the_memory_with_barriers() {
        let mut resolver = Resolver::new();
        for attempt in 0..1_000 {
            let generation = resolver.appending(hashes(attempt));
            resolver.appended(generation, false, Instant::now());
        }
        assert!(resolver.probes.len() <= MAX_PROBES + 1_024);
        assert!(
            hashes(999).all(|probe| resolver.saw(probe)),
            "those of the last attempt are known"
        );
    }

    #[test]
    fn an_attempt_that_is_postponed_is_due_later_and_begins_then() {
        let (mut resolver, now) = (Resolver::new(), Instant::now());
        resolver.postpone(now);
        assert_eq!(resolver.due(), None, "there was nothing to postpone");
        resolver.trip(now);
        resolver.postpone(now);
        assert!(!resolver.begin(now), "nothing wakes at once, again and again");
        assert!(resolver.begin(now + BACKOFF.1));
    }

    #[test]
    fn barriers_that_landed_and_never_came_back_are_followed_by_others() {
        let (mut resolver, now) = (Resolver::new(), Instant::now());
        resolver.trip(now);
        assert!(resolver.begin(now));
        let generation = resolver.appending(hashes(0));
        resolver.appended(generation, true, now);
        assert!(!resolver.begin(now));
        assert!(resolver.begin(now + LANDED_WAIT));
    }
}
