//! A request under way in the writer.

use headwater_schemas::{CommitId, Position};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::before::Before;
use crate::past::Past;
use crate::refusal::Refusal;
use crate::request::Write;
use crate::writer::Written;

/// One request, from its arrival to its answer. It keeps one commit id through all its tries.
#[derive(Debug)]
pub(crate) struct Job {
    /// The order of arrival.
    pub(crate) seq: u64,
    pub(crate) write: Write,
    pub(crate) past: Option<Past>,
    /// What stood at the revision that a rollback goes back to.
    pub(crate) before: Option<Result<Before, Refusal>>,
    pub(crate) commit_id: CommitId,
    /// How often it was the first of a pipeline that lost to another writer.
    pub(crate) tries: u32,
    pub(crate) arrived: Instant,
    /// How many questions for the log's end had begun when it arrived.
    pub(crate) ends_asked: u64,
    /// The log's end as it was given after the request arrived.
    pub(crate) end: Option<Position>,
    /// Who waits; none once answered.
    pub(crate) waiter: Option<oneshot::Sender<Result<Written, Refusal>>>,
    /// Its share of what may be under way.
    pub(crate) _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Job {
    /// Answers, once. Whoever asked may be gone.
    pub(crate) fn answer(&mut self, result: Result<Written, Refusal>) {
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.send(result);
        }
    }

    /// The idempotency key, if it carries one and will write.
    pub(crate) fn key(&self) -> Option<&str> {
        self.write.idempotency.as_ref().filter(|_| !self.write.dry_run).map(|it| it.key.as_str())
    }
}
