//! What the replica read, and what it means for what is under way.

use std::sync::Arc;

use headwater_replica::{Applied, Seen, View};
use headwater_schemas::{Hash, SCHEMAS_NAMESPACE, commit_fingerprint};
use tokio::time::Instant;

use crate::idempotency::Remembered;
use crate::metrics::{self, Outcome};
use crate::refusal::Refusal;
use crate::speculative::{Pending, ReadBack, Speculative};
use crate::task::WriterTask;
use crate::writer::Written;

impl WriterTask {
    pub(crate) fn saw(&mut self, seen: Seen, now: Instant) {
        match seen {
            Seen::Reset { view } => self.reset(view),
            Seen::Applied { applied, view } => self.applied(&applied, view, now),
            // Only a replica of some namespaces advances, and a writer's holds all.
            Seen::Advanced { .. } => {}
            Seen::Ignored { hash, revision, position } => {
                self.read_to = self.read_to.max(position.next());
                self.ignored(hash, revision.is_some(), now);
            }
            Seen::Marker { nonce } => self.markers.saw(nonce),
            Seen::AtEnd { next } => {
                self.read_to = self.read_to.max(next);
                self.caught_up = self.line.is_some();
            }
            Seen::Alarm(alarm) => {
                if let Some(alarm) = &alarm {
                    self.markers.fail(&Refusal::LogUnavailable(alarm.detail.clone()));
                }
                self.alarm = alarm;
            }
        }
    }

    fn applied(&mut self, applied: &Arc<Applied>, view: Arc<View>, now: Instant) {
        let hash = applied.head.hash;
        self.read_to = self.read_to.max(applied.position.next());
        self.deletions.record(&applied.effects, applied.head.revision);
        self.index.advance(applied.appended_at_ms);
        if let Some(keyed) = Remembered::of(&applied.commit, hash, applied.appended_at_ms) {
            self.index.insert(keyed);
            metrics::remembered_keys(self.index.len());
        }
        if !self.schema_known {
            self.schema_known = knows_our_schema(&view);
        }
        metrics::head(applied.head.revision);
        metrics::lag((self.clock)().saturating_sub(applied.appended_at_ms));
        let barrier = self.saw_barrier(hash);
        let Some(line) = &mut self.line else { return };
        match line.read_back(applied, view) {
            ReadBack::Own(pending) => self.accepted(*pending, applied.appended_at_ms, now),
            ReadBack::Foreign(dead) => {
                // Somebody has had the turn that was left to others.
                self.turn.end();
                self.died(dead, !barrier, now);
            }
        }
    }

    fn accepted(&mut self, pending: Pending, appended_at_ms: i64, now: Instant) {
        metrics::commits(Outcome::Accepted, 1);
        let took = now.saturating_duration_since(pending.handed_at);
        metrics::read_back(took);
        self.turn.read_back(took);
        self.skew.measure(pending.handed_at, appended_at_ms);
        self.markers.serve(pending.handover);
        let receipt = Arc::new(pending.receipt);
        self.finish(pending.job, Ok(Written::Committed { receipt, replayed: false }));
    }

    /// What was pending can never be accepted any more: all of it is evaluated again, in its old order.
    pub(crate) fn died(&mut self, dead: Vec<Pending>, lost_a_race: bool, now: Instant) {
        let Some(first) = dead.first() else { return };
        if lost_a_race {
            metrics::commits(Outcome::Conflicting, dead.len() as u64);
        }
        self.unpark_from(first.folded.head.revision);
        for (place, pending) in dead.into_iter().enumerate() {
            let mut job = pending.job;
            if place == 0 && lost_a_race {
                job.tries += 1;
                let jitter = self.settings().fairness().mul_f64(rand::random::<f64>());
                self.hold(now + jitter * job.tries);
            }
            if job.waiter.is_none() {
                // It was answered "unknown": it is settled now, and not tried behind its client's back.
                self.finish(job, Err(Refusal::OutcomeUnknown));
            } else if job.tries >= self.settings().max_tries {
                self.finish(job, Err(Refusal::Contended));
            } else {
                self.waiting.insert(job.seq, job);
            }
        }
    }

    /// Refusals that rest on a state with this revision or a later one, which will never be, are judged anew.
    pub(crate) fn unpark_from(&mut self, revision: u64) {
        for parked in self.parked.extract_if(.., |parked| parked.prefix >= revision) {
            self.waiting.insert(parked.job.seq, parked.job);
        }
    }

    pub(crate) fn hold(&mut self, until: Instant) {
        self.hold_until = Some(self.hold_until.map_or(until, |at| at.max(until)));
    }

    fn ignored(&mut self, hash: Hash, is_commit: bool, now: Instant) {
        if self.saw_barrier(hash) {
            return;
        }
        if self.ours.contains(hash) {
            metrics::commits(Outcome::Ignored, 1);
        } else if is_commit {
            // Another writer lost to us or to somebody else: it gets a turn.
            self.turn.leave(now, self.settings().fairness());
        }
    }

    fn saw_barrier(&mut self, hash: Hash) -> bool {
        let barrier = self.resolver.saw(hash);
        if barrier {
            metrics::breaker(self.resolver.is_open());
        }
        barrier
    }

    /// A state that did not come commit by commit hides what became of what was pending.
    fn reset(&mut self, view: Arc<View>) {
        self.schema_known = knows_our_schema(&view);
        let same = self.line.as_ref().is_some_and(|line| line.confirmed().head() == view.head());
        let lost = match &mut self.line {
            Some(line) => line.reset(view.clone()),
            None => {
                self.line = Some(Speculative::new(view.clone()));
                Vec::new()
            }
        };
        if same {
            return;
        }
        if let Some(first) = lost.first() {
            self.unpark_from(first.folded.head.revision);
        }
        for pending in lost {
            self.finish(pending.job, Err(Refusal::OutcomeUnknown));
        }
        self.caught_up = false;
        self.deletions =
            crate::deletions::Deletions::new(view.revision(), self.settings().remembered_deletions);
        self.index.clear();
        self.index_ready = false;
        self.recalling = false;
        self.epoch += 1;
    }
}

pub(crate) fn knows_our_schema(view: &View) -> bool {
    view.get(SCHEMAS_NAMESPACE, commit_fingerprint().key().as_str()).is_some()
}
