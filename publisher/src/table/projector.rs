//! The one that keeps the table: it waits for its turn, takes over, and follows the replica's tail.

use std::sync::Arc;
use std::time::Duration;

use headwater_log::{Lease, Log, ReadError, Table, TableError, TableWriter, read_table};
use headwater_replica::{Phase, Progress, Replica, TailRead};
use headwater_schemas::{Framing, TableFold};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::takeover::{Takeover, judge};
use super::{Framings, TableSettings, batch, sweep};
use crate::metrics;

/// About how many bytes of commits one batch holds; one commit is always whole.
const BATCH_BYTES: usize = 1024 * 1024;
/// The pause after a failure: doubles from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How long until a table that must not be written is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// So many failures in a row, and a person should know.
const ALARM_AFTER: u32 = 3;
/// How long a stop waits for the last commits to be written.
const FINISH: Duration = Duration::from_secs(2);

/// What a projector works with.
#[derive(Clone)]
pub struct TableParts {
    /// The table it keeps.
    pub table: Arc<dyn Table>,
    /// The replica whose commits it writes. It must hold every namespace.
    pub replica: Replica,
    /// The log, where a checkpoint's record is looked up.
    pub log: Arc<dyn Log>,
    /// How values are framed.
    pub framings: Framings,
    /// What a file can say.
    pub settings: TableSettings,
}

/// Keeps the table, whenever it is this process's turn. It slows nobody: it reads the replica's tail, and what it
/// falls behind by is told by a metric.
pub struct Projector {
    parts: TableParts,
    /// The revision of the table, as far as this process knows.
    at: u64,
    failures: u32,
}

impl std::fmt::Debug for Projector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Projector({}, at {})", self.parts.table.place(), self.at)
    }
}

/// Why projecting ended, or must begin anew.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the registry of schemas: {0}")]
    Framing(String),
    /// It fell behind the tail, or the replica began anew: compare with the state.
    #[error("the commits behind revision {0} are no longer at hand")]
    Behind(u64),
    /// It is not to be overwritten.
    #[error(
        "{place} is left as it is: {why}. Where it may be overwritten, `headwater topic repair` makes it this stream's"
    )]
    Refused { place: String, why: String },
}

/// Whether a replica applies nothing until a person has done something.
fn stands_still(progress: &Progress) -> bool {
    progress.phase == Phase::ReadOnly
}

impl Projector {
    /// A projector. Starts no task: spawn [`Projector::run`].
    pub fn new(parts: TableParts) -> Self {
        Self { parts, at: 0, failures: 0 }
    }

