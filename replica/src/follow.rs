//! Following a log: read → accept → fold → swap, behind the question "am I on this log?".
//!
//! ```text
//!   seek to the head's record ──▶ same hash? ──no──▶ search the whole log ──no──▶ alarm, read-only, ask again
//!            ▲                        │ yes                   │ yes
//!            │                        ▼                       ▼
//!            └── doubt ◀── read the records behind it, one by one
//! ```
//!
//! A search in vain ends otherwise where an operator's commit in that log names a point at which this replica has been:
//! then the replica goes on along that chain (see `succeed`).

use std::time::Duration;

use headwater_log::{Batch, Log, LogReader, ReadError, Seek, Table};
use headwater_schemas::{Frozen, Genesis, Hash, Head, Point, Record, Word};
use tokio::time::Instant;

use crate::bootstrap::Against;
use crate::core::{Core, Refusal, Taken};
use crate::{AlarmKind, Phase, ReplayError, Replayed, Source, Stop, bootstrap, replay, table};

/// How long one read waits for something to arrive.
const READ_WAIT: Duration = Duration::from_secs(5);
/// How long one read waits while the head's record is looked for: it is there already, or not at all.
const LOOK_WAIT: Duration = Duration::from_secs(1);
/// How much one read takes, in bytes.
const READ_BYTES: usize = 1024 * 1024;
/// How long the chain may be silent before the head's record is looked up again.
const RECHECK_EVERY: Duration = Duration::from_secs(30);
/// How long ignored records may come without an accepted one before it is.
const DOUBT_AFTER: Duration = Duration::from_secs(5);
/// The pause after an error: doubles from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// So far it doubles when the whole log was searched in vain; and it is never shorter than the search was.
const RETRY_SEARCH: Duration = Duration::from_secs(60);

/// Why a session with a reader ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{detail}")]
    NotOnThisLog { detail: String, searched: Duration },
    #[error("an operator leads on from {point:?}")]
    LedOn { point: Point, lost: String, searched: Duration },
    #[error("{detail}")]
    Trimmed { oldest: u64, detail: String, searched: Duration },
}

/// Why a state could not be built anew.
#[derive(Debug, thiserror::Error)]
enum NotRebuilt {
    /// The log may be read again later.
    #[error(transparent)]
    Unread(ReadError),
    /// It would come to nothing every time.
    #[error("{0}")]
    ForGood(String),
}

impl From<ReplayError> for NotRebuilt {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Read(ReadError::Corrupt(detail)) => Self::ForGood(detail),
            ReplayError::Read(error) => Self::Unread(error),
            error => Self::ForGood(error.to_string()),
        }
    }
}

/// Follows `log` for ever, from the state of `table` where there is none.
pub(crate) async fn follow(core: &mut Core, log: &dyn Log, table: Option<&dyn Table>) {
    let mut pause = RETRY.0;
    if let Some(table) = table {
        while core.view().is_none() && table::climb(core, log, table).await.is_err() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
        pause = RETRY.0;
    }
    loop {
        let mut found_at = None;
        let Err(ended) = session(core, log, &mut found_at).await;
        // What was applied before the end counts, and whoever waits for it learns it.
        core.publish(None);
        // Only following mends: a long search that found nothing must not begin anew at once.
        if found_at.is_some_and(|at: Instant| at.elapsed() > RETRY.1) {
            pause = RETRY.0;
        }
        let mut searched = None;
        match ended {
            Ended::Read(ReadError::Corrupt(detail)) => {
                core.alarm(AlarmKind::LogDamaged, detail).await
            }
            Ended::Read(error) => {
                core.error(error.to_string());
                if core.view().is_some() {
                    core.phase(Phase::Stale);
                }
            }
            Ended::NotOnThisLog { detail, searched: took } => {
                searched = Some(took);
                core.alarm(AlarmKind::NotOnThisLog, detail).await;
            }
            Ended::Refused(Refusal::Stop(stop)) => stopped(core, &stop).await,
            Ended::Trimmed { oldest, detail, searched: took } => {
                // Only an image that this log itself vouches for leads over what was deleted.
                match bootstrap::from_image(core, Against::Log(log), oldest).await {
                    Ok(()) => core.mended(&[AlarmKind::NotOnThisLog]).await,
                    Err(error) => {
                        searched = Some(took);
                        core.error(error.to_string());
                        core.alarm(AlarmKind::NotOnThisLog, detail).await;
                    }
                }
            }
            Ended::LedOn { point, lost, searched: took } => match succeed(core, log, point).await {
                Ok(()) => continue,
                Err(NotRebuilt::Unread(error)) => core.error(error.to_string()),
                Err(NotRebuilt::ForGood(error)) => {
                    searched = Some(took);
                    core.alarm(AlarmKind::NotOnThisLog, format!("{lost} ({error})")).await;
                }
            },
            Ended::Refused(Refusal::Diverged(divergence)) => {
                core.error(format!("{divergence}; building the state anew from the log"));
                match rebuild(core, log).await {
                    Ok(()) => core.rebuilt(&divergence, None),
                    // There is nothing better than what we have.
                    Err(NotRebuilt::ForGood(error)) => core.rebuilt(&divergence, Some(error)),
                    Err(error @ NotRebuilt::Unread(_)) => {
                        core.error(format!("the state could not be built anew: {error}"));
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(RETRY.1);
                    }
                }
                continue;
            }
        }
        let wait;
        (wait, pause) = pauses(pause, searched);
        tokio::time::sleep(wait).await;
    }
}

