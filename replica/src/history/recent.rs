//! History out of the view and the tail: the state at a revision that the tail reaches is the view with the later commits
//! taken back.

mod moment;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_schemas::{Entry, Hash, Head};

use super::{
    Asked, CommitsPage, CommitsQuery, DiffPage, DiffQuery, EntriesPage, EntriesQuery, History,
    HistoryError, Order, VersionsPage, VersionsQuery,
};
use crate::{Applied, Replica, TailRead, View};
use moment::Moment;

/// How long the tail may take to hold what the view holds.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a tail that moves on is read anew.
const TRIES: usize = 3;
/// How much of the tail is taken at once, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// The last of a stream's history: what a replica's tail reaches. Below that everything is [`HistoryError::Compacted`].
#[derive(Debug, Clone)]
pub struct Recent {
    replica: Replica,
}

fn unavailable(why: &str) -> HistoryError {
    HistoryError::Unavailable(why.to_owned())
}

impl Recent {
    /// The recent history of what `replica` holds.
    pub fn new(replica: Replica) -> Self {
        Self { replica }
    }

    /// The lowest revision whose state can be told; none before the first state.
    pub fn oldest(&self) -> Option<u64> {
        self.replica.tail().oldest()
    }

    /// The view with everything that came after `after`, or after the tail's begin if that is later and `clip` allows it.
    async fn since(&self, after: u64, clip: bool) -> Result<Moment, HistoryError> {
        for _ in 0..TRIES {
            let view = self.replica.view().ok_or_else(|| unavailable("there is no state yet"))?;
            // The view is swapped before the tail is extended, and told after both.
            let mut progress = self.replica.progress();
            let told = progress.wait_for(|now| now.revision >= view.revision());
            let _ = tokio::time::timeout(PATIENCE, told).await;
            if let Some(moment) = self.gather(view, after, clip)? {
                return Ok(moment);
            }
        }
        Err(unavailable("it moves on faster than it can be read, or begins anew"))
    }

    /// None when the tail moved on meanwhile. It is read piece by piece: whoever extends it waits for whoever reads it.
    fn gather(
        &self,
        view: Arc<View>,
        after: u64,
        clip: bool,
    ) -> Result<Option<Moment>, HistoryError> {
        let tail = self.replica.tail();
        let base = tail.base().ok_or_else(|| unavailable("there is no state yet"))?;
        let mut reached = if clip { after.max(base.revision) } else { after };
        let mut items: Vec<Arc<Applied>> = Vec::new();
        while reached < view.revision() {
            let more = match tail.after(reached, PIECE_BYTES) {
                TailRead::Items(more) => more,
                TailRead::Behind { oldest } if items.is_empty() && !clip => {
                    return Err(HistoryError::Compacted { oldest });
                }
                TailRead::Behind { .. } => return Ok(None),
            };
            let Some(last) = more.last() else { return Ok(None) };
            reached = last.head.revision;
            items.extend(more.into_iter().filter(|item| item.head.revision <= view.revision()));
        }
        let is_ours = items.last().is_none_or(|last| last.head == *view.head());
        Ok(is_ours.then_some(Moment { view, base, items }))
    }

    /// The same for the state at `revision`, which must be whole and not above the head.
    async fn state(&self, revision: u64) -> Result<Moment, HistoryError> {
        let moment = self.since(revision, false).await?;
        let (head, oldest) = (moment.view.revision(), moment.view.whole_at());
        if revision > head {
            return Err(HistoryError::Unavailable(format!(
                "it is at revision {head}, not yet at {revision}"
            )));
        }
        if revision < oldest { Err(HistoryError::Compacted { oldest }) } else { Ok(moment) }
    }
}

impl History for Recent {
    fn head(&self) -> Asked<'_, Head> {
        Box::pin(async { Ok(*self.since(u64::MAX, true).await?.view.head()) })
    }

    fn hash_at(&self, revision: u64) -> Asked<'_, Option<Hash>> {
        Box::pin(async move {
            let hash = self.replica.tail().hash_at(revision);
            match self.oldest() {
                Some(oldest) if revision < oldest => Err(HistoryError::Compacted { oldest }),
                _ => Ok(hash),
            }
        })
    }

    fn record(&self, revision: u64) -> Asked<'_, Option<Bytes>> {
        Box::pin(async move {
            // The tail begins behind its base, whose own record it does not have.
            let oldest = self.oldest().unwrap_or(0).max(1);
            let before = revision.checked_sub(1).ok_or(HistoryError::Compacted { oldest })?;
            let moment = self.since(before, false).await?;
            let item = moment.items.first().filter(|item| item.head.revision == revision);
            Ok(item.map(|item| item.record.clone()))
        })
    }

    fn commits(&self, query: CommitsQuery) -> Asked<'_, CommitsPage> {
        Box::pin(async move {
            let clip = query.order == Order::Descending;
            self.since(query.after, clip).await?.commits(&query)
        })
    }

    fn revision_at(&self, at_ms: i64) -> Asked<'_, u64> {
        Box::pin(async move { self.since(0, true).await?.revision_at(at_ms) })
    }

    fn entry(&self, namespace: &str, key: &str, revision: u64) -> Asked<'_, Option<Entry>> {
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        Box::pin(async move { Ok(self.state(revision).await?.entry(&namespace, &key)) })
    }

    fn entries(&self, query: EntriesQuery) -> Asked<'_, EntriesPage> {
        Box::pin(async move { self.state(query.revision).await?.entries(&query) })
    }

    fn versions(&self, query: VersionsQuery) -> Asked<'_, VersionsPage> {
        Box::pin(async move { self.since(0, true).await?.versions(&query) })
    }

    fn diff(&self, query: DiffQuery) -> Asked<'_, DiffPage> {
        Box::pin(async move {
            self.state(query.from.max(query.to)).await?;
            Ok(self.state(query.from.min(query.to)).await?.diff(&query))
        })
    }

    fn last_change(&self, namespace: &str, key: Option<&str>, upto: u64) -> Asked<'_, u64> {
        let (namespace, key) = (namespace.to_owned(), key.map(str::to_owned));
        Box::pin(
            async move { self.since(0, true).await?.last_change(&namespace, key.as_deref(), upto) },
        )
    }
}
