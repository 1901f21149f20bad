//! The handle on the one writer: cheap to clone, bounded, and honest when it is full.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_api::{DryRunBody, Problem, ReceiptBody};
use headwater_log::Log;
use headwater_replica::{History, Replica, Seen};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::before::{self, Before};
use crate::past::{self, Past};
use crate::receipt::Receipt;
use crate::refusal::Refusal;
use crate::request::Write;
use crate::settings::Settings;
use crate::task::WriterTask;

/// Milliseconds since the Unix epoch, by this machine's clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the writer works with.
pub struct Parts {
    /// The log it appends to.
    pub log: Arc<dyn Log>,
    /// The replica that reads back what was appended; it must hold every namespace.
    pub replica: Replica,
    /// What that replica sees: the other end of its observer.
    pub seen: mpsc::Receiver<Seen>,
    /// Whoever keeps every version, for `base_revision` on keys that were deleted.
    pub history: Option<Arc<dyn History>>,
    /// This machine's clock.
    pub clock: Clock,
    /// Limits and times.
    pub settings: Settings,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("log", &self.log).field("settings", &self.settings).finish()
    }
}

/// This process may not write to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may not write to the log: give it a log with a writer, or run without a publisher"
)]
pub struct ReadOnly;

/// What became of a write.
#[derive(Debug, Clone)]
pub enum Written {
    /// It is a commit, read back.
    Committed {
        /// What the client is told.
        receipt: Arc<Receipt>,
        /// Whether an earlier request under the same key made it.
        replayed: bool,
    },
    /// There was nothing to change, at this head.
    Unchanged(Box<ReceiptBody>),
    /// It was only evaluated.
    DryRun(Box<DryRunBody>),
}

/// What the task is sent.
#[derive(Debug)]
pub(crate) enum Message {
    Write(Box<Arrival>),
    Linearize(oneshot::Sender<Result<(), Refusal>>),
}

/// A write at the door.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) write: Write,
    pub(crate) past: Option<Past>,
    pub(crate) before: Option<Result<Before, Refusal>>,
    pub(crate) waiter: oneshot::Sender<Result<Written, Refusal>>,
    pub(crate) permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

#[derive(Debug)]
pub(crate) struct Shared {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    replica: Replica,
    history: Option<Arc<dyn History>>,
    pub(crate) settings: Settings,
    /// The log is this process's own: nobody else appends, so nothing need be asked of it.
    pub(crate) exclusive: bool,
    ready: AtomicBool,
    /// Why it is not.
    closed: Mutex<String>,
}

/// A handle on the one writer of this process.
#[derive(Debug, Clone)]
pub struct Writer {
    inbox: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

impl Shared {
    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_closed(&self, why: String) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = why;
        self.ready.store(false, Ordering::Relaxed);
    }

    /// Asks what the state no longer says, before the writer's task has the write. What cannot be had is told only when
    /// it is needed: a retry of a request that made a commit needs nothing.
    async fn look_back(&self, write: &Write) -> (Option<Result<Before, Refusal>>, Option<Past>) {
        let (replica, history) = (&self.replica, self.history.as_deref());
        let before = match &write.rollback {
            Some(rollback) => Some(before::ask(rollback, replica, history, &self.settings).await),
            None => None,
        };
        let past = match history {
            Some(history) => {
                let asked = past::ask(write, before.as_ref(), replica, history);
                timeout(self.settings.outcome_timeout(), asked).await.ok().flatten()
            }
            None => None,
        };
        (before, past)
    }

    fn permits(
        &self,
        cost_bytes: usize,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Refusal> {
        let request = self.requests.clone().try_acquire_owned();
        let request = request.map_err(|_| Refusal::Overloaded("too many writes are under way"))?;
        let cost = u32::try_from(cost_bytes).unwrap_or(u32::MAX);
        let bytes = self.bytes.clone().try_acquire_many_owned(cost);
        let bytes = bytes
            .map_err(|_| Refusal::Overloaded("the writes under way are too large together"))?;
        Ok((request, bytes))
    }
}

impl Writer {
    /// A writer and the task that is it. Starts no task: spawn [`WriterTask::run`], and stop it before the
    /// replica, which reads back what is under way.
    ///
    /// # Errors
    /// [`ReadOnly`] when the log has no writer.
    pub fn new(parts: Parts) -> Result<(Self, WriterTask), ReadOnly> {
        let sink = parts.log.writer().ok_or(ReadOnly)?;
        let settings = parts.settings.clone();
        let (inbox, receiver) = mpsc::channel(settings.max_requests.max(1) * 2);
        let shared = Arc::new(Shared {
            requests: Arc::new(Semaphore::new(settings.max_requests)),
            bytes: Arc::new(Semaphore::new(settings.max_request_bytes.min(Semaphore::MAX_PERMITS))),
            replica: parts.replica.clone(),
            history: parts.history.clone(),
            exclusive: parts.log.identity().kind == "embedded",
            settings,
            ready: AtomicBool::new(false),
            closed: Mutex::new("the writer has not begun yet".to_owned()),
        });
        let task = WriterTask::new(parts, sink, receiver, shared.clone());
        Ok((Self { inbox, shared }, task))
    }

    /// The limits that admission checks.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The replica that reads back what is written.
    pub fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    /// Whether writes are taken now.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Relaxed)
    }

    /// Why writes are not taken now; none when they are.
    pub fn not_ready(&self) -> Option<String> {
        let closed = &self.shared.closed;
        (!self.is_ready()).then(|| closed.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Writes, and waits until this process has read the commit back.
    ///
    /// # Cancel safety
    /// A write that is no longer waited for goes on.
    ///
    /// # Errors
    /// [`Refusal`]: no commit was made, but for [`Refusal::OutcomeUnknown`].
    pub async fn write(&self, write: Write) -> Result<Written, Refusal> {
        let permits = self.shared.permits(write.cost_bytes(&self.shared.settings))?;
        let (before, past) = self.shared.look_back(&write).await;
        let (waiter, answer) = oneshot::channel();
        let arrival = Box::new(Arrival { write, past, before, waiter, permits });
        self.send(Message::Write(arrival))?;
        // The task answers every request it took; one that vanished left the write's fate open.
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Waits until the replica reflects every write that any process acknowledged before this call.
    ///
    /// # Errors
    /// `log_unavailable`, `not_ready`, `shutting_down` or `overloaded`: nothing was read.
    pub async fn linearize(&self) -> Result<(), Problem> {
        if self.shared.exclusive {
            // Nobody else writes to this log, and a write is acknowledged after this replica has read it.
            return Ok(());
        }
        let (waiter, answer) = oneshot::channel();
        self.send(Message::Linearize(waiter))?;
        Ok(answer.await.unwrap_or(Err(Refusal::ShuttingDown))?)
    }

    fn send(&self, message: Message) -> Result<(), Refusal> {
        self.inbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded("the writer's queue is full"),
            mpsc::error::TrySendError::Closed(_) => Refusal::ShuttingDown,
        })
    }
}
