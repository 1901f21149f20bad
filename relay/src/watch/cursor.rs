//! One watcher's place in the chain: no queue and no task, it is asked for more only when the client took what it was
//! given. What it has read and not given yet is bounded by what one send takes.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_api::{Code, Problem, Values};
use headwater_replica::{Applied, Phase, Progress, TailRead};
use headwater_schemas::{Commit, Hash};
use tokio::sync::watch;

use super::filter::Filter;
use super::matched::Matched;
use crate::metrics::OpenWatch;
use crate::relay::Desk;

/// A commit, and where it was found.
#[derive(Debug)]
pub(super) enum Found {
    /// In the replica's tail, with what it did.
    Live(Arc<Applied>),
    /// In history, with its hash.
    Past(Hash, Box<Commit>),
}

impl Found {
    pub(super) fn commit(&self) -> &Commit {
        match self {
            Self::Live(applied) => &applied.commit,
            Self::Past(_, commit) => commit,
        }
    }

    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Live(applied) => applied.head.hash,
            Self::Past(hash, _) => *hash,
        }
    }
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// A commit with something that is wanted.
    Commit(Matched),
    /// Some commits without: ask again.
    Silent,
    /// Nothing until something [changes](Cursor::changed).
    Idle,
}

/// Where a watcher is.
#[derive(Debug)]
pub(super) struct Cursor {
    desk: Arc<Desk>,
    filter: Filter,
    values: Values,
    progress: watch::Receiver<Progress>,
    /// The era in which it began: in a later one this server is on another chain.
    era: u64,
    /// The revision up to which everything was taken, and the chain hash there if it is known.
    taken: u64,
    hash: Option<Hash>,
    /// The last revision to be taken.
    upto: u64,
    /// Read and not taken yet.
    read: VecDeque<Found>,
    /// Whether it has reached the tail: who then falls behind it is cut off.
    is_live: bool,
    _open: OpenWatch,
}

impl Cursor {
    /// A cursor behind `after`, or at the head; above the head it waits.
    ///
    /// # Errors
    /// What a client is told at once: `revision_compacted` where nobody here keeps what follows, or that this server
    /// has no state, or shuts down.
    pub(super) async fn open(
        desk: Arc<Desk>,
        filter: Filter,
        values: Values,
        after: Option<u64>,
    ) -> Result<Self, Problem> {
        let mut progress = desk.relay.replica.progress();
        let era = progress.borrow_and_update().era;
        let taken = after.unwrap_or(desk.view()?.revision());
        let hash = desk.relay.replica.tail().hash_at(taken);
        let mut cursor = Self {
            desk,
            filter,
            values,
            progress,
            era,
            taken,
            hash,
            upto: u64::MAX,
            read: VecDeque::new(),
            is_live: false,
            _open: OpenWatch::new(),
        };
        cursor.check()?;
        cursor.refill().await?;
        Ok(cursor)
    }

    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(super) fn values(&self) -> Values {
        self.values
    }

    /// The revision up to which everything was taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the next commit must be read first.
    pub(super) fn is_drained(&self) -> bool {
        self.read.is_empty()
    }

    /// Takes nothing above a revision.
    pub(super) fn end_at(&mut self, revision: u64) {
        self.upto = revision;
    }

    /// Whether it may go on.
    ///
    /// # Errors
    /// The problem to end with.
    pub(super) fn check(&mut self) -> Result<(), Problem> {
        // Before the tail is read: what is pushed in between wakes us again.
        let Progress { phase, era, .. } = *self.progress.borrow_and_update();
        if phase == Phase::Closed || self.desk.relay.shutdown.is_cancelled() {
            return Err(Problem::shutting_down());
        }
        if era != self.era {
            return Err(self.desk.wrong_chain(self.taken, true));
        }
        Ok(())
    }

    /// Waits until there may be more.
    ///
    /// # Cancel safety
    /// A cancelled call loses nothing.
    pub(super) async fn changed(&mut self) -> Result<(), Problem> {
        tokio::select! {
            changed = self.progress.changed() => changed.map_err(|_| Problem::shutting_down()),
            () = self.desk.relay.shutdown.cancelled() => Err(Problem::shutting_down()),
        }
    }

    /// What comes next.
    ///
    /// # Errors
    /// The problem to end with.
    pub(super) async fn next(&mut self) -> Result<Next, Problem> {
        self.check()?;
        if self.read.is_empty() && !self.refill().await? {
            return Ok(Next::Idle);
        }
        while let Some(found) = self.read.pop_front_if(|found| found.commit().revision <= self.upto)
        {
            self.follow(&found)?;
            if let Some(matched) = Matched::of(found, &self.filter) {
                return Ok(Next::Commit(matched));
            }
        }
        Ok(if self.read.is_empty() { Next::Silent } else { Next::Idle })
    }

    /// Reads on, and says whether that went any further.
    async fn refill(&mut self) -> Result<bool, Problem> {
        let relay = &self.desk.relay;
        match relay.replica.tail().after(self.taken, relay.settings.send_bytes) {
            TailRead::Items(items) => {
                self.is_live = true;
                self.read.extend(items.into_iter().map(Found::Live));
                Ok(!self.read.is_empty())
            }
            TailRead::Behind { oldest } if self.is_live => {
                let behind = Problem::revision_compacted(self.taken, oldest);
                let detail = format!("this client was too slow: {}", behind.detail);
                Err(Problem { detail, ..behind })
            }
            TailRead::Behind { .. } => self.look_back().await,
        }
    }

    /// Reads on in history, until the tail reaches back to where this watcher is.
    async fn look_back(&mut self) -> Result<bool, Problem> {
        let page = self.desk.past(self.taken, &self.filter).await?;
        if page.commits.is_empty() {
            self.taken = page.scanned_to;
            self.hash = None;
        }
        let past = page.commits.into_iter();
        self.read.extend(past.map(|(hash, commit)| Found::Past(hash, Box::new(commit))));
        Ok(true)
    }

    /// Moves on to a commit that must follow what was taken: the replica may have begun anew meanwhile.
    fn follow(&mut self, found: &Found) -> Result<(), Problem> {
        let commit = found.commit();
        if let Found::Live(applied) = found
            && applied.record.is_empty()
        {
            return Err(Problem::new(
                Code::NotReady,
                "this server holds some namespaces only and cannot be watched; use one that follows the log",
            ));
        }
        let is_next = self.taken.checked_add(1) == Some(commit.revision);
        let follows = match found {
            Found::Live(applied) => is_next && applied.previous == self.taken,
            // History leaves out what is not wanted.
            Found::Past(..) => commit.revision > self.taken,
        };
        if !follows || (is_next && self.hash.is_some_and(|hash| hash != commit.parent)) {
            return Err(self.desk.wrong_chain(self.taken, false));
        }
        self.taken = commit.revision;
        self.hash = Some(found.hash());
        Ok(())
    }
}
