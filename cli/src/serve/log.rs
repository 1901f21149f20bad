//! The log of the stream: this process's own, or Kafka's.

use std::sync::Arc;
use std::time::Duration;

use headwater_log::Log;
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings};
use headwater_log_kafka::{KafkaLog, KafkaSettings, KafkaTable};

use crate::exit::Failure;
use crate::settings::Settings;

/// An open log.
pub(crate) enum OpenLog {
    Embedded(Arc<EmbeddedLog>),
    Kafka(Arc<KafkaLog>, Option<Arc<KafkaTable>>),
}

impl OpenLog {
    /// `writes`: whether this process may write the stream's table.
    pub(crate) async fn open(settings: &Settings, writes: bool) -> Result<Self, Failure> {
        if let Some(brokers) = &settings.kafka {
            let kafka = KafkaSettings::new(brokers.as_str(), settings.stream.clone());
            let log = KafkaLog::open(kafka.clone()).await.map_err(Failure::failed)?;
            return Ok(Self::Kafka(log, open_table(settings, kafka, writes).await?));
        }
        let embedded = EmbeddedSettings::new(settings.log_dir());
        let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(embedded)).await;
        opened.map_err(Failure::failed)?.map(Self::Embedded).map_err(Failure::failed)
    }

    pub(crate) fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log) => log.clone(),
            Self::Kafka(log, _) => log.clone(),
        }
    }

    /// The stream's table, where it is kept.
    pub(super) fn table(&self) -> Option<Arc<KafkaTable>> {
        match self {
            Self::Embedded(_) => None,
            Self::Kafka(_, table) => table.clone(),
        }
    }

    /// Leaves it tidy. What was acknowledged is durable without.
    pub(crate) async fn close(&self) {
        if let Self::Embedded(log) = self {
            log.close().await;
        }
    }
}

async fn open_table(
    settings: &Settings,
    kafka: KafkaSettings,
    writes: bool,
) -> Result<Option<Arc<KafkaTable>>, Failure> {
    if !settings.table.enabled {
        return Ok(None);
    }
    let lease_timeout = Duration::from_millis(settings.table.lease_timeout_ms);
    let opened = if writes {
        KafkaTable::open(kafka, lease_timeout).await
    } else {
        KafkaTable::read_only(kafka)
    };
    let opened = opened.map_err(|error| {
        Failure::failed(error).hint("or go without the table: HEADWATER_TABLE__ENABLED=false")
    })?;
    Ok(Some(opened))
}