/// A commit of our chain cannot be applied.
pub(crate) async fn stopped(core: &mut Core, stop: &Stop) {
    let detail = format!(
        "{stop}. The last good state is kept and served, and what follows is not applied. Use a build that \
         understands the commit; if no build does, have it skipped with `headwater stream resume`."
    );
    core.alarm(AlarmKind::Undecodable, detail).await;
}

/// How long to pause now, and for how long next time; `searched` is what a search of the whole log took in vain.
fn pauses(pause: Duration, searched: Option<Duration>) -> (Duration, Duration) {
    match searched {
        None => (pause.min(RETRY.1), (pause * 2).min(RETRY.1)),
        Some(took) => (pause.max(took), (pause * 2).min(RETRY_SEARCH)),
    }
}

/// What the session is looking for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looking {
    /// No state yet: the genesis.
    ForGenesis,
    /// The head's record, where it should stand.
    AtHint,
    /// The head's record, anywhere.
    Everywhere,
    /// Nothing: the head was found, what follows is news.
    Found,
}

/// One reader's life.
struct Session<'a> {
    core: &'a mut Core,
    /// When the head was found for the first time.
    found_at: &'a mut Option<Instant>,
    reader: Box<dyn LogReader>,
    looking: Looking,
    /// When the chain last proved that it is this log's.
    proved_at: Instant,
    /// Since when records have been ignored without an accepted one.
    doubt_since: Option<Instant>,
    /// When the search of the whole log began.
    search_since: Instant,
    /// A point of ours that an operator's commit named, as that search went by.
    led_on_from: Option<Point>,
    /// The revision of the first record of our stream that it came by.
    oldest: Option<u64>,
}

async fn session(
    core: &mut Core,
    log: &dyn Log,
    found_at: &mut Option<Instant>,
) -> Result<std::convert::Infallible, Ended> {
    let reader = log.reader().await?;
    let mut session = Session {
        core,
        found_at,
        reader,
        looking: Looking::ForGenesis,
        proved_at: Instant::now(),
        doubt_since: None,
        search_since: Instant::now(),
        led_on_from: None,
        oldest: None,
    };
    session.begin().await?;
    loop {
        session.turn().await?;
    }
}

