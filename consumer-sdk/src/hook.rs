//! What a service does when a value changes, and how it went.
//!
//! ```text
//!  slot ──▶ changes ──▶ one task of the client's loop, which watches the clock ──▶ a thread for as long as the call takes
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::task::spawn_blocking;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::changes::{Changes, ValueChange};
use crate::core::Life;
use crate::measure;
use crate::slot::panic_text;

/// How long a hook may take, if nothing else was said. Less gives up on slow work such as new connections; more lets a
/// hook that hangs hold back the next value for longer.
pub const HOOK_TIME_LIMIT: Duration = Duration::from_secs(10);

/// How a call of a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HookOutcome {
    /// The service uses the value.
    Applied,
    /// The service does not.
    Rejected {
        /// What it said.
        reason: String,
    },
    /// It took longer than its time limit.
    TimedOut,
    /// It panicked.
    Panicked {
        /// What the panic said.
        reason: String,
    },
}

impl HookOutcome {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected { .. } => "rejected",
            Self::TimedOut => "timed_out",
            Self::Panicked { .. } => "panicked",
        }
    }
}

/// A hook's own account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct HookStatus {
    /// The revision of the change it was called with last; 0 before the first.
    pub revision: u64,
    /// Whether a call has not returned yet. One that blocks its thread may go on after it has timed out; the next value
    /// waits for it.
    pub running: bool,
    /// How the last call ended, if one did.
    pub outcome: Option<HookOutcome>,
    /// How long a call may take, in milliseconds.
    pub time_limit_ms: u64,
}

/// Where a hook's account is kept: written by its task, read by whoever asks.
pub(crate) struct Account(Mutex<HookStatus>);

impl Account {
    fn new(limit: Duration) -> Self {
        let time_limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let nothing = HookStatus { revision: 0, running: false, outcome: None, time_limit_ms };
        Self(Mutex::new(nothing))
    }

    fn locked(&self) -> MutexGuard<'_, HookStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> HookStatus {
        self.locked().clone()
    }

    fn began(&self, revision: u64) {
        let mut status = self.locked();
        (status.revision, status.running) = (revision, true);
    }

    fn ended(&self, outcome: HookOutcome, took: Duration) {
        measure::hook(outcome.as_str(), took);
        if outcome != HookOutcome::Applied {
            // Not within the macro: whoever writes the line may ask for the status.
            let revision = self.locked().revision;
            tracing::warn!(?outcome, revision, "a hook did not apply");
        }
        self.locked().outcome = Some(outcome);
    }

    fn returned(&self) {
        self.locked().running = false;
    }
}

/// A hook that is called for each change, for as long as this lives; made by [`crate::Handle::on_change`].
#[must_use = "the hook is called only while this lives"]
pub struct Hook {
    account: Arc<Account>,
    _calling: AbortOnDropHandle<()>,
}

impl Hook {
    /// Starts the task of a hook on the client's own event loop. What the hook awaits belongs to the runtime that this is
    /// called on, if any: its sockets and what it spawns outlive the client.
    pub(crate) fn start<T, F, Fut, E>(
        life: &Life,
        changes: Changes<T>,
        limit: Duration,
        hook: F,
    ) -> Self
    where
        T: Send + Sync + 'static,
        F: FnMut(ValueChange<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + 'static,
    {
        let own = &life.core.runtime;
        let runtime = runtime::Handle::try_current().unwrap_or_else(|_| own.clone());
        let account = Arc::new(Account::new(limit));
        let calling = own.spawn(call(changes, hook, limit, runtime, Arc::downgrade(&account)));
        Self { account, _calling: AbortOnDropHandle::new(calling) }
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How it went; [`crate::Client::status`] says it, too.
    pub fn status(&self) -> HookStatus {
        self.account.status()
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Calls the hook for one change after the other, the newest only, until nothing will change any more.
async fn call<T, F, Fut, E>(
    mut changes: Changes<T>,
    mut hook: F,
    limit: Duration,
    runtime: runtime::Handle,
    account: Weak<Account>,
) where
    T: Send + Sync + 'static,
    F: FnMut(ValueChange<T>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: fmt::Display + 'static,
{
    while let Some(change) = changes.next().await {
        tell(&account, |account| account.began(change.by.revision));
        let began = Instant::now();
        let stop = CancellationToken::new();
        let (stopped, on) = (stop.clone(), runtime.clone());
        // A thread of its own: the service's code may block it, and nobody else waits.
        let mut called = spawn_blocking(move || {
            let outcome = outcome(&on, &stopped, || hook(change));
            (hook, outcome)
        });
        // A task that is aborted ends the call, too.
        let stop = stop.drop_guard();
        let in_time = time::timeout(limit, &mut called).await;
        let returned = match in_time {
            Ok(Ok((back, outcome))) => {
                tell(&account, |account| account.ended(outcome, began.elapsed()));
                Ok(back)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                tell(&account, |account| account.ended(HookOutcome::TimedOut, began.elapsed()));
                drop(stop);
                called.await.map(|(back, _)| back)
            }
        };
        tell(&account, Account::returned);
        // The event loop is ending.
        let Ok(back) = returned else { return };
        hook = back;
    }
}

/// Whoever has dropped the hook no longer asks how it went.
fn tell(account: &Weak<Account>, what: impl FnOnce(&Account)) {
    if let Some(account) = account.upgrade() {
        what(&account);
    }
}

/// Runs one call to its end, or until it is stopped.
fn outcome<Fut, E>(
    on: &runtime::Handle,
    stop: &CancellationToken,
    call: impl FnOnce() -> Fut,
) -> HookOutcome
where
    Fut: Future<Output = Result<(), E>>,
    E: fmt::Display,
{
    let ended = catch_unwind(AssertUnwindSafe(|| {
        match on.block_on(stop.run_until_cancelled(async { call().await })) {
            Some(Ok(())) => HookOutcome::Applied,
            Some(Err(error)) => HookOutcome::Rejected { reason: error.to_string() },
            None => HookOutcome::TimedOut,
        }
    }));
    ended.unwrap_or_else(|panic| HookOutcome::Panicked { reason: panic_text(&*panic).to_owned() })
}
