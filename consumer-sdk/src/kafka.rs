//! A Kafka log that need not be there yet: a service must start from its cache while the brokers are down.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Identity, Log, LogReader, LogWriter, ReadError, Table};
use headwater_log_kafka::{KafkaLog, KafkaSettings, KafkaTable};
use headwater_schemas::StreamName;
use tokio::sync::OnceCell;

use crate::error::ConnectError;

/// The stream's table on the same brokers, which need not be there yet either.
pub(crate) fn table(brokers: &str, stream: &str) -> Result<Arc<dyn Table>, ConnectError> {
    let table = KafkaTable::read_only(settings(brokers, stream)?);
    Ok(table.map_err(|error| ConnectError::Settings(error.to_string()))?)
}

fn settings(brokers: &str, stream: &str) -> Result<KafkaSettings, ConnectError> {
    let stream =
        StreamName::parse(stream).map_err(|error| ConnectError::Settings(error.to_string()))?;
    // A reader that created the topic would found a second, empty truth.
    Ok(KafkaSettings { create: false, ..KafkaSettings::new(brokers, stream) })
}

/// Opens the log when the first reader asks for it, and again until it opens. It never writes.
#[derive(Debug)]
pub(crate) struct LateKafka {
    settings: KafkaSettings,
    identity: Identity,
    log: OnceCell<Arc<KafkaLog>>,
}

impl LateKafka {
    pub(crate) fn new(brokers: &str, stream: &str) -> Result<Self, ConnectError> {
        let settings = settings(brokers, stream)?;
        let place = format!("{}@{brokers}", settings.topic());
        let identity = Identity { kind: "kafka", place, cluster_id: None };
        Ok(Self { settings, identity, log: OnceCell::new() })
    }

    async fn open(&self) -> Result<&Arc<KafkaLog>, ReadError> {
        let open = || KafkaLog::open(self.settings.clone());
        self.log
            .get_or_try_init(open)
            .await
            .map_err(|error| ReadError::Unavailable(error.to_string()))
    }
}

impl Log for LateKafka {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        async move { self.open().await?.reader().await }.boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        None
    }
}
