//! What a watcher needs and the tail no longer has, asked of history.

use headwater_api::Problem;
use headwater_replica::{CommitsPage, CommitsQuery, HistoryError};
use headwater_schemas::{Change, Entry};

use super::filter::Filter;
use crate::relay::Desk;

/// How many commits one look into history gives at most.
const COMMITS: usize = 256;

impl Desk {
    /// Commits after a revision that left the tail, as far as history is, and as many as one send takes.
    pub(super) async fn past(&self, after: u64, filter: &Filter) -> Result<CommitsPage, Problem> {
        let (history, held) = self.history(after.saturating_add(1)).await?;
        let (namespace, prefix) = filter.narrowest();
        let query = CommitsQuery {
            after,
            upto: held,
            namespace,
            prefix,
            limit: COMMITS,
            max_bytes: self.relay.settings.send_bytes,
            ..CommitsQuery::default()
        };
        let page = history.commits(query).await.map_err(|error| match error {
            HistoryError::Unavailable(why) => Problem::not_ready(&why),
            HistoryError::Compacted { oldest } => Problem::revision_compacted(after, oldest),
        })?;
        if page.scanned_to <= after {
            return Err(Problem::not_ready("history does not get any further"));
        }
        Ok(page)
    }

    /// The entry that a change of a commit in history replaced or removed.
    pub(super) async fn entry_before(
        &self,
        revision: u64,
        change: &Change,
    ) -> Result<Option<Entry>, Problem> {
        let before = revision.saturating_sub(1);
        let (namespace, key) = (change.namespace().as_str(), change.key().as_str());
        self.ask_history(revision, |history| history.entry(namespace, key, before)).await
    }
}
