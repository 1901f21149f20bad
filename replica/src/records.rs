//! The records of a server, as a log that is read: what an audit takes where it cannot reach the log itself.
//!
//! ```text
//! genesis … oldest of the server's tail   a request each, some at once
//!           oldest … head                 one stream of frames, which carry the records as stored
//! ```

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use headwater_api::{Code, Frame, Problem};
use headwater_client::{Client, ClientError, FrameStream};
use headwater_log::{Batch, Identity, LogReader, ReadError, Seek};
use headwater_schemas::{Frozen, Hash, Position, Record};

/// How many records are asked for at once: each costs a way to the server and back.
const AT_ONCE: usize = 32;
/// The most records of one read.
const MOST: u64 = 1_024;
/// How often a server is asked whether something came.
const POLL: Duration = Duration::from_millis(200);

/// Reads the chain of a server over HTTP, from its genesis to its head. A record's position is its revision; where the
/// server does not tell when it was appended, that is 0.
#[derive(Debug)]
pub struct RecordReader {
    client: Client,
    identity: Identity,
    next: u64,
    /// The position behind the server's head, as it was asked last.
    end: u64,
    /// The hash of the record before `next`, if it was read: a stream begins behind it.
    before: Option<Hash>,
    stream: Option<FrameStream>,
    /// The server streams what comes after this revision, as far as we know; what comes before is asked for one by one. None
    /// where it does not stream.
    streams_after: Option<u64>,
    /// What the current read has taken so far: the next one goes on with it if this one is cancelled.
    taken: Vec<Record>,
}

impl RecordReader {
    /// A reader at the genesis. Asks nothing yet.
    pub fn new(client: Client) -> Self {
        let place = client.url().to_owned();
        let identity = Identity { kind: "http", place, cluster_id: None };
        Self {
            client,
            identity,
            next: 0,
            end: 0,
            before: None,
            stream: None,
            streams_after: Some(0),
            taken: Vec::new(),
        }
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
        if self.next < self.end && !self.streamed(max_bytes).await {
            self.taken = self.singly(max_bytes).await?;
        }
        // Nothing waits behind this: a cancelled read has taken nothing.
        let records = std::mem::take(&mut self.taken);
        if let Some(last) = records.last() {
            self.next = last.position.0 + 1;
            self.before = Some(Hash::of(&last.bytes));
        }
        let at_end = self.next >= self.end;
        Ok(Batch { records, next: Position(self.next), at_end })
    }

    /// Takes records from the stream; false where it gives none, and they must be asked for.
    async fn streamed(&mut self, max_bytes: usize) -> bool {
        if self.stream.is_none() {
            self.stream = self.open().await;
        }
        let Some(stream) = &mut self.stream else { return false };
        let mut bytes: usize = self.taken.iter().map(|record| record.bytes.len()).sum();
        while bytes < max_bytes.max(1) {
            let next = self.next + self.taken.len() as u64;
            if next >= self.end {
                break;
            }
            let ended = match stream.next().await {
                Ok(Frame::Commit { record, appended_at_ms, .. }) if is_of(&record, next) => {
                    bytes += record.len().max(1);
                    let position = Position(next);
                    self.taken.push(Record { position, appended_at_ms, bytes: record });
                    continue;
                }
                Ok(Frame::Heartbeat { .. }) => continue,
                Ok(Frame::End { problem }) => Some(problem),
                Ok(_) | Err(_) => None,
            };
            // Too slow for the server's tail, or the server went away: requests say which. A stream that gives nothing
            // at all (something in between may hold it back) is not tried again.
            let again = (!self.taken.is_empty()).then_some(next);
            self.streams_after = ended.as_ref().and_then(oldest).or(again);
            self.stream = None;
            break;
        }
        !self.taken.is_empty()
    }

    /// A stream behind what was read, where the server gives one.
    async fn open(&mut self) -> Option<FrameStream> {
        let from = self.streams_after?;
        let after = self.next.checked_sub(1).filter(|after| *after >= from)?;
        match self.client.stream(after, self.before?, None).await {
            Ok(stream) => Some(stream),
            Err(ClientError::Problem(problem)) => {
                // A server that does not stream is asked record by record.
                self.streams_after = oldest(&problem);
                None
            }
            Err(_) => None,
        }
    }

    /// Where the records that are asked for one by one end: at the first that a stream may begin with, as far as we know.
    fn singly_upto(&self) -> u64 {
        let most = self.end.min(self.next.saturating_add(MOST));
        match (self.before, self.streams_after) {
            // Of the record before a stream the hash must be known.
            (None, Some(_)) => most.min(self.next.saturating_add(1)),
            (Some(_), Some(after)) if after >= self.next => most.min(after.saturating_add(1)),
            _ => most,
        }
    }

    async fn singly(&self, max_bytes: usize) -> Result<Vec<Record>, ReadError> {
        let mut asked = futures::stream::iter(self.next..self.singly_upto())
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
        (self.before, self.stream, self.streams_after) = (None, None, Some(0));
        self.taken.clear();
        Ok(Position(self.next))
    }
}

/// Whether a record is what comes next; whether it counts is its reader's to say.
fn is_of(record: &Bytes, revision: u64) -> bool {
    Frozen::read(record).is_ok_and(|frozen| frozen.revision == revision)
}

/// The revision after which a server streams, where it says so.
fn oldest(problem: &Problem) -> Option<u64> {
    problem.number("oldest_revision")
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
