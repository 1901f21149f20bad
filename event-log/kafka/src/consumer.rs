//! A consumer of the one partition: assigned once, at a place of our choosing, in nobody's group.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::{FutureExt, StreamExt};
use headwater_schemas::{Position, Record};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset, Timestamp, TopicPartitionList};

use crate::client::{Context, bury, config};
use crate::settings::KafkaSettings;

/// The one partition of a log.
pub(crate) const PARTITION: i32 = 0;

/// What a consumer had to say.
#[derive(Debug)]
pub(crate) enum Event<T = Record> {
    Record(T),
    /// Everything up to the end has been given.
    End,
    Trouble(KafkaError),
}

/// A consumer. Its messages wake the task that waits for them directly, from librdkafka's own thread, so no
/// other thread stands in the way of a record.
pub(crate) struct Consumer<T = Record> {
    /// Present until it is dropped.
    client: Option<StreamConsumer<Context>>,
    topic: String,
    /// A second assignment of a consumer may show records of the first; so there is only one.
    assigned: AtomicBool,
    /// What is taken of a message.
    take: fn(&BorrowedMessage<'_>) -> T,
}

impl Consumer {
    /// Makes one of the log. Needs a runtime's context.
    pub(crate) fn new(settings: &KafkaSettings) -> KafkaResult<Self> {
        let context = Context::new(settings);
        Self::of(&consumer_config(settings), context, settings.topic(), record)
    }
}

impl<T> Consumer<T> {
    /// Makes one of any topic. Needs a runtime's context.
    pub(crate) fn of(
        config: &ClientConfig,
        context: Context,
        topic: String,
        take: fn(&BorrowedMessage<'_>) -> T,
    ) -> KafkaResult<Self> {
        let client: StreamConsumer<Context> = config.create_with_context(context)?;
        Ok(Self { client: Some(client), topic, assigned: AtomicBool::new(false), take })
    }

    fn client(&self) -> KafkaResult<&StreamConsumer<Context>> {
        self.client.as_ref().ok_or(KafkaError::Canceled)
    }

    pub(crate) fn is_assigned(&self) -> bool {
        self.assigned.load(Ordering::Acquire)
    }

    /// Begins to fetch at a position, unless it does so already. Blocks for a moment.
    pub(crate) fn assign(&self, position: Position) -> KafkaResult<()> {
        if self.assigned.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let offset = i64::try_from(position.0).unwrap_or(i64::MAX);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, PARTITION, Offset::Offset(offset))?;
        self.client()?.assign(&list)
    }

    /// What is there now, one event after the other.
    pub(crate) fn ready(&self) -> impl Iterator<Item = Event<T>> {
        // One stream for all of it: each registers with the consumer, and takes a lock to do so.
        let mut stream = self.client().ok().map(StreamConsumer::stream);
        std::iter::from_fn(move || {
            let came = stream.as_mut()?.next().now_or_never().flatten()?;
            Some(self.heard(came))
        })
    }

    /// Waits for the next event.
    ///
    /// # Cancel safety
    /// A cancelled wait has taken nothing.
    pub(crate) async fn event(&self) -> Event<T> {
        match self.client() {
            Ok(client) => self.heard(client.recv().await),
            Err(error) => Event::Trouble(error),
        }
    }

    fn heard(&self, came: KafkaResult<BorrowedMessage<'_>>) -> Event<T> {
        match came {
            Ok(message) => Event::Record((self.take)(&message)),
            Err(KafkaError::PartitionEOF(_)) => Event::End,
            Err(error) => Event::Trouble(error),
        }
    }

    /// What it complained about last.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.client().ok().and_then(|client| client.context().last_error())
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            bury(client, drop);
        }
    }
}

pub(crate) fn consumer_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = config(settings, "reader");
    config
        // An assignment wants a group; nobody shares this one, and nothing is committed to it.
        .set("group.id", format!("headwater-{}", uuid::Uuid::new_v4()))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // `largest`, the default, silently skips what was trimmed.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_uncommitted")
        .set("check.crcs", "true")
        // The broker answers as soon as there is one byte, else after this time; at the end of that comes the
        // word that a reader is at the end.
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "250")
        .set("fetch.error.backoff.ms", "50")
        // A queue that is full is emptied by a fast reader in less; one that does not read costs a wake-up a millisecond.
        .set("fetch.queue.backoff.ms", "1")
        .set("message.max.bytes", settings.max_message_bytes.to_string())
        .set("fetch.message.max.bytes", "1048576")
        .set("fetch.max.bytes", settings.max_message_bytes.max(4 << 20).to_string())
        // What a reader that does not read may hold: about 4 MiB and one fetch.
        .set("queued.max.messages.kbytes", "4096")
        .set("queued.min.messages", "10000");
    config
}

/// Whether an error says nothing of what is read: it is of one connection of several, or one that is made again by
/// itself; or of a right to the group, of which a reader is no member.
pub(crate) fn is_no_news(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}

/// Where an offset stands.
pub(crate) fn position(offset: i64) -> Position {
    Position(u64::try_from(offset).unwrap_or(0))
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let appended_at_ms = match message.timestamp() {
        Timestamp::LogAppendTime(at_ms) | Timestamp::CreateTime(at_ms) => at_ms,
        Timestamp::NotAvailable => 0,
    };
    let bytes = message.payload().unwrap_or_default(); // A tombstone is somebody else's record: empty.
    Record {
        position: position(message.offset()),
        appended_at_ms,
        bytes: bytes::Bytes::copy_from_slice(bytes),
    }
}
