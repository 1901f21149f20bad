//! The log itself.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Identity, Log, LogReader, LogWriter, ReadError};
use rdkafka::error::KafkaError;

use crate::asker::{Asker, Seen};
use crate::client::{blocking, refused};
use crate::error::KafkaOpenError;
use crate::policy::Wanted;
use crate::reader::KafkaReader;
use crate::settings::KafkaSettings;
use crate::topic;
use crate::writer::KafkaWriter;

/// Why a token is not enough to check a topic: rdkafka's admin client never asks for one.
const NO_ADMIN: &str = "a client that shows a token (OAUTHBEARER) can neither create the topic nor read its configuration; \
    create and check it with another mechanism (`headwater doctor`), then set kafka_verify_topic = false";

/// The log of a stream on Kafka: the topic `<stream>.commits`.
#[derive(Debug)]
pub struct KafkaLog {
    identity: Identity,
    settings: Arc<KafkaSettings>,
    asker: Arc<Asker>,
    writer: Option<Arc<KafkaWriter>>,
}

impl KafkaLog {
    /// Opens the log to read and write it: makes the topic when it is absent (unless the settings forbid it) and
    /// checks it in any case. Two processes that make it at once both succeed.
    ///
    /// # Errors
    /// [`KafkaOpenError`]; a topic that is not safe is refused with all its faults and their cures.
    pub async fn open(settings: KafkaSettings) -> Result<Arc<Self>, KafkaOpenError> {
        let settings = checked(settings)?;
        if settings.verify && settings.properties.wants_token() {
            return Err(KafkaOpenError::Settings(NO_ADMIN.into()));
        }
        let asker = asker(&settings)?;
        let wanted = Wanted::log(&settings);
        let seen = topic::find_or_create(&wanted, &asker, settings.creates()).await?;
        topic::verify(&wanted, &seen).await?;
        let writer = {
            let settings = Arc::clone(&settings);
            blocking(move || KafkaWriter::new(&settings)).await
        };
        let writer = writer.map_err(|error| KafkaOpenError::Client(error.to_string()))?;
        Ok(Self::over(settings, asker, seen, Some(Arc::new(writer))))
    }

    /// Opens the log to read it only. The topic is never made, and its policy not checked: that is for those who
    /// write, and a reader's right to describe it is not needed.
    ///
    /// # Errors
    /// [`KafkaOpenError`].
    pub async fn open_read_only(settings: KafkaSettings) -> Result<Arc<Self>, KafkaOpenError> {
        let settings = checked(settings)?;
        let asker = asker(&settings)?;
        let seen = topic::find_or_create(&Wanted::log(&settings), &asker, false).await?;
        Ok(Self::over(settings, asker, seen, None))
    }

    fn over(
        settings: Arc<KafkaSettings>,
        asker: Arc<Asker>,
        seen: Seen,
        writer: Option<Arc<KafkaWriter>>,
    ) -> Arc<Self> {
        let place = format!("{}@{}", settings.topic(), settings.brokers);
        let identity = Identity { kind: "kafka", place, cluster_id: seen.cluster_id };
        Arc::new(Self { identity, settings, asker, writer })
    }

    /// What it was opened with.
    pub fn settings(&self) -> &KafkaSettings {
        &self.settings
    }
}

fn asker(settings: &KafkaSettings) -> Result<Arc<Asker>, KafkaOpenError> {
    asker_of(settings, settings.topic())
}

/// A client that asks for one topic.
///
/// # Errors
/// [`KafkaOpenError::Settings`] or [`KafkaOpenError::Client`].
pub(crate) fn asker_of(
    settings: &KafkaSettings,
    topic: String,
) -> Result<Arc<Asker>, KafkaOpenError> {
    let asker = Asker::new(settings, topic).map_err(|error| match error {
        // A certificate that cannot be read, a mechanism that this build does not have.
        KafkaError::ClientCreation(_) => KafkaOpenError::Settings(refused(settings, &error)),
        error => KafkaOpenError::Client(error.to_string()),
    })?;
    Ok(Arc::new(asker))
}

pub(crate) fn checked(settings: KafkaSettings) -> Result<Arc<KafkaSettings>, KafkaOpenError> {
    settings.check().map_err(KafkaOpenError::Settings)?;
    Ok(Arc::new(settings))
}

impl Log for KafkaLog {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        async {
            let (identity, settings) = (self.identity.clone(), Arc::clone(&self.settings));
            let reader = KafkaReader::open(identity, settings, Arc::clone(&self.asker)).await?;
            Ok(Box::new(reader) as Box<dyn LogReader>)
        }
        .boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        self.writer.clone().map(|writer| writer as Arc<dyn LogWriter>)
    }
}
