//! The state that a log leads to, folded from its genesis: beside what is served, and by the same steps.

use std::collections::VecDeque;
use std::time::Duration;

use headwater_log::{Log, LogReader, ReadError, Seek};
use headwater_schemas::{Commit, Folded, Head, Point, Position, Record, Word};

use crate::{Chain, Step, Stop, View, ancestry};

/// How long one read waits: what is there is there already.
const READ_WAIT: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Why a log leads to no state.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its beginning is not there.
    #[error("the log {0} holds no genesis: it is not Headwater's, or its beginning was deleted")]
    NoGenesis(String),
    /// A commit cannot be applied, and no operator has led the stream past it.
    #[error(transparent)]
    Stop(#[from] Stop),
}

/// Where a replay has come to.
#[derive(Debug)]
pub struct Replayed {
    /// The chain; it says whether an unreadable commit stands in the way.
    pub chain: Chain,
    /// The state.
    pub view: View,
    /// The last commit that does not fit its state and that no operator has accepted.
    pub diverged: Option<Point>,
    /// The position behind what was read.
    pub next: Position,
    /// The last heads, ascending.
    pub(crate) heads: VecDeque<Head>,
    /// The points of other chains from which an operator had this one go on.
    pub(crate) led_on_from: Vec<Point>,
}

impl Replayed {
    fn found(record: &Record) -> Option<Self> {
        let (chain, commit, folded) = Chain::found(&record.bytes)?;
        let view = View::founded(&folded, record.position);
        let heads = VecDeque::from([*view.head()]);
        let next = record.position.next();
        let mut replayed =
            Self { chain, view, diverged: None, next, heads, led_on_from: Vec::new() };
        replayed.heed(&commit);
        Some(replayed)
    }

    fn heed(&mut self, commit: &Commit) {
        match Word::of(commit) {
            Some(Word::Accepts(point)) => {
                self.diverged.take_if(|diverged| diverged.revision <= point.revision);
            }
            Some(Word::Adopts(point) | Word::Supersedes(point, _)) => self.led_on_from.push(point),
            Some(Word::Skips(_)) | None => {}
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), Stop> {
        let view = self.view.clone();
        let judged = self.chain.step(record, |namespace, key| view.lookup(namespace, key));
        match judged {
            Ok(Step::Accepted(step)) => self.apply(&step.0, &step.1, record.position),
            Ok(Step::Resumed(resumed)) => {
                let position = resumed.record.position;
                self.apply(&resumed.skipped.0, &resumed.skipped.1, position);
                self.apply(&resumed.next.0, &resumed.next.1, record.position);
            }
            Ok(Step::Ignored { .. } | Step::Marker(_)) => {}
            // What follows may lead past it.
            Err(Stop::Undecodable { .. }) => {}
            Err(stop) => return Err(stop),
        }
        self.next = record.position.next();
        Ok(())
    }

    fn apply(&mut self, commit: &Commit, folded: &Folded, position: Position) {
        self.view = self.view.apply(folded, position);
        self.heed(commit);
        if folded.divergence.is_some() {
            self.diverged = Some(Point::from(&folded.head));
        }
        self.heads.push_back(folded.head);
        if self.heads.len() > ancestry::KEPT {
            self.heads.pop_front();
        }
    }

    /// Reads on to the log's end, or until `done`.
    ///
    /// # Errors
    /// [`ReplayError`].
    async fn read_on(
        &mut self,
        reader: &mut dyn LogReader,
        done: impl Fn(&Head) -> bool,
    ) -> Result<(), ReplayError> {
        loop {
            if done(self.view.head()) {
                return Ok(());
            }
            let batch = reader.read(READ_WAIT, READ_BYTES).await?;
            for record in &batch.records {
                self.take(record)?;
                if done(self.view.head()) {
                    return Ok(());
                }
            }
            if batch.at_end {
                return Ok(());
            }
        }
    }
}

impl Replayed {
    /// Reads on to the log's end.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub async fn go_on(&mut self, log: &dyn Log) -> Result<(), ReplayError> {
        let mut reader = log.reader().await?;
        reader.seek(Seek::At(self.next)).await?;
        self.read_on(reader.as_mut(), |_| false).await
    }
}

/// Folds a log from its genesis to its end, or to the first head for which `done` holds.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(log: &dyn Log, done: impl Fn(&Head) -> bool) -> Result<Replayed, ReplayError> {
    let mut reader = log.reader().await?;
    reader.seek(Seek::Oldest).await?;
    loop {
        let batch = reader.read(READ_WAIT, READ_BYTES).await?;
        let mut records = batch.records.iter();
        let Some(mut replayed) = records.by_ref().find_map(Replayed::found) else {
            if batch.at_end {
                return Err(ReplayError::NoGenesis(log.identity().place.clone()));
            }
            continue;
        };
        for record in records {
            if done(replayed.view.head()) {
                return Ok(replayed);
            }
            replayed.take(record)?;
        }
        if !batch.at_end {
            replayed.read_on(reader.as_mut(), done).await?;
        }
        return Ok(replayed);
    }
}
