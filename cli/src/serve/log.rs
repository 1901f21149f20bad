//! The log of the stream: this process's own, or Kafka's.

use std::sync::Arc;

use headwater_log::Log;
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings};
use headwater_log_kafka::{KafkaLog, KafkaSettings};

use crate::exit::Failure;
use crate::settings::Settings;

/// An open log.
pub(crate) enum OpenLog {
    Embedded(Arc<EmbeddedLog>),
    Kafka(Arc<KafkaLog>),
}

impl OpenLog {
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Failure> {
        if let Some(brokers) = &settings.kafka {
            let kafka = KafkaSettings::new(brokers.as_str(), settings.stream.clone());
            return KafkaLog::open(kafka).await.map(Self::Kafka).map_err(Failure::failed);
        }
        let embedded = EmbeddedSettings::new(settings.log_dir());
        let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(embedded)).await;
        opened.map_err(Failure::failed)?.map(Self::Embedded).map_err(Failure::failed)
    }

    pub(crate) fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log) => log.clone(),
            Self::Kafka(log) => log.clone(),
        }
    }

    /// Leaves it tidy. What was acknowledged is durable without.
    pub(crate) async fn close(&self) {
        if let Self::Embedded(log) = self {
            log.close().await;
        }
    }
}
