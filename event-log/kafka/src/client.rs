//! What all clients of librdkafka here have in common: settings, where their words go, and how they end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::metrics;
use crate::settings::KafkaSettings;
use crate::token::TokenFile;

/// What every client is told. Each differs from librdkafka's default, for the reason beside it.
pub(crate) fn config(settings: &KafkaSettings, role: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Why a connection ended is told no louder, and nowhere else.
    config.set_log_level(RDKafkaLogLevel::Info);
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
    for (name, value) in settings.properties.iter() {
        config.set(name, value);
    }
    config
}

/// Whether librdkafka takes the settings.
///
/// # Errors
/// Its own words, without secrets.
pub(crate) fn try_config(settings: &KafkaSettings) -> Result<(), String> {
    let tried = config(settings, "check").create_native_config();
    tried.map(drop).map_err(|error| refused(settings, &error))
}

/// Why librdkafka does not make a client of these settings, without secrets.
pub(crate) fn refused(settings: &KafkaSettings, error: &KafkaError) -> String {
    let told = match error {
        // Its own text would end with the value.
        KafkaError::ClientConfig(_, told, ..) => told.clone(),
        KafkaError::ClientCreation(told) => told.clone(),
        error => error.to_string(),
    };
    settings.properties.without_secrets(&told)
}

/// A duration as librdkafka wants it.
pub(crate) fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

/// Librdkafka's word for a connection that failed.
const FAILED: &str = "FAIL";

/// What a client complained about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) detail: String,
    /// Whether the two sides do not trust each other: a certificate, a password, a token. Time alone mends nothing.
    pub(crate) distrust: bool,
}

/// Where the words of one client go, and where its token comes from.
#[derive(Debug, Default)]
pub(crate) struct Context {
    last: Mutex<Option<Complaint>>,
    token: TokenFile,
}

impl Context {
    pub(crate) fn new(settings: &KafkaSettings) -> Self {
        Self { last: Mutex::default(), token: TokenFile(settings.token_file.clone()) }
    }

    /// What the client complained about last.
    pub(crate) fn last(&self) -> Option<Complaint> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a connection failed, which is an error event only for some reasons.
    fn connection_failed(&self, message: &str) {
        // It begins with the thread's name.
        let mut detail = message.split_once("]: ").map_or(message, |(_, detail)| detail).to_owned();
        // A broker that wants TLS takes the first request for a bad handshake, and hangs up without a word.
        if detail.contains("APIVERSION_QUERY") {
            detail.push_str(
                ": does the port want TLS or a password? see security.protocol in kafka_config",
            );
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|last| !last.distrust) {
            *last = Some(Complaint { detail, distrust: false });
        }
    }

    /// The same in words.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.last().map(|complaint| complaint.detail)
    }
}

impl ClientContext for Context {
    /// Only heard where the mechanism is OAUTHBEARER.
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.token.read().map_err(Into::into)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == FAILED {
            self.connection_failed(message);
        }
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
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down says less than why the last connection failed.
        if code != Some(RDKafkaErrorCode::AllBrokersDown) || last.is_none() {
            *last =
                Some(Complaint { detail: reason.to_owned(), distrust: is_distrust(code, reason) });
        }
    }
}

/// A [`Context`] and what one kind of client hears beside it: delivery reports, assignments.
#[derive(Debug)]
pub(crate) struct Hearing<T> {
    pub(crate) context: Context,
    pub(crate) hears: T,
}

impl<T> Hearing<T> {
    pub(crate) fn new(settings: &KafkaSettings, hears: T) -> Self {
        Self { context: Context::new(settings), hears }
    }
}

impl<T: Send + Sync + 'static> ClientContext for Hearing<T> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Context::ENABLE_REFRESH_OAUTH_TOKEN;

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.context.generate_oauth_token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ConsumerContext for Context {}

fn is_distrust(code: Option<RDKafkaErrorCode>, reason: &str) -> bool {
    match code {
        Some(RDKafkaErrorCode::Authentication) => true,
        // A connection that ends amid the handshake is an error of TLS, too, and may be a broker that goes down.
        Some(RDKafkaErrorCode::SSL) => reason.contains("certificate") || reason.contains("alert"),
        _ => false,
    }
}

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
