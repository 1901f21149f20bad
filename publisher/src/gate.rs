//! What is answered at the door: why nothing can be written, or read for certain, now.

use headwater_replica::Phase;
use tokio::time::Instant;

use crate::idempotency::Lookup;
use crate::job::Job;
use crate::refusal::Refusal;
use crate::task::WriterTask;
use crate::writer::Written;

impl WriterTask {
    /// What can be said before anything is evaluated.
    pub(crate) fn at_the_door(&self, job: &Job, now: Instant) -> Option<Result<Written, Refusal>> {
        if self.drain_by.is_some() {
            return Some(Err(Refusal::ShuttingDown));
        }
        if let Some(key) = job.key() {
            if self.keys_in_use.contains(key) {
                return Some(Err(Refusal::KeyInUse));
            }
            if let Some(known) = self.remembered(job) {
                return Some(known);
            }
            if !self.index_ready {
                let why =
                    "the Idempotency-Keys of the last day are still being read back from the log";
                // What keeps writing closed for longer is the better answer.
                let closed = self.closed(now);
                return Some(Err(closed.unwrap_or(Refusal::NotReady(why.into()))));
            }
            if self.index.is_full() {
                return Some(Err(Refusal::Overloaded(
                    "no more Idempotency-Keys can be remembered; write without one, or wait until some are a day old",
                )));
            }
        }
        self.closed(now).map(Err)
    }

    /// The answer to a request that has made a commit already.
    pub(crate) fn remembered(&self, job: &Job) -> Option<Result<Written, Refusal>> {
        let idempotency = job.write.idempotency.as_ref()?;
        match self.index.lookup(&idempotency.key, idempotency.request) {
            Lookup::Unknown => None,
            // Its query says so: it is another request than any that made a commit.
            _ if job.write.dry_run => Some(Err(Refusal::KeyReused)),
            Lookup::Same(receipt) => Some(Ok(Written::Committed { receipt, replayed: true })),
            Lookup::Other => Some(Err(Refusal::KeyReused)),
        }
    }

    /// Why nothing can be known to be up to date now.
    pub(crate) fn unreadable(&self) -> Option<Refusal> {
        if self.drain_by.is_some() {
            return Some(Refusal::ShuttingDown);
        }
        if let Some(alarm) = &self.alarm {
            return Some(Refusal::LogUnavailable(alarm.detail.clone()));
        }
        self.behind()
    }

    /// Why the log was not read to its end yet, if it was not.
    fn behind(&self) -> Option<Refusal> {
        if self.line.is_some() && self.caught_up {
            return None;
        }
        if self.replica.progress().borrow().phase == Phase::Stale {
            let why = self.replica.status().last_error;
            return Some(Refusal::LogUnavailable(
                why.unwrap_or_else(|| "it cannot be reached".into()),
            ));
        }
        Some(Refusal::NotReady("this server has not read the log to its end yet".into()))
    }

    /// Why nothing is appended now, if so.
    pub(crate) fn closed(&self, now: Instant) -> Option<Refusal> {
        if let Some(alarm) = self.alarm.as_ref() {
            return Some(Refusal::LogUnavailable(alarm.detail.clone()));
        }
        if let Some(alarm) = self.replica.alarm() {
            return Some(Refusal::LogUnavailable(alarm.detail.clone()));
        }
        if let Some(behind) = self.behind() {
            return Some(behind);
        }
        if self.resolver.is_open() {
            let why = "an earlier write's fate is open; writing goes on when the log answers again";
            return Some(Refusal::LogUnavailable(why.into()));
        }
        if !self.schema_known {
            return Some(Refusal::LogUnavailable(format!(
                "the stream does not carry this build's commit schema, {}: readers could not read what it wrote; \
                 write with the build that founded the stream, or one that carries the schema over",
                headwater_schemas::commit_fingerprint()
            )));
        }
        if self.shared.exclusive {
            // The log's clock is this one.
            return None;
        }
        if !self.skew.is_known() {
            return Some(match &self.not_compared {
                // A log that took no marker takes no commit, either.
                Some(why) => Refusal::LogUnavailable(why.clone()),
                None => Refusal::NotReady(
                    "this machine's clock is being compared with the log's".into(),
                ),
            });
        }
        self.is_ahead(now).then(|| {
            Refusal::LogUnavailable(format!(
                "this machine's clock is {} s ahead of the log's; set it right and writing goes on",
                self.skew.ahead_ms(now, (self.clock)()) / 1_000
            ))
        })
    }

    fn is_ahead(&self, now: Instant) -> bool {
        let most_ms = i64::try_from(self.settings().max_clock_ahead_ms).unwrap_or(i64::MAX);
        self.skew.ahead_ms(now, (self.clock)()) > most_ms
    }

    /// When the clocks must be compared; none when they need not be, or are.
    pub(crate) fn clocks_due(&self, now: Instant) -> Option<Instant> {
        let able =
            self.caught_up && !self.shared.exclusive && !self.comparing && self.alarm.is_none();
        let needed = able && (!self.skew.is_known() || self.is_ahead(now));
        needed.then(|| self.compare_at.unwrap_or(now))
    }
}