    /// Runs until `stop` is cancelled. Whatever goes wrong is tried again.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(lease) = stop.run_until_cancelled(self.stand_in_line()).await {
            let mut progress = self.parts.replica.progress();
            let finished = async {
                stop.cancelled().await;
                tokio::time::sleep(FINISH).await;
            };
            tokio::select! {
                () = self.keep(lease.as_ref(), &stop) => {}
                () = finished => tracing::warn!("the table's last commits are left to the next projector"),
                // Who can apply nothing has nothing to write: another's replica may go on, and its table with it.
                _ = progress.wait_for(stands_still) => tracing::warn!("this process leaves the table to others"),
            }
            lease.release().await;
            metrics::projector_holds(false);
        }
    }

    async fn stand_in_line(&mut self) -> Box<dyn Lease> {
        // A replica that has ended moves no more: then `stop` is what ends us.
        let mut progress = self.parts.replica.progress();
        let _ = progress.wait_for(|progress| !stands_still(progress)).await;
        let mut pause = RETRY.0;
        loop {
            match self.parts.table.lease().await {
                Ok(lease) => return lease,
                Err(error) => self.failed(&error.into()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn keep(&mut self, lease: &dyn Lease, stop: &CancellationToken) {
        let mut held = lease.held();
        let mut pause = RETRY.0;
        loop {
            let turn = held.wait_for(|held| *held);
            match stop.run_until_cancelled(turn).await.map(|turn| turn.is_ok()) {
                None => return,
                // A lease that ended comes no more.
                Some(false) => return stop.cancelled().await,
                Some(true) => metrics::projector_holds(true),
            }
            let before = self.at;
            let mut lost = held.clone();
            let ended = tokio::select! {
                Err(ended) = self.project(stop) => Some(ended),
                _ = lost.wait_for(|held| !*held) => None,
            };
            let wait = match ended {
                None => {
                    tracing::info!("another process writes the table now");
                    self.fine();
                    metrics::projector_holds(false);
                    metrics::projector(self.at, 0);
                    continue;
                }
                Some(Ended::Stopped) => return,
                Some(ended) => {
                    self.failed(&ended);
                    if self.at != before {
                        pause = RETRY.0;
                    }
                    self.wait(&ended, pause)
                }
            };
            pause = (pause * 2).min(RETRY.1);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// How long until the next try.
    fn wait(&self, ended: &Ended, pause: Duration) -> Duration {
        match ended {
            // Who fenced us holds the lease, and we shall hear that it is no longer ours; or it was a person's command.
            Ended::Table(TableError::Fenced(_)) => {
                Duration::from_millis(self.parts.settings.lease_timeout_ms)
            }
            Ended::Refused { .. } => LOOK_AGAIN,
            Ended::Behind(_) => RETRY.0,
            _ => pause,
        }
    }

    fn failed(&mut self, ended: &Ended) {
        self.failures += 1;
        metrics::projector_failed();
        self.tell_lag();
        let refused = matches!(ended, Ended::Refused { .. });
        if refused || self.failures >= ALARM_AFTER {
            metrics::projector_alarm(true);
            tracing::error!(error = %ended, failures = self.failures, "the table stands still");
        } else {
            tracing::info!(error = %ended, "the table is taken up again");
        }
    }

    fn fine(&mut self) {
        self.failures = 0;
        metrics::projector_alarm(false);
    }

    fn tell_lag(&self) {
        let head = self.parts.replica.view().map_or(0, |view| view.revision());
        metrics::projector(self.at, head.saturating_sub(self.at));
    }

    /// Takes over and goes on, until something is in the way.
    async fn project(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<std::convert::Infallible, Ended> {
        let taken = stop.run_until_cancelled(self.take_over()).await;
        let (mut writer, framing) = taken.ok_or(Ended::Stopped)??;
        let place = self.parts.table.place();
        tracing::info!(revision = self.at, table = place, "this process writes the table");
        self.follow(writer.as_mut(), framing, stop).await
    }

    async fn take_over(&mut self) -> Result<(Box<dyn TableWriter>, Framing), Ended> {
        // Nobody is fenced before there is something to write.
        self.parts.replica.caught_up().await.map_err(|_| Ended::Stopped)?;
        let framing = (self.parts.framings)().await.map_err(Ended::Framing)?;
        let table = Arc::clone(&self.parts.table);
        let mut writer = table.writer().await?;
        let found = read_table(table.as_ref(), TableFold::default(), TableFold::is_settled).await?;
        let found = found.unwrap_or_default();
        let taken = judge(&found, &self.parts.replica, self.parts.log.as_ref(), framing).await?;
        match taken {
            Takeover::From(checkpoint) => self.at = checkpoint.revision,
            Takeover::Sweep => self.sweep(writer.as_mut(), found, framing).await?,
            Takeover::Refuse(why) => {
                return Err(Ended::Refused { place: table.place().to_owned(), why });
            }
        }
        Ok((writer, framing))
    }

    /// Makes the table equal to the state: first by the commits that are still at hand, which say more than a state
    /// does, then by what differs after them.
    async fn sweep(
        &mut self,
        writer: &mut dyn TableWriter,
        mut found: TableFold,
        framing: Framing,
    ) -> Result<(), Ended> {
        let Some(view) = self.parts.replica.view() else { return Err(Ended::Behind(self.at)) };
        let tail = self.parts.replica.tail();
        let written = found.checkpoint().map_or(0, |checkpoint| checkpoint.revision);
        let mut after = written.max(tail.oldest().unwrap_or(0));
        while after < view.revision() {
            let TailRead::Items(mut items) = tail.after(after, BATCH_BYTES) else { break };
            items.retain(|item| item.head.revision <= view.revision());
            let Some(last) = items.last() else { break };
            after = last.head.revision;
            let records = batch::of_commits(items.iter().map(AsRef::as_ref), framing);
            records.iter().for_each(|record| found.take(&record.key, record.value.as_ref()));
            writer.write(records).await?;
        }
        let mended = sweep::sweep(writer, found, &view, tail, framing).await?;
        self.at = view.revision();
        tracing::info!(rows = mended, revision = self.at, "the table was compared with the state");
        Ok(())
    }

    async fn follow(
        &mut self,
        writer: &mut dyn TableWriter,
        framing: Framing,
        stop: &CancellationToken,
    ) -> Result<std::convert::Infallible, Ended> {
        let replica = self.parts.replica.clone();
        let gather = Duration::from_millis(self.parts.settings.gather_ms);
        let mut progress = replica.progress();
        let mut hash = replica.tail().hash_at(self.at).ok_or(Ended::Behind(self.at))?;
        loop {
            progress.borrow_and_update();
            self.tell_lag();
            // The replica may have begun anew, at another place.
            if replica.tail().hash_at(self.at) != Some(hash) {
                return Err(Ended::Behind(self.at));
            }
            let items = match replica.tail().after(self.at, BATCH_BYTES) {
                TailRead::Behind { .. } => return Err(Ended::Behind(self.at)),
                TailRead::Items(items) => items,
            };
            let Some(last) = items.last() else {
                self.fine();
                if stop.is_cancelled() || progress.borrow().phase == Phase::Closed {
                    return Err(Ended::Stopped);
                }
                tokio::select! {
                    _ = progress.changed() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            };
            let records = batch::of_commits(items.iter().map(AsRef::as_ref), framing);
            let (count, began) = (records.len(), Instant::now());
            writer.write(records).await?;
            metrics::projector_wrote(count, began.elapsed());
            self.fine();
            (self.at, hash) = (last.head.revision, last.head.hash);
            if !stop.is_cancelled() {
                tokio::time::sleep(gather).await;
            }
        }
    }
}
