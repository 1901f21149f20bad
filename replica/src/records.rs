//! The records of a server, as a log that is read: what an audit takes where it cannot reach the log itself.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use headwater_api::Code;
use headwater_client::{Client, ClientError};
use headwater_log::{Batch, Identity, LogReader, ReadError, Seek};
use headwater_schemas::{Position, Record};

/// How many records are asked for at once: each costs a way to the server and back.
const AT_ONCE: usize = 32;
/// The most records of one read.
const MOST: u64 = 1_024;
/// How often a server is asked whether something came.
const POLL: Duration = Duration::from_millis(200);

/// Reads the chain of a server over HTTP, record by record, from its genesis to its head. A record's position is its
/// revision; when it was appended the server does not tell, so that is 0.
#[derive(Debug)]
pub struct RecordReader {
    client: Client,
    identity: Identity,
    next: u64,
    /// The position behind the server's head, as it was asked last.
    end: u64,
}

impl RecordReader {
    /// A reader at the genesis. Asks nothing yet.
    pub fn new(client: Client) -> Self {
        let place = client.url().to_owned();
        let identity = Identity { kind: "http", place, cluster_id: None };
        Self { client, identity, next: 0, end: 0 }
    }

    async fn ask_end(&mut self) -> Result<u64, ReadError> {
        let status = self.client.status().await.map_err(|error| unread(0, &error))?;
        self.end = status.revision.saturating_add(1);
        Ok(self.end)
    }

    async fn batch(&mut self, wait: Duration, max_bytes: usize) -> Result<Batch, ReadError> {
        let deadline = tokio::time::Instant::now() + wait;
        while self.next >= self.end {
            let end = self.ask_end().await?;
            if self.next > end {
                let (position, detail) = (Position(self.next), format!("it ends at {end}"));
                return Err(ReadError::OutOfRange { position, detail });
            }
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if self.next < end || left.is_zero() {
                break;
            }
            tokio::time::sleep(POLL.min(left)).await;
        }
        let records = self.records(max_bytes).await?;
        // Nothing waits behind this: a cancelled read has taken nothing.
        self.next += records.len() as u64;
        let at_end = self.next >= self.end;
        Ok(Batch { records, next: Position(self.next), at_end })
    }

    async fn records(&self, max_bytes: usize) -> Result<Vec<Record>, ReadError> {
        let upto = self.end.min(self.next.saturating_add(MOST));
        let mut asked = futures::stream::iter(self.next..upto)
            .map(|revision| self.record(revision))
            .buffered(AT_ONCE);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < max_bytes.max(1) {
            let Some(record) = asked.next().await else { break };
            let record = record?;
            bytes += record.bytes.len().max(1);
            records.push(record);
        }
        Ok(records)
    }

    async fn record(&self, revision: u64) -> Result<Record, ReadError> {
        let bytes =
            self.client.record_at(revision).await.map_err(|error| unread(revision, &error))?;
        Ok(Record { position: Position(revision), appended_at_ms: 0, bytes })
    }

    async fn go(&mut self, to: Seek) -> Result<Position, ReadError> {
        self.next = match to {
            Seek::Oldest => 0,
            Seek::Newest => self.ask_end().await?,
            Seek::At(position) => position.0,
            // When it was appended is not told: from the beginning nothing is missed.
            Seek::BeforeTime(_) => 0,
        };
        Ok(Position(self.next))
    }
}

fn unread(revision: u64, error: &ClientError) -> ReadError {
    let detail = error.to_string();
    match error.code() {
        Some(Code::RevisionCompacted | Code::RevisionInFuture) => {
            ReadError::OutOfRange { position: Position(revision), detail }
        }
        _ => ReadError::Unavailable(detail),
    }
}

impl LogReader for RecordReader {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        self.batch(wait, max_bytes).boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.go(to).boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        async { self.ask_end().await.map(Position) }.boxed()
    }
}
