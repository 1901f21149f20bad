//! Who answers a question about the past: the replica's tail as far as it reaches, then whoever keeps history.

use std::time::Duration;

use headwater_api::{At, Problem, Time};
use headwater_replica::{Asked, CommitsPage, CommitsQuery, History, HistoryError, Order, View};
use headwater_schemas::{Change, Commit, Hash};
use tokio::time::Instant;

use crate::relay::Desk;

/// How long history that is ahead of this server's replica, or behind it, is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two looks at history that is behind: it gathers commits for about so long.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Desk {
    /// Asks the tail, and history about what has left it. `needed` is the revision that history must have reached, and
    /// the one that a refusal names.
    pub(crate) async fn ask<T>(
        &self,
        needed: u64,
        question: impl for<'h> Fn(&'h dyn History) -> Asked<'h, T>,
    ) -> Result<T, Problem> {
        match question(&self.recent).await {
            Err(HistoryError::Compacted { oldest }) => match &self.relay.history {
                None => Err(self.left_the_tail(needed, oldest)),
                Some(_) => self.ask_history(needed, question).await,
            },
            answer => answer.map_err(|error| refused(&error, needed)),
        }
    }

    /// Asks history alone.
    pub(crate) async fn ask_history<T>(
        &self,
        needed: u64,
        question: impl for<'h> Fn(&'h dyn History) -> Asked<'h, T>,
    ) -> Result<T, Problem> {
        let (history, _) = self.history(needed).await?;
        question(history).await.map_err(|error| refused(&error, needed))
    }

    /// History that has reached a revision and stands on the same chain as this server, and how far it is.
    pub(crate) async fn history(&self, needed: u64) -> Result<(&dyn History, u64), Problem> {
        let Some(history) = self.relay.history.as_deref() else {
            let oldest = self.recent.oldest().unwrap_or(0);
            return Err(self.left_the_tail(needed, oldest));
        };
        let patience = Instant::now() + PATIENCE;
        loop {
            let held = self.check(history).await?;
            if held >= needed {
                return Ok((history, held));
            }
            if Instant::now() >= patience {
                return Err(behind(held));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The revision up to which history stands on the same chain as this server.
    async fn check(&self, history: &dyn History) -> Result<u64, Problem> {
        let held = history.head().await.map_err(|error| refused(&error, 0))?;
        // Both read the same log, so one may be ahead of the other for a moment.
        let replica = &self.relay.replica;
        let _ = tokio::time::timeout(PATIENCE, replica.wait_for(held.revision)).await;
        match replica.hash_at(held.revision) {
            Some(hash) if hash == held.hash => Ok(held.revision),
            Some(_) => Err(Problem::not_ready(
                "the history that is asked belongs to another chain: a person must look",
            )),
            None => Err(behind(held.revision)),
        }
    }

    /// The revision that `at` means in a chain whose head is `view`'s.
    pub(crate) async fn revision_of(&self, at: At, view: &View) -> Result<u64, Problem> {
        let head = view.head();
        match at {
            At::Revision(revision) if revision > head.revision => {
                Err(Problem::revision_in_future(revision, head.revision))
            }
            At::Revision(revision) => Ok(revision),
            At::Time(Time(at_ms)) if at_ms >= head.at_ms => Ok(head.revision),
            At::Time(Time(at_ms)) => {
                let needed = self.recent.oldest().unwrap_or(0);
                let revision = self.ask(needed, |history| history.revision_at(at_ms)).await?;
                Ok(revision.min(head.revision))
            }
        }
    }

    /// A page of commits: from the tail and from history as the question goes, on from the one to the other while there is
    /// room.
    pub(crate) async fn commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem> {
        let mut page = self.some_commits(query).await?;
        let bytes: usize = page.commits.iter().map(|(_, commit)| size(commit)).sum();
        let room = CommitsQuery {
            limit: query.limit.saturating_sub(page.commits.len()),
            max_bytes: query.max_bytes.saturating_sub(bytes),
            ..query.clone()
        };
        let rest = room.rest(page.scanned_to).filter(|rest| rest.limit > 0 && rest.max_bytes > 0);
        let Some(rest) = rest else { return Ok(page) };
        match self.some_commits(&rest).await {
            Ok(more) => {
                page.commits.extend(more.commits);
                page.scanned_to = more.scanned_to;
                Ok(page)
            }
            // What was found is a page; the next one tells what is wrong.
            Err(_) if !page.commits.is_empty() => Ok(page),
            Err(problem) => Err(problem),
        }
    }

    async fn some_commits(&self, query: &CommitsQuery) -> Result<CommitsPage, Problem> {
        let recent = self.recent.commits(query.clone()).await;
        let needed = match recent {
            Err(HistoryError::Compacted { .. }) if self.relay.history.is_some() => {
                self.needed(query)
            }
            Err(HistoryError::Compacted { oldest }) => {
                return Err(self.left_the_tail(query.after, oldest));
            }
            answer => return answer.map_err(|error| refused(&error, query.after)),
        };
        let (history, held) = self.history(needed).await?;
        let query = CommitsQuery { upto: query.upto.min(held), ..query.clone() };
        history.commits(query.clone()).await.map_err(|error| refused(&error, query.after))
    }

    /// What history must have reached for a page: the tail goes on with the rest of an ascending one.
    fn needed(&self, query: &CommitsQuery) -> u64 {
        match query.order {
            Order::Ascending => self.recent.oldest().unwrap_or(query.upto).min(query.upto),
            Order::Descending => query.upto,
        }
    }

    /// The chain hash at a revision that left the tail; none when history cannot tell.
    pub(crate) async fn hash_in_history(&self, revision: u64) -> Option<Hash> {
        let history = self.relay.history.as_deref()?;
        let held = self.check(history).await.ok()?;
        if revision > held {
            return None;
        }
        history.hash_at(revision).await.ok()?
    }

    /// What is no longer, or not yet, in this server's memory, where nobody keeps history.
    fn left_the_tail(&self, revision: u64, oldest: u64) -> Problem {
        let problem = Problem::revision_compacted(revision, oldest);
        let is_whole = self.view().is_ok_and(|view| view.whole_at() >= oldest);
        if is_whole {
            return problem;
        }
        let detail = format!(
            "this server keeps no history and knows nothing before revision {oldest}; ask one with a snapshotter, or start \
             this one with --history-url"
        );
        Problem { detail, ..problem }
    }
}

/// About what a commit's record takes, in bytes.
fn size(commit: &Commit) -> usize {
    let values = commit.changes.iter().map(|change| match change {
        Change::Put { value, .. } => value.len(),
        Change::Delete { .. } => 0,
    });
    values.sum::<usize>() + 256
}

fn behind(held: u64) -> Problem {
    Problem::not_ready(&format!("history is at revision {held} and catches up"))
}

fn refused(error: &HistoryError, revision: u64) -> Problem {
    match error {
        HistoryError::Unavailable(why) => {
            Problem::not_ready(&format!("history cannot be had now: {why}"))
        }
        HistoryError::Compacted { oldest } => Problem::revision_compacted(revision, *oldest),
    }
}
