//! The one loop that keeps the rows: check, catch up from the log, follow the replica's tail.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_image::Lineage;
use headwater_log::{Log, LogReader, ReadError, Seek};
use headwater_replica::{Alarm, AlarmKind, Replica, TailRead, is_record_of};
use headwater_schemas::Record;
use tokio_util::sync::CancellationToken;

use crate::materialise::{CatchUp, Failure, Taken, other_chain, take_tail};
use crate::metrics;
use crate::settings::Settings;
use crate::status::Shared;
use crate::steps::Steps;
use crate::store::{Place, Store, StoreError};

/// How much one read of the log or the tail takes, in bytes: one batch of rows.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How long one read of the log waits for more.
const READ_WAIT: Duration = Duration::from_secs(1);
/// The pause after a first failure; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, also between two looks whether an alarm's cause is gone; longer only if the look was.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Why the loop must begin again.
enum Trouble {
    /// The log cannot be read.
    Log(ReadError),
    /// The store failed.
    Store(StoreError),
    /// A person is needed.
    Stop(Alarm),
    /// The whole log was searched for our head in vain, which took so long.
    Lost(Alarm, Duration),
}

impl Trouble {
    fn is_another_chain(&self) -> bool {
        let (Self::Stop(alarm) | Self::Lost(alarm, _)) = self else { return false };
        alarm.kind == AlarmKind::NotOnThisLog
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => Self::Store(error),
            Failure::Stop(alarm) => Self::Stop(alarm),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Unavailable(_) => Self::Log(error),
            ReadError::OutOfRange { .. } => {
                Failure::stop(AlarmKind::NotOnThisLog, error.to_string()).into()
            }
            ReadError::Corrupt(_) => Failure::stop(AlarmKind::LogDamaged, error.to_string()).into(),
        }
    }
}

/// Keeps the rows.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) replica: Replica,
    pub(crate) settings: Settings,
    pub(crate) steps: Steps,
}