impl Session<'_> {
    /// Goes to where the next record to look at stands.
    async fn begin(&mut self) -> Result<(), Ended> {
        let hint = self.core.view().map(|view| view.position());
        let (looking, to) = match hint {
            None => (Looking::ForGenesis, Seek::Oldest),
            Some(position) => (Looking::AtHint, Seek::At(position)),
        };
        self.looking = looking;
        self.reader.seek(to).await?;
        Ok(())
    }

    async fn turn(&mut self) -> Result<(), Ended> {
        let wait = self.next_check();
        // In no order: a log that always has more must not keep a new base waiting.
        let batch = tokio::select! {
            batch = self.reader.read(wait, READ_BYTES) => Some(batch),
            () = self.core.rebase_wakes() => None,
        };
        match batch.transpose() {
            Ok(Some(batch)) => self.take(batch).await?,
            Ok(None) => {}
            Err(ReadError::OutOfRange { .. }) if self.looking == Looking::AtHint => {
                self.search().await?
            }
            Err(ReadError::OutOfRange { position, detail }) if self.looking == Looking::Found => {
                self.core
                    .error(format!("position {position:?} is out of the log's range: {detail}"));
                self.begin().await?;
            }
            Err(error) => return Err(error.into()),
        }
        self.core.rebase_if_due();
        if self.looking == Looking::Found && self.in_doubt() {
            self.begin().await?;
        }
        Ok(())
    }

    /// How long to wait for records before the head must be looked up again.
    fn next_check(&self) -> Duration {
        if matches!(self.looking, Looking::AtHint | Looking::Everywhere) {
            return LOOK_WAIT;
        }
        let recheck = RECHECK_EVERY.saturating_sub(self.proved_at.elapsed());
        let doubt =
            self.doubt_since.map_or(READ_WAIT, |since| DOUBT_AFTER.saturating_sub(since.elapsed()));
        recheck.min(doubt).clamp(Duration::from_millis(10), READ_WAIT)
    }

    fn in_doubt(&self) -> bool {
        self.proved_at.elapsed() >= RECHECK_EVERY
            || self.doubt_since.is_some_and(|since| since.elapsed() >= DOUBT_AFTER)
    }

    async fn search(&mut self) -> Result<(), Ended> {
        self.looking = Looking::Everywhere;
        self.search_since = Instant::now();
        (self.led_on_from, self.oldest) = (None, None);
        self.reader.seek(Seek::Oldest).await?;
        Ok(())
    }

    async fn take(&mut self, batch: Batch) -> Result<(), Ended> {
        for record in &batch.records {
            match self.looking {
                Looking::Found => self.news(record).await?,
                Looking::ForGenesis => {
                    if self.core.found(record).await {
                        self.proved().await;
                    }
                }
                Looking::AtHint if !self.is_head(record) => return self.search().await,
                Looking::Everywhere if !self.is_head(record) => self.listen(record),
                Looking::AtHint | Looking::Everywhere => self.proved().await,
            }
        }
        match self.looking {
            Looking::Found => {
                self.core.publish(Some(batch.next));
                if batch.at_end {
                    self.core.at_end(batch.next).await;
                } else {
                    self.core.behind();
                }
                Ok(())
            }
            Looking::AtHint if batch.at_end => self.search().await,
            Looking::Everywhere if batch.at_end => Err(self.lost()),
            _ => Ok(()),
        }
    }

    /// Our head's record stands in this log: what comes behind it is news.
    async fn proved(&mut self) {
        self.looking = Looking::Found;
        self.proved_at = Instant::now();
        self.found_at.get_or_insert(self.proved_at);
        self.doubt_since = None;
        // What stood in the way may be gone: it is read again.
        self.core.unblock();
        self.core.mended(&[AlarmKind::NotOnThisLog, AlarmKind::LogDamaged]).await;
    }

    fn is_head(&self, record: &Record) -> bool {
        self.core.head().is_some_and(|head| is_record_of(&head, record))
    }

    async fn news(&mut self, record: &Record) -> Result<(), Ended> {
        // A check of the head reads what it ignored again: that is no reason for the next check.
        let again = self.core.was_read(record.position);
        let taken = match self.core.record(record).await {
            // What follows may lead past it.
            Err(Refusal::Stop(stop)) if self.core.is_blocked() => {
                stopped(self.core, &stop).await;
                return Ok(());
            }
            taken => taken?,
        };
        match taken {
            Taken::Accepted => {
                self.proved_at = Instant::now();
                self.doubt_since = None;
                self.core.mended(&[AlarmKind::Undecodable]).await;
            }
            Taken::Ignored if again => {}
            Taken::Ignored => {
                self.doubt_since.get_or_insert_with(Instant::now);
            }
            Taken::Marker => {}
        }
        Ok(())
    }

    /// Heeds an operator's commit that names a point at which we have been. Whether it counts in this log only a replay
    /// can tell.
    fn listen(&mut self, record: &Record) {
        let supersedes = || Some(Genesis::decode(&record.bytes).ok()?.supersedes?.0);
        let adopts = || match Word::of(&self.core.decode(&record.bytes).ok()?) {
            Some(Word::Adopts(point)) => Some(point),
            _ => None,
        };
        let frozen = Frozen::read(&record.bytes);
        let of_ours = frozen.as_ref().ok().filter(|frozen| {
            self.core.head().is_some_and(|head| head.stream_id == frozen.stream_id)
        });
        self.oldest = self.oldest.or(of_ours.map(|frozen| frozen.revision));
        let named = match frozen {
            Ok(frozen) if frozen.revision == 0 => supersedes(),
            Ok(frozen) if self.follows_ours(&frozen) => adopts(),
            _ => None,
        };
        self.led_on_from = named.filter(|point| self.core.has_been_at(point)).or(self.led_on_from);
    }

    /// Whether a record stands directly behind a point at which we have been: only such a one need be decoded.
    fn follows_ours(&self, frozen: &Frozen) -> bool {
        let revision = frozen.revision.saturating_sub(1);
        let parent = Point { stream_id: frozen.stream_id, revision, hash: frozen.parent };
        self.core.has_been_at(&parent)
    }

    fn lost(&self) -> Ended {
        let place = &self.reader.identity().place;
        let searched = self.search_since.elapsed();
        if let (Some(head), Some(oldest)) = (self.core.head(), self.oldest)
            && oldest > head.revision
            && self.led_on_from.is_none()
        {
            let detail = format!(
                "the log {place} begins at revision {oldest} of our stream: what came before was deleted, the record of \
                 our revision {} with it, and no image of revision {} or later is to be had. Nothing is applied; the last \
                 good state is served. Point to where images are (--image-store), or start a snapshotter that has its rows.",
                head.revision, oldest
            );
            return Ended::Trimmed { oldest, detail, searched };
        }
        let detail = self.core.head().map_or_else(String::new, |head| {
            format!(
                "the log {place} does not hold the record of revision {} ({}) of stream {}: it was recreated, \
                 truncated, restored from an older copy, or is another log. Nothing is applied and nothing written; \
                 the last good state is served. Point to the right log, or restore it; if that state is lost to the \
                 log for good, go on with `headwater stream adopt` or `headwater stream rebuild`.",
                head.revision, head.hash, head.stream_id
            )
        });
        match self.led_on_from {
            Some(point) => Ended::LedOn { point, lost: detail, searched },
            None => Ended::NotOnThisLog { detail, searched },
        }
    }
}

