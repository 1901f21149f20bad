//! What all clients of librdkafka here have in common: settings, where their words go, and how they end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::metrics;
use crate::settings::KafkaSettings;

/// What every client is told. Each differs from librdkafka's default, for the reason beside it.
pub(crate) fn config(settings: &KafkaSettings, role: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", format!("headwater-{role}"))
        // 60 s: writes and reads stand still for that long behind a leader that hangs.
        .set("socket.timeout.ms", millis(settings.socket_timeout))
        // At least 1 s by librdkafka's rules.
        .set(
            "socket.connection.setup.timeout.ms",
            millis(settings.socket_timeout.max(Duration::from_secs(1))),
        )
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        // 10 s: a cluster that is back would be found that much later.
        .set("reconnect.backoff.max.ms", "1000")
        // 5 min: a moved or recreated topic is noticed that late.
        .set("topic.metadata.refresh.interval.ms", "15000")
        // A topic that a client makes by the way has the broker's policy, not ours.
        .set("allow.auto.create.topics", "false")
        .set("enable.metrics.push", "false");
    config
}

/// A duration as librdkafka wants it.
pub(crate) fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

/// Where the words of one client go.
#[derive(Debug, Default)]
pub(crate) struct Context {
    last_error: Mutex<Option<String>>,
}

impl Context {
    /// What the client complained about last.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Librdkafka calls a connection that ended an error, though it mends that by itself.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            RDKafkaLogLevel::Error => tracing::info!(facility, "{message}"),
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return; // No error: a reader is at the end.
        }
        metrics::error("client");
        tracing::debug!(%error, reason, "a Kafka client has trouble");
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why the last connection failed.
        if code != Some(RDKafkaErrorCode::AllBrokersDown) || last.is_none() {
            *last = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {}

/// Ends a client on a thread of its own: with brokers away that can take librdkafka minutes, and nobody here
/// needs to wait for it.
pub(crate) fn bury<T: Send + 'static>(client: T, end: impl FnOnce(T) + Send + 'static) {
    let grave = std::thread::Builder::new().name("kafka-close".into());
    if let Err(error) = grave.spawn(move || end(client)) {
        tracing::warn!(%error, "no thread to close a Kafka client on; closed in place");
    }
}

/// Runs a call of librdkafka that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    // The call ends in an error of its own or not at all: only a runtime that ends can cancel it.
    tokio::task::spawn_blocking(call).await.unwrap_or(Err(KafkaError::Canceled))
}
