//! From which state a read is answered.

use std::sync::Arc;
use std::time::Duration;

use headwater_api::{At, Cursor, Problem, TimeError};
use headwater_replica::View;
use headwater_schemas::StreamId;
use headwater_server::{Wait, stamp};
use http::HeaderMap;

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

    /// The state at `at`; the head when nothing is asked.
    pub(crate) async fn state_at(&self, at: Option<At>) -> Result<State, Problem> {
        let view = self.view()?;
        let Some(at) = at else { return Ok(State::Now(view)) };
        let revision = self.revision_of(at, &view).await?;
        Ok(Self::state(view, revision))
    }

    fn state(view: Arc<View>, revision: u64) -> State {
        if revision == view.revision() {
            return State::Now(view);
        }
        State::Then { revision, stream_id: view.head().stream_id }
    }

    /// The state that a cursor's page shows.
    pub(crate) fn state_of(&self, cursor: &Cursor) -> Result<State, Problem> {
        match self.cursors.get(cursor.revision) {
            Some(kept) => Ok(State::Now(kept)),
            None => Ok(Self::state(self.view()?, cursor.revision)),
        }
    }
}

/// The state that a read is answered from.
#[derive(Debug)]
pub(crate) enum State {
    /// One that this server holds whole: the head, or one that is kept for a cursor.
    Now(Arc<View>),
    /// One of the past.
    Then {
        /// Its revision.
        revision: u64,
        /// Its stream.
        stream_id: StreamId,
    },
}

impl State {
    pub(crate) fn revision(&self) -> u64 {
        match self {
            Self::Now(view) => view.revision(),
            Self::Then { revision, .. } => *revision,
        }
    }

    pub(crate) fn stream_id(&self) -> StreamId {
        match self {
            Self::Now(view) => view.head().stream_id,
            Self::Then { stream_id, .. } => *stream_id,
        }
    }

    /// The headers that every answer from it has.
    pub(crate) fn stamped(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        stamp(&mut headers, self.revision(), self.stream_id());
        headers
    }
}

/// The text of `at`, read; empty counts as absent.
pub(crate) fn at(name: &str, text: &str) -> Result<Option<At>, Problem> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|error: TimeError| Problem::invalid_request(format!("{name}: {error}")))
    };
    (!text.is_empty()).then(|| parse(text)).transpose()
}
