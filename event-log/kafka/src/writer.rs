//! A writer to the topic.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Appended, LogWriter};
use rdkafka::error::KafkaResult;

use crate::client::blocking;
use crate::producer::{Handover, Producer};
use crate::settings::KafkaSettings;

/// A writer to the topic.
pub(crate) struct KafkaWriter {
    current: Arc<Current>,
}

struct Current {
    settings: Arc<KafkaSettings>,
    /// Held while records are handed over, which never blocks: one append's records stay together.
    producer: Mutex<Producer>,
}

impl fmt::Debug for KafkaWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.current.settings;
        write!(f, "KafkaWriter({}@{})", settings.topic(), settings.brokers)
    }
}

impl KafkaWriter {
    /// Makes one that knows its topic, so that its first append is not slower than the others. Blocks.
    pub(crate) fn new(settings: &Arc<KafkaSettings>) -> KafkaResult<Self> {
        let producer = Producer::new(settings)?;
        producer.warm_up(settings);
        let settings = Arc::clone(settings);
        Ok(Self { current: Arc::new(Current { settings, producer: Mutex::new(producer) }) })
    }
}

impl Current {
    fn hand_over(&self, records: &[Bytes]) -> Vec<Handover> {
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().map(|record| producer.send(record)).collect()
    }

    async fn renew(self: Arc<Self>) {
        let settings = Arc::clone(&self.settings);
        match blocking(move || Producer::new(&settings)).await {
            Ok(fresh) => {
                let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
                let old = std::mem::replace(&mut *producer, fresh);
                drop(producer);
                drop(old);
            }
            Err(error) => tracing::error!(%error, "no fresh producer; the old one stays"),
        }
    }
}

impl LogWriter for KafkaWriter {
    fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>> {
        let handovers = self.current.hand_over(&records);
        async move {
            let mut appended = Vec::with_capacity(handovers.len());
            for handover in handovers {
                appended.push(handover.end().await);
            }
            appended
        }
        .boxed()
    }

    fn renew(&self) -> BoxFuture<'static, ()> {
        Arc::clone(&self.current).renew().boxed()
    }
}
