//! The log of the stream: this process's own, or Kafka's.

use std::sync::Arc;
use std::time::Duration;

use headwater_log::Log;
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings};
use headwater_log_kafka::{KafkaOpenError, KafkaSettings, KafkaTable, LateKafkaLog};

use crate::exit::Failure;
use crate::serve::Role;
use crate::settings::Settings;

/// The pause between two tries to reach the brokers, each of which takes its time by itself.
const RETRY: Duration = Duration::from_millis(500);

/// An open log.
pub(crate) enum OpenLog {
    Embedded(Arc<EmbeddedLog>),
    Kafka(Arc<LateKafkaLog>, Option<Arc<KafkaTable>>),
}

impl OpenLog {
    /// Opens the log, and the table beside it. Those on Kafka need not be there yet: see [`Self::connect`]. `create`:
    /// whether the log's topic may be made.
    pub(crate) async fn open(
        settings: &Settings,
        role: Role,
        create: bool,
    ) -> Result<Self, Failure> {
        if let Some(kafka) = settings.kafka_log() {
            let table = table_of(settings, kafka.clone(), role)?;
            let kafka = KafkaSettings { create: kafka.create && create, ..kafka };
            let late = match role {
                Role::Snapshotter => LateKafkaLog::read_only(kafka),
                Role::Serve | Role::Publisher => LateKafkaLog::new(kafka),
            };
            return late.map(|late| Self::Kafka(late, table)).map_err(Failure::failed);
        }
        let embedded = EmbeddedSettings::new(settings.log_dir());
        let opened = tokio::task::spawn_blocking(move || EmbeddedLog::open(embedded)).await;
        opened.map_err(Failure::failed)?.map(Self::Embedded).map_err(Failure::failed)
    }

    /// Tries once to reach the brokers: a command that works on the log has no state to serve meanwhile.
    ///
    /// # Errors
    /// Why they cannot be reached, or the log cannot be used.
    pub(crate) async fn reach(&self) -> Result<(), Failure> {
        let Self::Kafka(late, _) = self else { return Ok(()) };
        late.connect().await.map(drop).map_err(Failure::failed)
    }

    /// Tries until the brokers answer. Meanwhile the last good state is served.
    ///
    /// # Errors
    /// What time alone does not mend: a topic that would lose commits, a password that is none.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        let Self::Kafka(late, table) = self else { return Ok(()) };
        until(async || late.connect().await.map(drop), |error| late.can_mend(error))
            .await
            .map_err(Failure::failed)?;
        if let Some(table) = table.as_ref().filter(|table| table.is_written_here()) {
            let prepared =
                until(async || table.prepare().await, KafkaOpenError::is_retryable).await;
            prepared.map_err(|error| {
                Failure::failed(error)
                    .hint("or go without the table: HEADWATER_TABLE__ENABLED=false")
            })?;
        }
        Ok(())
    }

    pub(crate) fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log) => log.clone(),
            Self::Kafka(log, _) => log.clone(),
        }
    }

    /// The log of this machine, where it is one.
    pub(super) fn embedded(&self) -> Option<Arc<EmbeddedLog>> {
        match self {
            Self::Embedded(log) => Some(log.clone()),
            Self::Kafka(..) => None,
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

/// Tries until it succeeds, or nothing but a person can help.
async fn until(
    attempt: impl AsyncFn() -> Result<(), KafkaOpenError>,
    can_mend: impl Fn(&KafkaOpenError) -> bool,
) -> Result<(), KafkaOpenError> {
    let mut told = String::new();
    while let Err(error) = attempt().await {
        if !can_mend(&error) {
            return Err(error);
        }
        let now = error.to_string();
        if now != told {
            tracing::warn!(%error, "going on without the log, and trying again");
        }
        told = now;
        tokio::time::sleep(RETRY).await;
    }
    Ok(())
}

fn table_of(
    settings: &Settings,
    kafka: KafkaSettings,
    role: Role,
) -> Result<Option<Arc<KafkaTable>>, Failure> {
    if !settings.table.enabled {
        return Ok(None);
    }
    let lease_timeout = Duration::from_millis(settings.table.lease_timeout_ms);
    let table = match role {
        Role::Snapshotter => KafkaTable::read_only(kafka),
        Role::Serve | Role::Publisher => KafkaTable::late(kafka, lease_timeout),
    };
    table.map(Some).map_err(Failure::failed)
}
