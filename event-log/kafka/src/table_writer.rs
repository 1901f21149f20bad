//! The one writer of the table: batches as transactions, under an id that fences whoever wrote before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{TableError, TableRecord, TableWriter};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};

use crate::client::{Hearing, bury, config, millis};
use crate::consumer::PARTITION;
use crate::metrics;
use crate::settings::KafkaSettings;

/// The writer.
pub(crate) struct KafkaTableWriter {
    settings: Arc<KafkaSettings>,
    /// Absent while a batch is under way, and for good after a failure.
    producer: Option<Transactional>,
}

impl KafkaTableWriter {
    /// Makes one; every other is fenced from now on.
    pub(crate) async fn open(settings: Arc<KafkaSettings>) -> Result<Self, TableError> {
        let own = Arc::clone(&settings);
        let producer = off_the_runtime(move || Transactional::open(&own)).await?;
        Ok(Self { settings, producer: Some(producer) })
    }

    async fn batch(&mut self, batch: Vec<TableRecord>) -> Result<(), TableError> {
        let Some(producer) = self.producer.take() else {
            return Err(TableError::Failed("its writer has failed already".into()));
        };
        let settings = Arc::clone(&self.settings);
        let written = off_the_runtime(move || {
            producer.write(&settings, &batch)?;
            Ok(producer)
        });
        self.producer = Some(written.await?);
        Ok(())
    }
}

impl TableWriter for KafkaTableWriter {
    fn write(&mut self, batch: Vec<TableRecord>) -> BoxFuture<'_, Result<(), TableError>> {
        self.batch(batch).boxed()
    }
}

/// Runs what blocks. Whoever no longer waits for it leaves it to its end, which has a deadline.
async fn off_the_runtime<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, TableError> + Send + 'static,
) -> Result<T, TableError> {
    let called = tokio::task::spawn_blocking(call).await;
    called.unwrap_or_else(|error| Err(TableError::Failed(error.to_string())))
}

/// A transactional producer with its thread.
struct Transactional {
    /// Present until it is dropped.
    client: Option<ThreadedProducer<Hearing<Quiet>>>,
}

impl Transactional {
    fn open(settings: &KafkaSettings) -> Result<Self, TableError> {
        let client = producer_config(settings).create_with_context(Hearing::new(settings, Quiet));
        let client = client.map_err(|error| TableError::Failed(error.to_string()))?;
        let opened = Self { client: Some(client) };
        opened.until(settings, |client, left| client.init_transactions(left))?;
        Ok(opened)
    }

    fn client(&self) -> KafkaResult<&ThreadedProducer<Hearing<Quiet>>> {
        self.client.as_ref().ok_or(KafkaError::Canceled)
    }

    fn write(&self, settings: &KafkaSettings, batch: &[TableRecord]) -> Result<(), TableError> {
        let sent = self.client().and_then(|client| {
            client.begin_transaction()?;
            batch.iter().try_for_each(|record| send(client, &settings.table_topic(), record))
        });
        sent.map_err(|error| self.failed(&error))?;
        self.until(settings, |client, left| client.commit_transaction(left))
    }

    /// Calls until it is done, or fails for good, or time is up. Only what Kafka calls retriable is tried again, and nothing
    /// that timed out: time is up then, and a second call without time would make librdkafka forget that it is committing
    /// and end the process over the answer (`rd_kafka_txn_endtxn_complete` goes by the name of the call under way).
    fn until(
        &self,
        settings: &KafkaSettings,
        call: impl Fn(&ThreadedProducer<Hearing<Quiet>>, Duration) -> KafkaResult<()>,
    ) -> Result<(), TableError> {
        let deadline = Instant::now() + settings.message_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client().and_then(|client| call(client, left)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if may_go_on(&error, deadline) => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    fn failed(&self, error: &KafkaError) -> TableError {
        metrics::error("table");
        let fatal = self.client().ok().and_then(|client| client.client().fatal_error());
        let said = fatal.as_ref().map_or_else(|| error.to_string(), |(_, said)| said.clone());
        let codes = [error.rdkafka_error_code(), fatal.map(|(code, _)| code)];
        if codes.into_iter().flatten().any(fenced) {
            TableError::Fenced(said)
        } else {
            TableError::Failed(said)
        }
    }
}

fn may_go_on(error: &RDKafkaError, deadline: Instant) -> bool {
    let timed_out = error.code() == RDKafkaErrorCode::OperationTimedOut;
    error.is_retriable() && !timed_out && Instant::now() < deadline
}

fn fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
    )
}

impl Drop for Transactional {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            bury(client, |client| {
                client.purge(PurgeConfig::default().queue().inflight());
                drop(client);
            });
        }
    }
}

fn send(
    client: &ThreadedProducer<Hearing<Quiet>>,
    topic: &str,
    record: &TableRecord,
) -> Result<(), KafkaError> {
    let mut message: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(topic).partition(PARTITION).key(&record.key);
    message.payload = record.value.as_deref();
    if !record.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        message = message.headers(record.headers.iter().fold(headers, |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_ref()) })
        }));
    }
    client.send(message).map_err(|(error, _)| error)
}

fn producer_config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = config(settings, "projector");
    config
        .set("transactional.id", settings.transactional_id())
        // What a writer that died left open holds readers up for no longer; the next writer undoes it at once.
        .set("transaction.timeout.ms", millis(settings.message_timeout))
        .set("message.timeout.ms", millis(settings.message_timeout))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("compression.type", "none")
        .set("message.max.bytes", settings.max_message_bytes.to_string())
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "65536");
    config
}

/// The commit of a transaction tells how all its records ended.
#[derive(Debug)]
struct Quiet;

impl ProducerContext for Hearing<Quiet> {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