impl Follower {
    /// Runs `work` where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = self.shared.work.spawn_blocking(work).await;
        done.map_err(|error| StoreError::Failed(format!("a task of the store died: {error}")))
    }

    /// Runs until stopped. Whatever goes wrong, the rows stay at their last good state and are served.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut pause = MIN_PAUSE;
        loop {
            let before = self.shared.place();
            let trouble = tokio::select! {
                () = stop.cancelled() => return,
                Err(trouble) = self.follow() => trouble,
            };
            if self.shared.place() != before {
                pause = MIN_PAUSE;
            }
            let era = self.replica.progress().borrow().era;
            let searched = if trouble.is_another_chain() && self.led_on().await {
                self.begin_anew().await;
                Duration::ZERO
            } else {
                self.meet(trouble)
            };
            let mut progress = self.replica.progress();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause.max(searched)) => {}
                // The replica was led to another chain meanwhile: so may these rows be.
                Ok(_) = progress.wait_for(|now| now.era != era) => {}
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Gives what a search of the log took in vain: the pause before the next is no shorter.
    fn meet(&self, trouble: Trouble) -> Duration {
        match trouble {
            Trouble::Log(error) => self.shared.error(error.to_string()),
            Trouble::Stop(alarm) => self.shared.alarm(Some(alarm)),
            Trouble::Lost(alarm, searched) => {
                self.shared.alarm(Some(alarm));
                return searched;
            }
            Trouble::Store(error) => {
                metrics::store_error();
                self.shared.error(format!("{error}; it will be reopened"));
                self.shared.set_store(None);
            }
        }
        Duration::ZERO
    }

    /// Whether an operator led the stream from these rows' chain to the replica's.
    async fn led_on(&self) -> bool {
        let (Some(view), Some(place)) = (self.replica.view(), self.shared.place()) else {
            return false;
        };
        let Some(succession) = view.succession().filter(|_| self.replica.alarm().is_none()) else {
            return false;
        };
        // Rows that are past it are of that chain already: then it is something else that is wrong.
        if !Lineage::from(succession).is_later_than(self.shared.succession().as_ref()) {
            return false;
        }
        let point = succession.word.point();
        let (Some(store), true) = (self.shared.store(), point.stream_id == place.head.stream_id)
        else {
            return false;
        };
        let known = self.blocking(move || store.rows().record(point.revision)).await;
        let holds = matches!(known, Ok(Ok(Some((hash, _)))) if hash == point.hash);
        holds || self.replica.has_left(place.head.revision, place.head.hash)
    }

    /// Gives the rows up: those of the chain that was left cannot be undone one by one, and the log has everything.
    async fn begin_anew(&self) {
        tracing::warn!(
            "an operator led the stream to another chain: the rows are built anew from the log"
        );
        self.shared.set_store(None);
        self.shared.stands(None, false);
        self.shared.led_on(None);
        // What did not fit is met again, if it is still on the chain.
        self.shared.accepted(u64::MAX);
        let dir = self.settings.dir.clone();
        let removed = self.blocking(move || Store::destroy(&dir)).await.flatten();
        if let Err(error) = removed {
            self.shared.error(format!("the rows cannot be given up yet: {error}"));
        }
    }

    async fn follow(&self) -> Result<Infallible, Trouble> {
        let store = self.open().await?;
        loop {
            let place = self.catch_up(&store).await?;
            self.live(&store, place).await?;
        }
    }

    /// The store, reopened when it failed. While a reader still holds the failed one, this fails too.
    async fn open(&self) -> Result<Arc<Store>, Trouble> {
        if let Some(store) = self.shared.store() {
            return Ok(store);
        }
        let dir = self.settings.dir.clone();
        let (store, place, succession) = self.blocking(move || open(&dir)).await??;
        self.shared.set_store(Some(store.clone()));
        self.shared.stands(place, false);
        self.shared.led_on(succession);
        Ok(store)
    }

    /// Reads the log from our head on, until the replica's tail reaches back to it.
    async fn catch_up(&self, store: &Arc<Store>) -> Result<Place, Trouble> {
        let mut reader = self.log.reader().await?;
        let begun = store.clone();
        let mut work = self.blocking(move || CatchUp::new(&begun)).await??;
        self.shared.stands(work.place, false);
        let mut records = match &work.place {
            Some(place) => after_head(reader.as_mut(), place).await?,
            None => Vec::new(),
        };
        // Our head is on this log.
        self.lift(&[AlarmKind::NotOnThisLog, AlarmKind::LogDamaged, AlarmKind::WrongSource]);
        let mut silent = false;
        loop {
            if !records.is_empty() {
                let (store, steps) = (store.clone(), self.steps.clone());
                let (back, taken) = self
                    .blocking(move || {
                        let taken = work.take(&store, &records, &steps);
                        (work, taken)
                    })
                    .await?;
                work = back;
                self.took(taken?, false);
            }
            if let Some(place) = work.place
                && self.tail_reaches(&place)?
            {
                return Ok(place);
            }
            let known = self.replica.view().map(|view| view.revision());
            let batch = reader.read(READ_WAIT, BATCH_BYTES).await?;
            // At the end of a log that holds our head, and yet the replica is beyond us: another chain, twice over.
            let behind = known > work.place.map(|place| place.head.revision);
            let nothing = batch.records.is_empty() && batch.at_end && behind;
            if let (true, true, Some(place)) = (nothing, silent, &work.place) {
                return Err(other_chain(place).into());
            }
            silent = nothing;
            records = batch.records;
        }
    }

    /// Whether the replica's tail continues from `place`.
    fn tail_reaches(&self, place: &Place) -> Result<bool, Trouble> {
        match self.replica.tail().hash_at(place.head.revision) {
            Some(hash) if hash == place.head.hash => Ok(true),
            Some(_) => Err(other_chain(place).into()),
            None => Ok(false),
        }
    }

    /// Follows the replica's tail, until it no longer reaches back to us.
    async fn live(&self, store: &Arc<Store>, mut place: Place) -> Result<(), Trouble> {
        let gather = Duration::from_millis(self.settings.gather_ms);
        let mut progress = self.replica.progress();
        loop {
            progress.borrow_and_update();
            let items = match self.replica.tail().after(place.head.revision, BATCH_BYTES) {
                TailRead::Behind { .. } => return Ok(()),
                TailRead::Items(items) => items,
            };
            if items.is_empty() {
                // The replica may have begun anew, on another chain or at another place of ours.
                if !self.tail_reaches(&place)? {
                    return Ok(());
                }
                self.shared.stands(Some(place), true);
                if progress.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            let (store, steps) = (store.clone(), self.steps.clone());
            let taken = self.blocking(move || take_tail(&store, place, &items, &steps)).await??;
            place = taken.place.unwrap_or(place);
            self.took(taken, true);
            tokio::time::sleep(gather).await;
        }
    }

    fn took(&self, taken: Taken, live: bool) {
        match taken.unreadable {
            None => self.lift(&[AlarmKind::Undecodable]),
            Some(detail) => {
                let detail = format!("{detail}; see `headwater stream resume`");
                self.shared.alarm(Some(Alarm { kind: AlarmKind::Undecodable, detail }));
            }
        }
        self.shared.stands(taken.place, live);
        if let Some(divergence) = taken.diverged {
            let detail = format!(
                "{divergence}; the rows before it are sound, so its writer was wrong: the fold counts. No image is \
                 cut until an operator has looked and run `headwater stream resume`"
            );
            self.shared.diverged(divergence.revision(), detail);
        }
        if taken.succession.is_some() {
            self.shared.led_on(taken.succession);
        }
        if let Some(revision) = taken.accepted {
            self.shared.accepted(revision);
        }
    }

    /// Lifts the alarm when its cause, one of `kinds`, is gone.
    fn lift(&self, kinds: &[AlarmKind]) {
        let status = self.shared.status();
        let lifted =
            status.borrow().alarm.as_ref().is_some_and(|alarm| kinds.contains(&alarm.kind));
        if lifted {
            self.shared.alarm(None);
        }
    }
}

