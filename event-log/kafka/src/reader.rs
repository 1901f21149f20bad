//! A reader of the topic.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Batch, Identity, LogReader, ReadError, Seek};
use headwater_schemas::{Position, Record};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::blocking;
use crate::consumer::{Consumer, Event};
use crate::metrics;
use crate::settings::KafkaSettings;

/// A wait that is longer than a clock can count.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);

/// A reader of the topic. A seek takes a new consumer: fetches of the old place may still be under way in the
/// old one, and it would wait for them.
pub(crate) struct KafkaReader {
    identity: Identity,
    settings: Arc<KafkaSettings>,
    consumer: Arc<Consumer>,
    next: Position,
    started: bool,
    at_end: bool,
    /// Whether somebody has been told that it is at the end.
    told_end: bool,
    doubt: Option<Doubt>,
    /// Stays until the next seek: what follows is not what the reader was asked for.
    fault: Option<ReadError>,
    /// A question to the leader, under way.
    asking: Option<JoinHandle<Result<(Position, Position), KafkaError>>>,
}

/// What the leader is to be asked, once there is nothing left to read.
#[derive(Debug)]
enum Doubt {
    /// Is this the end? Asked again on the way there, because the word that it is comes only after a fetch that
    /// found nothing.
    CatchingUp {
        /// The end it gave last; on this side of it there is nothing to ask.
        goal: Option<Position>,
    },
    /// Are you there?
    Down(String),
}

impl KafkaReader {
    /// A reader at the oldest record.
    pub(crate) async fn open(
        identity: Identity,
        settings: Arc<KafkaSettings>,
    ) -> Result<Self, ReadError> {
        let opened = {
            let settings = Arc::clone(&settings);
            blocking(move || {
                let consumer = Consumer::new(&settings)?;
                let next = consumer.resolve(Seek::Oldest)?;
                Ok((Arc::new(consumer), next))
            })
        };
        let (consumer, next) = opened.await.map_err(|error| unavailable(&identity, &error))?;
        Ok(Self {
            identity,
            settings,
            consumer,
            next,
            started: false,
            at_end: false,
            told_end: false,
            doubt: Some(Doubt::CatchingUp { goal: None }),
            fault: None,
            asking: None,
        })
    }

    async fn batch(&mut self, wait: Duration, max_bytes: usize) -> Result<Batch, ReadError> {
        let deadline = Instant::now() + wait.min(FOR_EVER);
        self.start().await?;
        loop {
            // From here to the return nothing waits: a cancelled read has taken nothing.
            let records = self.drain(max_bytes);
            if !records.is_empty() {
                return Ok(self.give(records));
            }
            if let Some(fault) = &self.fault {
                return Err(fault.clone());
            }
            if self.at_end && !self.told_end {
                return Ok(self.give(Vec::new()));
            }
            self.ask();
            tokio::select! {
                biased;
                event = self.consumer.event() => {
                    let mut records = Vec::new();
                    self.note(event, &mut records);
                    if !records.is_empty() {
                        records.extend(self.drain(max_bytes.saturating_sub(bytes(&records))));
                        return Ok(self.give(records));
                    }
                }
                answer = answer(&mut self.asking) => self.answered(answer)?,
                () = tokio::time::sleep_until(deadline) => return self.nothing(),
            }
        }
    }

    /// Begins to fetch. Done late, so that a seek before the first read costs no second consumer.
    async fn start(&mut self) -> Result<(), ReadError> {
        if self.started {
            return Ok(());
        }
        let (consumer, next) = (Arc::clone(&self.consumer), self.next);
        let assigned = blocking(move || consumer.assign(next)).await;
        assigned.map_err(|error| unavailable(&self.identity, &error))?;
        self.started = true;
        Ok(())
    }

    /// Takes what is there, up to about `max_bytes`.
    fn drain(&mut self, max_bytes: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let mut left = max_bytes;
        while left > 0 || records.is_empty() {
            // What follows a fault is not what follows the last record.
            let ready = if self.fault.is_none() { self.consumer.ready() } else { None };
            let Some(event) = ready else { break };
            let before = records.len();
            self.note(event, &mut records);
            left = left.saturating_sub(bytes(&records[before..]));
        }
        records
    }

    fn note(&mut self, event: Event, records: &mut Vec<Record>) {
        match event {
            Event::Record(record) => {
                self.next = record.position.next();
                (self.at_end, self.told_end) = (false, false);
                if matches!(self.doubt, Some(Doubt::Down(_))) {
                    self.doubt = None;
                }
                records.push(record);
            }
            Event::End => {
                (self.at_end, self.doubt) = (true, None);
            }
            Event::Trouble(error) => self.trouble(&error),
        }
    }

