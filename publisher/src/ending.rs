//! How requests end: answered, too late, or refused at the end of the writer itself.

use headwater_api::DryRunBody;
use tokio::time::Instant;

use crate::job::Job;
use crate::metrics;
use crate::refusal::Refusal;
use crate::speculative::Speculative;
use crate::task::WriterTask;
use crate::writer::Written;

impl WriterTask {
    /// Answers a request and lets go of its key.
    pub(crate) fn finish(&mut self, mut job: Job, result: Result<Written, Refusal>) {
        if let Some(key) = job.key() {
            self.keys_in_use.remove(key);
        }
        job.answer(result);
    }

    pub(crate) fn finish_dry(&mut self, job: Job, result: Result<DryRunBody, Refusal>) {
        self.finish(job, result.map(|body| Written::DryRun(Box::new(body))));
    }

    pub(crate) fn begin_drain(&mut self) {
        if self.drain_by.is_none() {
            self.drain_by = Some(Instant::now() + self.settings().drain());
            self.shared.set_closed("the server is shutting down".into());
            self.inbox.close();
        }
    }

    pub(crate) fn is_finished(&self, now: Instant) -> bool {
        let Some(by) = self.drain_by else { return false };
        let owed = self
            .line
            .iter()
            .flat_map(Speculative::iter)
            .any(|pending| pending.job.waiter.is_some());
        let idle =
            !owed && self.waiting.is_empty() && self.parked.is_empty() && self.markers.is_empty();
        by <= now || (idle && self.inbox.is_empty())
    }

    /// Answers everything that is still open.
    pub(crate) fn close(&mut self) {
        self.shared.set_closed("the server is shutting down".into());
        self.inbox.close();
        self.drain_by.get_or_insert_with(Instant::now);
        self.drain_inbox();
        let pending = self.line.as_mut().map(Speculative::drain).unwrap_or_default();
        for pending in pending {
            self.finish(pending.job, Err(Refusal::OutcomeUnknown));
        }
        self.refuse_all(&Refusal::ShuttingDown);
        self.markers.fail(&Refusal::ShuttingDown);
    }

    /// Answers every request of which nothing is in the log.
    pub(crate) fn refuse_all(&mut self, refusal: &Refusal) {
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let parked = std::mem::take(&mut self.parked).into_iter().map(|parked| parked.job);
        for job in waiting.chain(parked).collect::<Vec<_>>() {
            self.finish(job, Err(refusal.clone()));
        }
    }

    /// Answers what has waited too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let patience = self.settings().outcome_timeout();
        let mut unknown = false;
        for pending in self.line.iter_mut().flat_map(Speculative::iter_mut) {
            if pending.handed_at + patience > now {
                break;
            }
            unknown |= pending.job.waiter.is_some();
            pending.job.answer(Err(Refusal::OutcomeUnknown));
        }
        if unknown {
            tracing::error!(
                "the fate of a write cannot be told in time; writing stops until a barrier is read back"
            );
            self.resolver.trip(now);
            metrics::breaker(true);
        }
        let late = |job: &Job| job.arrived + patience <= now;
        while let Some(first) = self.waiting.first_entry().filter(|first| late(first.get())) {
            let why = "earlier writes are not settled yet";
            let job = first.remove();
            self.finish(job, Err(Refusal::LogUnavailable(why.into())));
        }
        for parked in self.parked.extract_if(.., |parked| late(&parked.job)).collect::<Vec<_>>() {
            let why = "the log's end cannot be read";
            self.finish(parked.job, Err(Refusal::LogUnavailable(why.into())));
        }
        self.markers
            .expire(now, &Refusal::LogUnavailable("its marker did not come back in time".into()));
    }

    /// When something is due without anything happening.
    pub(crate) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let patience = self.settings().outcome_timeout();
        let pending = self.line.iter().flat_map(Speculative::iter);
        let open =
            pending.filter(|pending| pending.job.waiter.is_some()).map(|it| it.handed_at).next();
        let waiting = self.waiting.first_key_value().map(|(_, job)| job.arrived);
        let parked = self.parked.iter().map(|parked| parked.job.arrived).min();
        let held = self.hold_until.max(self.turn.until());
        // One that is past has ended: what still waits then waits for something else.
        let held = held.filter(|until| *until > now && !self.waiting.is_empty());
        let ask = self.ender.retry_at.filter(|_| !self.parked.is_empty());
        let late = [open, waiting, parked].into_iter().flatten().map(|at| at + patience);
        let due = [
            held,
            ask,
            self.resolver.due(),
            self.markers.due(now),
            self.markers.deadline(),
            self.drain_by,
            self.clocks_due(now),
        ];
        late.chain(due.into_iter().flatten()).min()
    }
}