/// Whether `record` is the one that `head` stands on: the answer to "am I on this log?".
pub fn is_record_of(head: &Head, record: &Record) -> bool {
    // The hash decides; the header only spares hashing the whole log.
    Frozen::read(&record.bytes).is_ok_and(|frozen| frozen.revision == head.revision)
        && Hash::of(&record.bytes) == head.hash
}

/// Builds the state at our head anew from the log alone, beside the one that is served, and takes it.
async fn rebuild(core: &mut Core, log: &dyn Log) -> Result<(), NotRebuilt> {
    let Some(head) = core.head() else { return Ok(()) };
    let Replayed { view, .. } = replay(log, |at| *at == head).await?;
    if *view.head() != head {
        let (at, ours) = (view.revision(), head.revision);
        let why = format!("from its genesis the log leads to revision {at}, not to {ours}");
        return Err(NotRebuilt::ForGood(why));
    }
    let taken = core.reset(view, Source::Log).await;
    taken.map_err(|error| NotRebuilt::ForGood(error.to_string()))
}

/// Takes the state that this log leads to, which is of another chain than ours, if an operator's commit on that chain
/// says that it goes on from `point`.
async fn succeed(core: &mut Core, log: &dyn Log, point: Point) -> Result<(), NotRebuilt> {
    let Replayed { view, heads, led_on_from, .. } = replay(log, |_| false).await?;
    if !led_on_from.contains(&point) || view.revision() < view.whole_at() {
        let why = format!(
            "at revision {} it does not say that it goes on from {point:?}",
            view.revision()
        );
        return Err(NotRebuilt::ForGood(why));
    }
    let taken = core.succeed(view, heads.into(), Source::Log).await;
    taken.map_err(|error| NotRebuilt::ForGood(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_in_vain_is_followed_by_a_pause_as_long_as_it_took_and_by_ever_longer_ones() {
        let (took, mut pause, mut waits) = (Duration::from_secs(3), RETRY.0, Vec::new());
        for _ in 0..20 {
            let wait;
            (wait, pause) = pauses(pause, Some(took));
            assert!(wait >= took);
            waits.push(wait);
        }
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&RETRY_SEARCH));
        let took = 10 * RETRY_SEARCH;
        assert_eq!(pauses(RETRY.0, Some(took)), (took, RETRY.0 * 2));
    }

    #[test]
    fn a_log_that_cannot_be_read_is_tried_again_after_seconds_whatever_was_before() {
        assert_eq!(pauses(RETRY_SEARCH, None), (RETRY.1, RETRY.1));
        assert_eq!(pauses(RETRY.0, None), (RETRY.0, RETRY.0 * 2));
    }
}