    fn trouble(&mut self, error: &KafkaError) {
        let detail = self.consumer.last_error().unwrap_or_else(|| error.to_string());
        match error.rdkafka_error_code() {
            // One connection of several, or one that is made again by itself: its end is no news.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                tracing::debug!(log = %self.identity.place, detail, "a connection ended");
            }
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                metrics::error("read");
                self.fault = Some(ReadError::OutOfRange { position: self.next, detail });
            }
            Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage) => {
                metrics::error("read");
                self.fault = Some(ReadError::Corrupt(format!(
                    "{} at or behind offset {}: {detail}",
                    self.identity.place, self.next.0
                )));
            }
            _ => {
                metrics::error("read");
                self.at_end = false;
                self.doubt = Some(Doubt::Down(format!("{}: {detail}", self.identity.place)));
            }
        }
    }

    /// Asks the leader, if there is a doubt and no question under way.
    fn ask(&mut self) {
        let worth_it = match &self.doubt {
            None => false,
            Some(Doubt::Down(_)) => true,
            Some(Doubt::CatchingUp { goal }) => goal.is_none_or(|goal| self.next >= goal),
        };
        if worth_it && self.asking.is_none() {
            let consumer = Arc::clone(&self.consumer);
            self.asking = Some(tokio::task::spawn_blocking(move || consumer.bounds()));
        }
    }

    fn answered(
        &mut self,
        answer: Result<(Position, Position), KafkaError>,
    ) -> Result<(), ReadError> {
        match answer {
            Ok((_, end)) if end == self.next => {
                (self.at_end, self.doubt) = (true, None);
                Ok(())
            }
            Ok((_, end)) => {
                // Behind its answer already: the log has grown since.
                let goal = (end > self.next).then_some(end);
                self.doubt = Some(Doubt::CatchingUp { goal });
                Ok(())
            }
            Err(error) => {
                metrics::error("read");
                let detail = format!("{}: {error}", self.identity.place);
                self.at_end = false;
                self.doubt = Some(Doubt::Down(detail.clone()));
                Err(ReadError::Unavailable(detail))
            }
        }
    }

    fn give(&mut self, records: Vec<Record>) -> Batch {
        self.told_end = self.at_end;
        Batch { records, next: self.next, at_end: self.at_end }
    }

    fn nothing(&mut self) -> Result<Batch, ReadError> {
        match &self.doubt {
            Some(Doubt::Down(detail)) => Err(ReadError::Unavailable(detail.clone())),
            _ => Ok(self.give(Vec::new())),
        }
    }

    async fn go(&mut self, to: Seek) -> Result<Position, ReadError> {
        let (settings, consumer) = (Arc::clone(&self.settings), Arc::clone(&self.consumer));
        let found = blocking(move || {
            let next = consumer.resolve(to)?;
            let used = consumer.is_assigned();
            Ok((next, if used { Arc::new(Consumer::new(&settings)?) } else { consumer }))
        });
        let (next, consumer) = found.await.map_err(|error| unavailable(&self.identity, &error))?;
        (self.consumer, self.next, self.started) = (consumer, next, false);
        (self.at_end, self.told_end) = (false, false);
        self.doubt = Some(Doubt::CatchingUp { goal: None });
        (self.fault, self.asking) = (None, None);
        Ok(next)
    }

    async fn last(&self) -> Result<Position, ReadError> {
        let consumer = Arc::clone(&self.consumer);
        let bounds = blocking(move || consumer.bounds()).await;
        bounds.map(|(_, end)| end).map_err(|error| unavailable(&self.identity, &error))
    }
}

impl LogReader for KafkaReader {
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
        self.last().boxed()
    }
}

/// The answer to a question under way; for ever when there is none.
async fn answer(
    asking: &mut Option<JoinHandle<Result<(Position, Position), KafkaError>>>,
) -> Result<(Position, Position), KafkaError> {
    match asking {
        None => std::future::pending().await,
        Some(question) => {
            let answer = question.await.unwrap_or(Err(KafkaError::Canceled));
            *asking = None;
            answer
        }
    }
}

fn bytes(records: &[Record]) -> usize {
    // An empty record counts, so that a log of nothing else has bounded batches too.
    records.iter().map(|record| record.bytes.len().max(1)).sum()
}

fn unavailable(identity: &Identity, error: &KafkaError) -> ReadError {
    metrics::error("read");
    ReadError::Unavailable(format!("{}: {error}", identity.place))
}
