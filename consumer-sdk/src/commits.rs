//! Every applied commit, for those who want more than values: audit trails, caches of their own, `headwater watch`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use headwater_replica::{Applied, Progress, TailRead};
use tokio::sync::watch;

use crate::core::Life;
use crate::error::Closed;

/// About how many bytes of commits are taken from the replica at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a follower of commits sees.
#[derive(Debug, Clone)]
pub enum Event {
    /// A commit was applied. In a client that follows some namespaces only, it holds their changes only.
    Commit(Arc<Applied>),
    /// The commits up to this revision cannot be had one by one: the client took an image, or this follower fell
    /// behind the bounded backlog; or an operator led the stream to another chain, and the revision may be lower than
    /// the last one. Read the view anew.
    Skipped {
        /// The revision from which commits come one by one again.
        to: u64,
    },
}

/// The commits applied after this was made, in order.
pub struct Commits {
    life: Arc<Life>,
    progress: watch::Receiver<Progress>,
    ended: watch::Receiver<bool>,
    after: u64,
    era: u64,
    ready: VecDeque<Event>,
}

impl Commits {
    pub(crate) fn new(life: Arc<Life>, after: u64) -> Self {
        let progress = life.core.replica.progress();
        let ended = life.core.ended.subscribe();
        let era = progress.borrow().era;
        Self { life, progress, ended, after, era, ready: VecDeque::new() }
    }

    /// The next event.
    ///
    /// # Cancel safety
    /// A wait that is dropped loses nothing.
    ///
    /// # Errors
    /// [`Closed`] when nothing will come any more.
    pub async fn next(&mut self) -> Result<Event, Closed> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            // Marked as seen before the tail is read, so that what comes in between wakes the wait below.
            let era = self.progress.borrow_and_update().era;
            if era != self.era {
                self.begin(era);
            }
            if self.fill() {
                continue;
            }
            let ended = tokio::select! {
                biased;
                changed = self.progress.changed() => changed.map(|()| false).map_err(|_| Closed)?,
                _ = self.ended.wait_for(|ended| *ended) => true,
            };
            if ended {
                return self.last();
            }
        }
    }

    /// Begins anew on another chain, where its commits come one by one.
    fn begin(&mut self, era: u64) {
        let to = self.life.core.replica.tail().oldest().unwrap_or(0);
        (self.era, self.after) = (era, to);
        self.ready.push_back(Event::Skipped { to });
    }

    /// Takes what the tail holds; whether there was anything.
    fn fill(&mut self) -> bool {
        match self.life.core.replica.tail().after(self.after, CHUNK_BYTES) {
            TailRead::Items(items) => {
                self.after = items.last().map_or(self.after, |item| item.head.revision);
                self.ready.extend(items.into_iter().map(Event::Commit));
            }
            TailRead::Behind { oldest } => {
                self.after = oldest;
                self.ready.push_back(Event::Skipped { to: oldest });
            }
        }
        !self.ready.is_empty()
    }

    /// What was applied before the end is still given.
    fn last(&mut self) -> Result<Event, Closed> {
        self.fill();
        self.ready.pop_front().ok_or(Closed)
    }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commits").field("after", &self.after).finish_non_exhaustive()
    }
}
