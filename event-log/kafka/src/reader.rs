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

use crate::asker::Asker;
use crate::client::blocking;
use crate::consumer::{Consumer, Event, is_no_news};
use crate::metrics;
use crate::settings::KafkaSettings;
use crate::standing::Standing;

/// A wait that is longer than a clock can count.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);

/// A reader of the topic. A seek takes a new consumer: fetches of the old place may still be under way in the
/// old one, and it would wait for them.
pub(crate) struct KafkaReader {
    identity: Identity,
    settings: Arc<KafkaSettings>,
    asker: Arc<Asker>,
    consumer: Arc<Consumer>,
    next: Position,
    started: bool,
    standing: Standing,
    /// Stays until the next seek: what follows is not what the reader was asked for.
    fault: Option<ReadError>,
    asking: Option<Question>,
}

/// A question to the leader, under way.
struct Question {
    /// Where the reader stood when it asked.
    asked: Position,
    answer: JoinHandle<Result<(Position, Position), KafkaError>>,
}

impl KafkaReader {
    /// A reader at the oldest record.
    pub(crate) async fn open(
        identity: Identity,
        settings: Arc<KafkaSettings>,
        asker: Arc<Asker>,
    ) -> Result<Self, ReadError> {
        let opened = async {
            let next = Arc::clone(&asker).resolve(Seek::Oldest).await?;
            Ok((next, fresh(&settings).await?))
        };
        let (next, consumer) = opened.await.map_err(|error| unavailable(&identity, &error))?;
        Ok(Self {
            identity,
            settings,
            asker,
            consumer,
            next,
            started: false,
            standing: Standing::unknown(),
            fault: None,
            asking: None,
        })
    }

    async fn batch(&mut self, wait: Duration, max_bytes: usize) -> Result<Batch, ReadError> {
        let deadline = Instant::now() + wait.min(FOR_EVER);
        self.start().await?;
        loop {
            // Nothing waits between a record taken and the return: a cancelled read has taken nothing.
            let mut records = Vec::new();
            self.drain(&mut records, max_bytes);
            if !records.is_empty() {
                return Ok(self.give(records));
            }
            if let Some(fault) = &self.fault {
                return Err(fault.clone());
            }
            if self.standing.is_news() {
                return Ok(self.give(Vec::new()));
            }
            self.ask();
            tokio::select! {
                biased;
                event = self.consumer.event() => {
                    self.note(event, &mut records);
                    if !records.is_empty() {
                        self.drain(&mut records, max_bytes);
                        return Ok(self.give(records));
                    }
                }
                (asked, answer) = answer(&mut self.asking) => self.answered(asked, answer)?,
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

    /// Takes what is there, until `records` holds about `max_bytes`; at least one.
    fn drain(&mut self, records: &mut Vec<Record>, max_bytes: usize) {
        let mut left = max_bytes.saturating_sub(bytes(records));
        let consumer = Arc::clone(&self.consumer);
        let mut ready = consumer.ready();
        // What follows a fault is not what follows the last record.
        while self.fault.is_none() && (left > 0 || records.is_empty()) {
            let Some(event) = ready.next() else { break };
            let before = records.len();
            self.note(event, records);
            left = left.saturating_sub(bytes(&records[before..]));
        }
    }

    fn note(&mut self, event: Event, records: &mut Vec<Record>) {
        match event {
            Event::Record(record) => {
                self.next = record.position.next();
                self.standing.record();
                records.push(record);
            }
            Event::End => self.standing.end(),
            Event::Trouble(error) => self.trouble(&error),
        }
    }

    fn trouble(&mut self, error: &KafkaError) {
        let detail = self.consumer.last_error().unwrap_or_else(|| error.to_string());
        match error.rdkafka_error_code() {
            Some(code) if is_no_news(code) => {
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
                self.standing.lost(format!("{}: {detail}", self.identity.place));
            }
        }
    }

    /// Asks the leader, if there is a doubt and no question under way.
    fn ask(&mut self) {
        if self.asking.is_none() && self.standing.asks(self.next) {
            let answer = tokio::spawn(Arc::clone(&self.asker).bounds());
            self.asking = Some(Question { asked: self.next, answer });
        }
    }

    fn answered(
        &mut self,
        asked: Position,
        answer: Result<(Position, Position), KafkaError>,
    ) -> Result<(), ReadError> {
        match answer {
            Ok((_, end)) => {
                self.standing.answered(asked, self.next, end);
                Ok(())
            }
            Err(error) => {
                metrics::error("read");
                let detail = format!("{}: {error}", self.identity.place);
                self.standing.lost(detail.clone());
                Err(ReadError::Unavailable(detail))
            }
        }
    }

    fn give(&mut self, records: Vec<Record>) -> Batch {
        self.standing.told();
        Batch { records, next: self.next, at_end: self.standing.at_end() }
    }

    fn nothing(&mut self) -> Result<Batch, ReadError> {
        match self.standing.down() {
            Some(detail) => Err(ReadError::Unavailable(detail.to_owned())),
            None => Ok(self.give(Vec::new())),
        }
    }

    async fn go(&mut self, to: Seek) -> Result<Position, ReadError> {
        let found = async {
            let next = Arc::clone(&self.asker).resolve(to).await?;
            let used = self.consumer.is_assigned();
            Ok((next, if used { Some(fresh(&self.settings).await?) } else { None }))
        };
        let (next, consumer) = found.await.map_err(|error| unavailable(&self.identity, &error))?;
        if let Some(consumer) = consumer {
            self.consumer = consumer;
        }
        (self.next, self.started) = (next, false);
        self.standing = Standing::unknown();
        (self.fault, self.asking) = (None, None);
        Ok(next)
    }

    async fn last(&self) -> Result<Position, ReadError> {
        let bounds = Arc::clone(&self.asker).bounds().await;
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

/// A new consumer. Its threads take a moment to start.
async fn fresh(settings: &Arc<KafkaSettings>) -> Result<Arc<Consumer>, KafkaError> {
    let settings = Arc::clone(settings);
    blocking(move || Consumer::new(&settings).map(Arc::new)).await
}

/// The answer to a question under way, and where it was asked; for ever when there is none.
async fn answer(
    asking: &mut Option<Question>,
) -> (Position, Result<(Position, Position), KafkaError>) {
    let Some(question) = asking else { return std::future::pending().await };
    let answer = (&mut question.answer).await.unwrap_or(Err(KafkaError::Canceled));
    let asked = question.asked;
    *asking = None;
    (asked, answer)
}

fn bytes(records: &[Record]) -> usize {
    // An empty record counts, so that a log of nothing else has bounded batches too.
    records.iter().map(|record| record.bytes.len().max(1)).sum()
}

fn unavailable(identity: &Identity, error: &KafkaError) -> ReadError {
    metrics::error("read");
    ReadError::Unavailable(format!("{}: {error}", identity.place))
}