/// The rows, where they stand, and what they know of an earlier stream.
type Opened = (Arc<Store>, Option<Place>, Option<Lineage>);

fn open(dir: &Path) -> Result<Opened, StoreError> {
    let store = Store::open(dir)?;
    let (place, succession) = (store.rows().place()?, store.rows().succession()?);
    Ok((Arc::new(store), place, succession))
}

/// "Am I on this log?": finds the record of our head, where it should stand or anywhere, and gives what follows it.
async fn after_head(reader: &mut dyn LogReader, place: &Place) -> Result<Vec<Record>, Trouble> {
    let began = Instant::now();
    // A position is only a hint: in a log that was copied or restored the record stands elsewhere.
    for from in [Seek::At(place.position), Seek::Oldest] {
        if let Some(behind) = find_head(reader, from, place).await? {
            return Ok(behind);
        }
    }
    match other_chain(place) {
        Failure::Stop(alarm) => Err(Trouble::Lost(alarm, began.elapsed())),
        failure => Err(failure.into()),
    }
}

/// What follows our head's record: at a position the first record must be it, else any may.
async fn find_head(
    reader: &mut dyn LogReader,
    from: Seek,
    place: &Place,
) -> Result<Option<Vec<Record>>, Trouble> {
    let at_hint = from != Seek::Oldest;
    reader.seek(from).await?;
    loop {
        let mut batch = match reader.read(READ_WAIT, BATCH_BYTES).await {
            Err(ReadError::OutOfRange { .. }) if at_hint => return Ok(None),
            batch => batch?,
        };
        let found = batch.records.iter().position(|record| is_record_of(&place.head, record));
        match found {
            Some(at) if at == 0 || !at_hint => return Ok(Some(batch.records.split_off(at + 1))),
            _ if batch.at_end || (at_hint && !batch.records.is_empty()) => return Ok(None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_log::MemoryLog;
    use headwater_schemas::{Hash, Head, Position, StreamId};

    use super::*;

    #[tokio::test]
    async fn a_search_in_vain_says_how_long_it_took_so_that_the_next_one_is_no_sooner() {
        let hash = Hash([1; 32]);
        let head = Head { stream_id: StreamId::default(), revision: 1, hash, at_ms: 0 };
        let place = Place { head, position: Position(1) };
        let mut reader = MemoryLog::new().reader().await.unwrap();
        let Err(Trouble::Lost(alarm, searched)) = after_head(reader.as_mut(), &place).await else {
            panic!("it was found in an empty log")
        };
        assert_eq!(alarm.kind, AlarmKind::NotOnThisLog);
        // Nothing comes to an empty log: one read waits to its end.
        assert!(searched >= READ_WAIT);
    }
}
