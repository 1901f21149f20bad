//! A reader of the table, from its beginning: what was committed, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{ReadError, TableBatch, TableReader};
use headwater_schemas::Position;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::time::Instant;

use crate::client::Context;
use crate::consumer::{Consumer, Event, consumer_config, is_no_news, position};
use crate::metrics;
use crate::settings::KafkaSettings;

/// One record.
#[derive(Debug)]
pub(crate) struct Read {
    position: Position,
    key: Bytes,
    value: Option<Bytes>,
}

/// A reader of the table.
pub(crate) struct KafkaTableReader {
    place: String,
    consumer: Arc<Consumer<Read>>,
    next: Position,
    /// Behind the last record that was there when the reader was opened.
    end: Position,
    at_end: bool,
    fault: Option<ReadError>,
}

impl KafkaTableReader {
    /// Makes one that begins at the first of `bounds`. Blocks for a moment; needs a runtime's context.
    pub(crate) fn open(
        place: String,
        settings: &KafkaSettings,
        (next, end): (Position, Position),
    ) -> KafkaResult<Self> {
        let mut config = consumer_config(settings);
        config
            .set("isolation.level", "read_committed")
            // The end of a topic that ends in a transaction's mark is told of only after a fetch that waited in vain.
            .set("fetch.wait.max.ms", "50");
        let consumer = Consumer::of(&config, Context::new(settings), settings.table_topic(), take)?;
        let consumer = Arc::new(consumer);
        consumer.assign(next)?;
        Ok(Self { place, consumer, next, end, at_end: next >= end, fault: None })
    }

    async fn batch(&mut self, wait: Duration, max_bytes: usize) -> Result<TableBatch, ReadError> {
        let deadline = Instant::now() + wait;
        // Nothing waits between a record taken and the return: a cancelled read has taken nothing.
        let mut records = Vec::new();
        let told = self.at_end;
        loop {
            self.drain(&mut records, max_bytes);
            if !records.is_empty() || (self.at_end && !told) {
                return Ok(TableBatch { records, at_end: self.at_end });
            }
            if let Some(fault) = self.fault.clone() {
                return Err(fault);
            }
            tokio::select! {
                biased;
                event = self.consumer.event() => self.note(event, &mut records),
                () = tokio::time::sleep_until(deadline) => {
                    return Ok(TableBatch { records, at_end: self.at_end });
                }
            }
            if !records.is_empty() {
                self.drain(&mut records, max_bytes);
                return Ok(TableBatch { records, at_end: self.at_end });
            }
        }
    }

    fn drain(&mut self, records: &mut Vec<(Bytes, Option<Bytes>)>, max_bytes: usize) {
        let mut left = max_bytes.saturating_sub(bytes(records));
        let consumer = Arc::clone(&self.consumer);
        let mut ready = consumer.ready();
        while self.fault.is_none() && (left > 0 || records.is_empty()) {
            let Some(event) = ready.next() else { break };
            let before = records.len();
            self.note(event, records);
            left = left.saturating_sub(bytes(&records[before..]));
        }
    }

    fn note(&mut self, event: Event<Read>, records: &mut Vec<(Bytes, Option<Bytes>)>) {
        match event {
            Event::Record(read) => {
                self.next = read.position.next();
                self.at_end |= self.next >= self.end;
                records.push((read.key, read.value));
            }
            Event::End => self.at_end = true,
            Event::Trouble(error) => self.trouble(&error),
        }
    }

    fn trouble(&mut self, error: &KafkaError) {
        let detail = self.consumer.last_error().unwrap_or_else(|| error.to_string());
        self.fault = match error.rdkafka_error_code() {
            Some(code) if is_no_news(code) => return,
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Some(ReadError::OutOfRange { position: self.next, detail })
            }
            Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage) => {
                let at = self.next.0;
                Some(ReadError::Corrupt(format!(
                    "{} at or behind offset {at}: {detail}",
                    self.place
                )))
            }
            _ => Some(ReadError::Unavailable(format!("{}: {detail}", self.place))),
        };
        metrics::error("read");
    }
}

impl TableReader for KafkaTableReader {
    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<TableBatch, ReadError>> {
        self.batch(wait, max_bytes).boxed()
    }
}

fn take(message: &BorrowedMessage<'_>) -> Read {
    Read {
        position: position(message.offset()),
        key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
        value: message.payload().map(Bytes::copy_from_slice),
    }
}

fn bytes(records: &[(Bytes, Option<Bytes>)]) -> usize {
    records.iter().map(|(key, value)| 1 + key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
}
