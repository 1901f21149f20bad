//! What is sent to the log: groups of commits, questions for its end, barriers, markers.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use headwater_api::{Problem, trace};
use headwater_replica::View;
use headwater_schemas::{Codec, Commit, Hash, SCHEMAS_NAMESPACE};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Span, debug_span};

use crate::draft::draft;
use crate::job::Job;
use crate::judge::Standpoint;
use crate::metrics;
use crate::recall::{Recall, recall};
use crate::receipt::Receipt;
use crate::refusal::Refusal;
use crate::speculative::{Pending, Speculative};
use crate::task::{Done, Parked, WriterTask};

/// The most bytes one append hands over, beside its last commit.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// From the handover to the read-back, in the trace of the request; none where it has none.
fn append_span(commit: &Commit) -> Span {
    let Some(traceparent) = commit.attributes.get(trace::ATTRIBUTE) else { return Span::none() };
    let (traceparent, revision) = (traceparent.as_str(), commit.revision);
    debug_span!(target: trace::TARGET, "append", traceparent, revision)
}

impl WriterTask {
    /// Does all that can be done now.
    pub(crate) fn launch(&mut self, now: Instant) {
        let closed = self.closed(now);
        self.tell_ready(closed.as_ref());
        self.recall_keys();
        self.settle(now);
        self.compare_clocks(now);
        if let Some(refusal) = closed {
            self.refuse_all(&refusal);
        } else {
            self.append_group(now);
            self.judge_parked();
            // Whoever has its turn again has it now: nothing else may happen for a while.
            self.append_group(now);
        }
        self.ask_end(now);
        self.send_marker(now);
        let pending = self.line.as_ref().map_or(0, Speculative::len);
        metrics::depth(self.waiting.len(), pending, self.parked.len());
    }

    fn tell_ready(&self, closed: Option<&Refusal>) {
        match closed {
            _ if self.drain_by.is_some() => {}
            Some(closed) => self.shared.set_closed(Problem::from(closed.clone()).detail),
            None if !self.index_ready => {
                self.shared
                    .set_closed("the writer is still reading back its idempotency keys".into());
            }
            None => self.shared.set_ready(),
        }
    }

    /// Evaluates what waits, in order, each on the one before it, and hands all of it over as one group.
    fn append_group(&mut self, now: Instant) {
        let held = self.hold_until.is_some_and(|until| until > now) || self.turn.is_others(now);
        if self.resolver.is_active() || held {
            return;
        }
        self.hold_until = None;
        let (mut records, mut hashes, mut bytes) = (Vec::new(), Vec::new(), 0);
        let room = |task: &Self| {
            task.line.as_ref().is_some_and(|line| line.len() < task.settings().max_pipeline)
        };
        while bytes < GROUP_BYTES && room(self) {
            let Some((_, job)) = self.waiting.pop_first() else { break };
            if let Some((hash, record)) = self.next_commit(job, now) {
                bytes += record.len();
                hashes.push(hash);
                records.push(record);
            }
        }
        if records.is_empty() {
            return;
        }
        metrics::group(records.len());
        self.handovers += 1;
        let append = self.sink.append(records);
        self.work.push(
            append.map(move |outcomes| Done::Appended { hashes, began: now, outcomes }).boxed(),
        );
    }

    /// The record of a request's commit behind the tip; none when it is answered or parked instead.
    fn next_commit(&mut self, mut job: Job, now: Instant) -> Option<(Hash, Bytes)> {
        if let Some(known) = self.remembered(&job) {
            self.finish(job, known);
            return None;
        }
        let tip = self.line.as_ref()?.tip().clone();
        if job.write.dry_run {
            self.park(job, tip.revision());
            return None;
        }
        match self.evaluate(&mut job, &tip, Standpoint::Tip) {
            Err(refusal) if refusal.depends_on_state() => self.park(job, tip.revision()),
            Err(refusal) => self.finish(job, Err(refusal)),
            // That nothing differs is a statement about the state, too.
            Ok(()) if job.write.is_nothing() => self.park(job, tip.revision()),
            Ok(()) => return self.commit(job, &tip, now),
        }
        None
    }

    fn commit(&mut self, job: Job, tip: &View, now: Instant) -> Option<(Hash, Bytes)> {
        let draft = draft(&job.write, job.commit_id, tip, (self.clock)());
        if let Some(refusal) = self.too_large(&draft) {
            match job.write.rollback {
                // How large it is depends on the state.
                Some(_) => self.park(job, tip.revision()),
                None => self.finish(job, Err(refusal)),
            }
            return None;
        }
        let hash = draft.folded.head.hash;
        let receipt = Receipt::of(&draft.commit, hash, job.write.kind);
        self.ours.insert(hash);
        let handover = self.handovers + 1;
        let _span = append_span(&draft.commit);
        let folded = draft.folded;
        let pending = Pending { job, folded, receipt, handed_at: now, handover, _span };
        self.line.as_mut()?.push(pending);
        Some((hash, draft.record))
    }

    fn park(&mut self, job: Job, tip: u64) {
        let asked = job.before.as_ref().and_then(|before| before.as_ref().ok());
        let prefix = asked.map_or(tip, |before| tip.max(before.read_to()));
        self.parked.push(Parked { job, prefix });
    }

    /// Asks the log for its end, for refusals that must know it.
    fn ask_end(&mut self, now: Instant) {
        let needed =
            !self.shared.exclusive && self.parked.iter().any(|parked| parked.job.end.is_none());
        let early = self.ender.retry_at.is_some_and(|at| at > now);
        if !needed || self.ender.busy || early {
            return;
        }
        self.ender.busy = true;
        self.ender.retry_at = None;
        self.ender.asked += 1;
        let (asked, reader, log) = (self.ender.asked, self.ender.reader.take(), self.log.clone());
        let question = async move {
            let reader = match reader {
                Some(reader) => Ok(reader),
                None => log.reader().await,
            };
            match reader {
                Err(error) => Done::End { asked, reader: None, end: Err(error) },
                Ok(mut reader) => {
                    let end = reader.end().await;
                    Done::End { asked, reader: Some(reader), end }
                }
            }
        };
        self.work.push(question.boxed());
    }

    /// Begins to read the idempotency window back, once there is a head to walk back from.
    fn recall_keys(&mut self) {
        if self.index_ready || self.recalling || !self.caught_up {
            return;
        }
        let Some(view) = self.line.as_ref().map(|line| line.confirmed().clone()) else { return };
        let mut codec = Codec::default();
        for (filed, entry) in view.entries(SCHEMAS_NAMESPACE, "", None) {
            if let Err(error) = codec.learn(filed, entry.value) {
                tracing::warn!(%error, filed, "a schema of the log cannot be used");
            }
        }
        let window = i64::try_from(self.settings().idempotency_window_ms).unwrap_or(i64::MAX);
        let what = Recall {
            head: *view.head(),
            since_ms: (self.clock)().saturating_sub(window),
            codec,
            max_keys: self.settings().idempotency_keys,
        };
        self.recalling = true;
        let (epoch, log) = (self.epoch, Arc::clone(&self.log));
        let reading = AbortOnDropHandle::new(tokio::spawn(recall(log, what)));
        self.work.push(async move { Done::Recalled { epoch, keyed: reading.await.ok() } }.boxed());
    }
}
