//! From which state a read is answered.

use std::sync::Arc;
use std::time::Duration;

use headwater_api::{At, Problem, Time};
use headwater_replica::View;
use headwater_server::Wait;

use crate::relay::Desk;

/// How long `min_revision` waits when no timeout is given.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Consistency {
    /// As this server knows it.
    #[default]
    Local,
    /// With every write acknowledged before the read began, by any replica.
    Linearizable,
}

impl Desk {
    /// The state now.
    pub(crate) fn view(&self) -> Result<Arc<View>, Problem> {
        self.relay.replica.view().ok_or_else(|| {
            let why = self.relay.replica.status().last_error;
            let why = why.unwrap_or_else(|| "this server has no state yet".into());
            Problem::not_ready(&why)
        })
    }

    /// Waits until this server has applied `revision`.
    pub(crate) async fn reach(&self, revision: u64, wait: Option<Wait>) -> Result<(), Problem> {
        let wait = wait.map_or(DEFAULT_WAIT, |wait| wait.0);
        let reached = tokio::select! {
            reached = tokio::time::timeout(wait, self.relay.replica.wait_for(revision)) => reached,
            () = self.relay.shutdown.cancelled() => return Err(Problem::shutting_down()),
        };
        match reached {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Problem::shutting_down()),
            Err(_) => {
                let at = self.relay.replica.view().map_or(0, |view| view.revision());
                Err(Problem::revision_not_reached(revision, at))
            }
        }
    }

    /// Makes sure of `consistency` before a read.
    pub(crate) async fn fresh(&self, consistency: Consistency) -> Result<(), Problem> {
        match (consistency, &self.relay.linearize) {
            (Consistency::Local, _) => Ok(()),
            (Consistency::Linearizable, Some(linearize)) => linearize().await,
            (Consistency::Linearizable, None) => Err(Problem::log_unavailable(
                "this server only reads, and cannot make sure that it has read everything; ask a server that writes",
            )),
        }
    }

    /// The state at `at`; the head when nothing is asked. States of the past are not served here: only the head by
    /// its revision or by a time at or after its commit.
    pub(crate) fn view_at(&self, at: Option<At>) -> Result<Arc<View>, Problem> {
        let view = self.view()?;
        let head = view.head();
        match at {
            None => Ok(view),
            Some(At::Revision(revision)) if revision == head.revision => Ok(view),
            Some(At::Time(Time(at_ms))) if at_ms >= head.at_ms => Ok(view),
            Some(At::Revision(revision)) if revision > head.revision => {
                Err(Problem::revision_in_future(revision, head.revision))
            }
            Some(_) => Err(Problem::invalid_request(format!(
                "at: this server serves the state at the head only (revision {}), not yet older ones; leave out at",
                head.revision
            ))),
        }
    }
}
