//! The state as it will be when everything of ours that was appended has been read back.
//!
//! ```text
//!   confirmed ── p0 ── p1 ── p2 ── tip        each p is appended, on its predecessor's hash
//!       ▲ read back                ▲ the next write is evaluated here
//! ```
//!
//! If the log has another record on `confirmed` first, p0 is dead, and with it everything behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_replica::{Applied, View};
use headwater_schemas::{Digest, Folded, Hash, Head, Key, Namespace, Position};
use tokio::time::Instant;
use tracing::Span;

use crate::job::Job;
use crate::receipt::Receipt;

/// Own commits read back between two derivations of the tip from the confirmed state: so the tip follows the
/// replica onto newer base images instead of gathering changes over an old one for ever.
const DERIVE_EVERY: usize = 1_024;

/// A commit of ours that was handed to the log and has not been read back.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) job: Job,
    pub(crate) folded: Folded,
    pub(crate) receipt: Receipt,
    pub(crate) handed_at: Instant,
    /// Which handover it went with; see [`crate::marker::Markers`].
    pub(crate) handover: u64,
    /// From the handover to the end of its fate, in the trace of its request.
    pub(crate) _span: Span,
}

impl Pending {
    pub(crate) fn hash(&self) -> Hash {
        self.folded.head.hash
    }
}

/// A place where the log may hold our commit or something else: what a barrier settles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) parent: Head,
    pub(crate) digest: Digest,
}

/// What an accepted commit means to the pipeline.
#[derive(Debug)]
pub(crate) enum ReadBack {
    /// It is the oldest of ours.
    Own(Box<Pending>),
    /// It is somebody else's: all of ours are dead.
    Foreign(Vec<Pending>),
}

#[derive(Debug)]
pub(crate) struct Speculative {
    confirmed: Arc<View>,
    tip: Arc<View>,
    pending: VecDeque<Pending>,
    since_derived: usize,
}

impl Speculative {
    pub(crate) fn new(view: Arc<View>) -> Self {
        Self { confirmed: view.clone(), tip: view, pending: VecDeque::new(), since_derived: 0 }
    }

    /// The state that was read back.
    pub(crate) fn confirmed(&self) -> &Arc<View> {
        &self.confirmed
    }

    /// The state behind everything of ours.
    pub(crate) fn tip(&self) -> &Arc<View> {
        &self.tip
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.pending.iter_mut()
    }

    pub(crate) fn holds(&self, hash: Hash) -> bool {
        self.pending.iter().any(|pending| pending.hash() == hash)
    }

    /// Moves the tip over a commit that is about to be appended.
    pub(crate) fn push(&mut self, pending: Pending) {
        self.tip = Arc::new(self.tip.apply(&pending.folded, Position::default()));
        self.pending.push_back(pending);
    }

    /// Takes in an accepted commit.
    pub(crate) fn read_back(&mut self, applied: &Applied, view: Arc<View>) -> ReadBack {
        self.confirmed = view;
        if let Some(front) = self.pending.pop_front_if(|front| front.hash() == applied.head.hash) {
            self.since_derived += 1;
            if self.pending.is_empty() || self.since_derived >= DERIVE_EVERY {
                self.derive();
            }
            return ReadBack::Own(Box::new(front));
        }
        let dead = self.pending.drain(..).collect();
        self.derive();
        ReadBack::Foreign(dead)
    }

    /// Takes in a state that did not come commit by commit. Gives what was pending, whose fate it hides.
    pub(crate) fn reset(&mut self, view: Arc<View>) -> Vec<Pending> {
        let same = view.head() == self.confirmed.head();
        self.confirmed = view;
        let lost = if same { Vec::new() } else { self.pending.drain(..).collect() };
        self.derive();
        lost
    }

    /// Takes out a commit that is not in the log and never will be, and everything behind it, which therefore
    /// can never be accepted either.
    pub(crate) fn cut(&mut self, hash: Hash) -> Option<(Pending, Vec<Pending>)> {
        let at = self.pending.iter().position(|pending| pending.hash() == hash)?;
        let mut dead = self.pending.split_off(at);
        self.derive();
        Some((dead.pop_front()?, dead.into()))
    }

    /// Takes out everything.
    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        let all = self.pending.drain(..).collect();
        self.derive();
        all
    }

    /// Every open slot: on each pending commit's own parent.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let first =
            Slot { parent: *self.confirmed.head(), digest: self.confirmed.totals().digest() };
        let behind = self.pending.iter().map(|pending| Slot {
            parent: pending.folded.head,
            digest: pending.folded.totals.digest(),
        });
        let open = self.pending.len().max(1);
        std::iter::once(first).chain(behind).take(open).collect()
    }

    /// The last deletion of a key among what is pending.
    pub(crate) fn deleted_ahead(&self, namespace: &Namespace, key: &Key) -> Option<u64> {
        self.pending.iter().rev().find_map(|pending| {
            let mut effects = pending.folded.effects.iter();
            let gone = effects.any(|effect| {
                effect.after.is_none() && effect.namespace == *namespace && effect.key == *key
            });
            gone.then_some(pending.folded.head.revision)
        })
    }

    fn derive(&mut self) {
        self.since_derived = 0;
        self.tip = self.pending.iter().fold(self.confirmed.clone(), |view, pending| {
            Arc::new(view.apply(&pending.folded, Position::default()))
        });
    }
}
