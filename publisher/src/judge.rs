//! Whether a write may be committed: at the tip, where it is appended, and at the state that was read back, of which
//! refusals and dry runs tell.

use std::sync::Arc;

use headwater_api::{DryRunBody, ProposedChange, ReceiptBody};
use headwater_replica::{Applied, TailRead, View};

use crate::before::Before;
use crate::draft::{Draft, draft};
use crate::evaluate::{Absent, evaluate};
use crate::job::Job;
use crate::preview::preview;
use crate::refusal::Refusal;
use crate::rollback::Rollback;
use crate::speculative::Speculative;
use crate::task::{Parked, WriterTask};
use crate::writer::Written;

/// Where a write is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standpoint {
    /// Behind everything of ours that is pending.
    Tip,
    /// At the state that was read back.
    Confirmed,
}

impl WriterTask {
    /// Whether a write may follow `view`. What a rollback changes is settled first.
    pub(crate) fn evaluate(
        &self,
        job: &mut Job,
        view: &View,
        at: Standpoint,
    ) -> Result<(), Refusal> {
        self.settle_changes(job, view, at)?;
        evaluate(&job.write, view, &self.absent(job, at))
    }

    fn settle_changes(&self, job: &mut Job, view: &View, at: Standpoint) -> Result<(), Refusal> {
        if let (Some(rollback), Some(before)) = (&job.write.rollback, &job.before) {
            let changes = self.changes(rollback, before.as_ref(), view, at)?;
            job.write.proposal.changes = changes;
        }
        Ok(())
    }

    fn changes(
        &self,
        rollback: &Rollback,
        before: Result<&Before, &Refusal>,
        view: &View,
        at: Standpoint,
    ) -> Result<Vec<ProposedChange>, Refusal> {
        let (asked, head) = (rollback.to_revision, view.revision());
        if asked > head {
            return Err(Refusal::RevisionInFuture { asked, head });
        }
        let before = before.map_err(Clone::clone)?;
        let applied = self.applied_since(before)?;
        let pending =
            self.line.iter().filter(|_| at == Standpoint::Tip).flat_map(Speculative::iter);
        let pending = pending.map(|pending| &pending.folded);
        let pending = pending.filter(|folded| folded.head.revision > before.upto());
        let since = applied.iter().map(|applied| applied.effects.as_slice());
        let since = since.chain(pending.map(|folded| folded.effects.as_slice()));
        rollback.changes(before, since, view, self.settings().max_changes)
    }

    /// What was read back since the past was asked for.
    fn applied_since(&self, before: &Before) -> Result<Vec<Arc<Applied>>, Refusal> {
        let missed = || {
            let why = "too much was written since the past was asked for, or history is behind";
            Refusal::NotReady(why.into())
        };
        let confirmed = self.line.as_ref().map(Speculative::confirmed).ok_or_else(missed)?;
        let (tail, head) = (self.replica.tail(), confirmed.head());
        if tail.hash_at(head.revision) != Some(head.hash)
            || !before.is_on_chain(tail.hash_at(before.upto()))
        {
            return Err(missed());
        }
        let TailRead::Items(mut items) = tail.after(before.upto(), usize::MAX) else {
            return Err(missed());
        };
        items.retain(|item| item.head.revision <= head.revision);
        Ok(items)
    }

    /// What is known of absent keys.
    fn absent<'a>(&'a self, job: &'a Job, at: Standpoint) -> Absent<'a> {
        let line = self.line.as_ref().filter(|_| at == Standpoint::Tip);
        let ahead = Box::new(move |namespace: &_, key: &_| {
            line.and_then(|line| line.deleted_ahead(namespace, key))
        });
        Absent { deletions: &self.deletions, past: job.past.as_ref(), ahead }
    }

    /// Answers refusals and dry runs whose state, and the log's end as of after their arrival, were read back.
    pub(crate) fn judge_parked(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let Some(confirmed) = self.line.as_ref().map(|line| line.confirmed().clone()) else {
            return;
        };
        let (read_to, exclusive) = (self.read_to, self.shared.exclusive);
        let ready = |parked: &mut Parked| {
            let end_read = exclusive || parked.job.end.is_some_and(|end| end <= read_to);
            end_read && parked.prefix <= confirmed.revision()
        };
        for Parked { job, .. } in self.parked.extract_if(.., ready).collect::<Vec<_>>() {
            self.judge(job, &confirmed);
        }
    }

    fn judge(&mut self, mut job: Job, confirmed: &View) {
        if job.write.dry_run {
            let shown = self.preview(&mut job, confirmed);
            return self.finish_dry(job, shown);
        }
        match self.evaluate(&mut job, confirmed, Standpoint::Confirmed) {
            Ok(()) if job.write.is_nothing() => {
                let body = Box::new(ReceiptBody::unchanged(confirmed.head()));
                self.finish(job, Ok(Written::Unchanged(body)));
            }
            Ok(()) => self.give_turn(job, confirmed),
            Err(refusal) => self.finish(job, Err(refusal)),
        }
    }

    /// What stood in its way is gone: it has its turn again, unless it is a rollback whose size was in its way and is.
    fn give_turn(&mut self, job: Job, confirmed: &View) {
        let measured = job.write.rollback.as_ref().and_then(|_| {
            self.too_large(&draft(&job.write, job.commit_id, confirmed, (self.clock)()))
        });
        match measured {
            Some(refusal) => self.finish(job, Err(refusal)),
            None => drop(self.waiting.insert(job.seq, job)),
        }
    }

    pub(crate) fn too_large(&self, draft: &Draft) -> Option<Refusal> {
        let (limit, actual) = (self.settings().max_record_bytes, draft.record.len());
        (actual > limit).then_some(Refusal::CommitTooLarge { limit, actual })
    }

    fn preview(&self, job: &mut Job, confirmed: &View) -> Result<DryRunBody, Refusal> {
        let at = Standpoint::Confirmed;
        self.settle_changes(job, confirmed, at)?;
        let most = self.settings().max_record_bytes;
        preview(&job.write, confirmed, &self.absent(job, at), (self.clock)(), most)
    }
}
