//! Markers: how a linearizable read knows that it reads everything acknowledged before it.

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::refusal::Refusal;

type Waiter = oneshot::Sender<Result<(), Refusal>>;

/// A marker on its way.
#[derive(Debug, Clone, Copy)]
struct Flight {
    nonce: u128,
    handover: u64,
    since: Instant,
}

/// Reads that wait, and the one marker in flight. A read is served by anything of ours that was handed to the
/// log after it arrived and has been read back.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    waiting: Vec<(u64, Instant, Waiter)>,
    flight: Option<Flight>,
    next_at: Option<Instant>,
}

impl Markers {
    /// A read arrives when `handover` handovers have been made.
    pub(crate) fn wait(&mut self, handover: u64, deadline: Instant, waiter: Waiter) {
        self.waiting.push((handover, deadline, waiter));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the next marker may be sent; none when none is needed or one is in flight.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let needed = !self.waiting.is_empty() && self.flight.is_none();
        needed.then(|| self.next_at.unwrap_or(now))
    }

    pub(crate) fn sent(
        &mut self,
        nonce: u128,
        handover: u64,
        now: Instant,
        pause: std::time::Duration,
    ) {
        self.flight = Some(Flight { nonce, handover, since: now });
        self.next_at = Some(now + pause);
    }

    /// The marker may not be in the log: another is needed.
    pub(crate) fn lost(&mut self, nonce: u128) {
        self.flight.take_if(|flight| flight.nonce == nonce);
    }

    /// A marker was read.
    pub(crate) fn saw(&mut self, nonce: u128) {
        if let Some(flight) = self.flight.take_if(|flight| flight.nonce == nonce) {
            self.serve(flight.handover);
        }
    }

    /// Something of ours that went with `handover` was read back: whoever arrived before it may read.
    pub(crate) fn serve(&mut self, handover: u64) {
        for (_, _, waiter) in self.waiting.extract_if(.., |(after, _, _)| *after < handover) {
            let _ = waiter.send(Ok(()));
        }
    }

    /// The earliest deadline of a read.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|(_, deadline, _)| *deadline).min()
    }

    /// Answers the reads whose time is up.
    pub(crate) fn expire(&mut self, now: Instant, why: &Refusal) {
        for (_, _, waiter) in self.waiting.extract_if(.., |(_, deadline, _)| *deadline <= now) {
            let _ = waiter.send(Err(why.clone()));
        }
        let stale = std::time::Duration::from_secs(5);
        self.flight.take_if(|flight| flight.since + stale <= now);
    }

    /// Answers every read.
    pub(crate) fn fail(&mut self, why: &Refusal) {
        for (_, _, waiter) in self.waiting.drain(..) {
            let _ = waiter.send(Err(why.clone()));
        }
    }
}
