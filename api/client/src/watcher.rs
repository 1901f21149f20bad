//! A watch that goes on: over the next connection, behind what it has.

use std::time::Duration;

use headwater_api::{Code, CommitBody, HeartbeatBody};

use crate::watch::WatchStream;
use crate::{Backoff, Client, ClientError, WatchEvent, WatchQuery};

/// The waits between tries to connect again.
const RETRY_BASE: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(5);

/// What a watcher tells.
#[derive(Debug, Clone)]
pub enum Watched {
    /// A commit with the matching changes only: every one once, in order.
    Commit(CommitBody),
    /// The server is there, and this is its head. Comes first of all, and first behind every [`Watched::Lost`].
    Heartbeat(HeartbeatBody),
    /// The connection broke, or none came about; it goes on by itself, behind what it has.
    Lost(ClientError),
}

/// A watch over as many connections as it takes, each behind what the one before it had sent. Of one stream: where
/// another one answers it ends.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    query: WatchQuery,
    stream: Option<WatchStream>,
    backoff: Backoff,
    /// The wait before the next try.
    wait: Option<Duration>,
}

impl Client {
    /// A watch that connects again by itself. Nothing is sent before the first [`Watcher::next`].
    pub fn watcher(&self, query: WatchQuery) -> Watcher {
        let (client, backoff) = (self.clone(), self.backoff_of(RETRY_BASE, RETRY_CAP));
        Watcher { client, query, stream: None, backoff, wait: None }
    }
}

impl Watcher {
    /// The revision up to which everything was told; none before the first answer of a watch that began at the head.
    pub fn sent(&self) -> Option<u64> {
        self.query.after
    }

    /// What comes next.
    ///
    /// # Errors
    /// What no other try can mend: `revision_compacted`, `wrong_stream`, a request that is refused.
    ///
    /// # Cancel safety
    /// A cancelled call loses nothing.
    pub async fn next(&mut self) -> Result<Watched, ClientError> {
        let lost = match self.event().await {
            Ok(WatchEvent::Commit(commit)) => {
                self.query.after = Some(commit.revision);
                return Ok(Watched::Commit(commit));
            }
            Ok(WatchEvent::Heartbeat { sent, head }) => {
                self.query.after = Some(sent);
                self.backoff = self.client.backoff_of(RETRY_BASE, RETRY_CAP);
                return Ok(Watched::Heartbeat(head));
            }
            Ok(WatchEvent::End(problem)) => ClientError::Problem(problem),
            Err(error) => error,
        };
        // Who was cut off as too slow begins again where it was: only a refusal at the start is final.
        let was_open = self.stream.take().is_some();
        let goes_on =
            lost.is_retryable() || (was_open && lost.code() == Some(Code::RevisionCompacted));
        if !goes_on {
            return Err(lost);
        }
        self.wait = self.backoff.next();
        Ok(Watched::Lost(lost))
    }

    async fn event(&mut self) -> Result<WatchEvent, ClientError> {
        if let Some(wait) = self.wait {
            tokio::time::sleep(wait).await;
            self.wait = None;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let opened = self.client.watch(&self.query).await?;
                self.query.stream = Some(opened.stream_id());
                self.stream.insert(opened)
            }
        };
        stream.next().await
    }
}
