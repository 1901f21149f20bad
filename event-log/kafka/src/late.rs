//! A log on Kafka whose brokers need not be there yet: a server and a service must start from what they have, and
//! serve it, while every broker is down.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Appended, Identity, Log, LogReader, LogWriter, ReadError};
use tokio::sync::OnceCell;

use crate::error::KafkaOpenError;
use crate::log::KafkaLog;
use crate::settings::KafkaSettings;

/// A [`KafkaLog`] that is opened when the first reader asks for it, and again until it opens.
#[derive(Debug)]
pub struct LateKafkaLog {
    settings: KafkaSettings,
    /// What is known before it is open: everything but the cluster's id.
    identity: Identity,
    writes: bool,
    log: Arc<OnceCell<Arc<KafkaLog>>>,
}

impl LateKafkaLog {
    /// A log to read and write, as by [`KafkaLog::open`]. Asks no broker.
    ///
    /// # Errors
    /// [`KafkaOpenError::Settings`].
    pub fn new(settings: KafkaSettings) -> Result<Arc<Self>, KafkaOpenError> {
        Self::of(settings, true)
    }

    /// A log to read only, as by [`KafkaLog::open_read_only`]. Asks no broker.
    ///
    /// # Errors
    /// [`KafkaOpenError::Settings`].
    pub fn read_only(settings: KafkaSettings) -> Result<Arc<Self>, KafkaOpenError> {
        Self::of(settings, false)
    }

    fn of(settings: KafkaSettings, writes: bool) -> Result<Arc<Self>, KafkaOpenError> {
        settings.check().map_err(KafkaOpenError::Settings)?;
        let place = format!("{}@{}", settings.topic(), settings.brokers);
        let identity = Identity { kind: "kafka", place, cluster_id: None };
        Ok(Arc::new(Self { settings, identity, writes, log: Arc::default() }))
    }

    /// Opens it, unless it is open: one try. Whoever asks meanwhile waits for the same one.
    ///
    /// # Errors
    /// [`KafkaOpenError`]; see [`Self::can_mend`].
    pub async fn connect(&self) -> Result<&Arc<KafkaLog>, KafkaOpenError> {
        let open = || async {
            let settings = self.settings.clone();
            if self.writes {
                KafkaLog::open(settings).await
            } else {
                KafkaLog::open_read_only(settings).await
            }
        };
        self.log.get_or_try_init(open).await
    }

    /// Whether trying again can help without anybody mending anything on this side. A topic that is absent and that
    /// this process may not make is awaited: somebody else makes it, or gives it back.
    pub fn can_mend(&self, error: &KafkaOpenError) -> bool {
        let makes = self.writes && self.settings.create;
        let awaited = !makes && matches!(error, KafkaOpenError::NoTopic { .. });
        awaited || error.is_retryable()
    }
}

impl Log for LateKafkaLog {
    fn identity(&self) -> &Identity {
        self.log.get().map_or(&self.identity, |log| log.identity())
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        async move {
            let opened = self.connect().await;
            opened.map_err(|error| ReadError::Unavailable(error.to_string()))?.reader().await
        }
        .boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        self.writes.then(|| Arc::new(LateWriter(Arc::clone(&self.log))) as Arc<dyn LogWriter>)
    }
}

/// The writer of a log that may not be open yet.
#[derive(Debug)]
struct LateWriter(Arc<OnceCell<Arc<KafkaLog>>>);

impl LateWriter {
    fn open(&self) -> Option<Arc<dyn LogWriter>> {
        self.0.get()?.writer()
    }
}

impl LogWriter for LateWriter {
    fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>> {
        let Some(writer) = self.open() else {
            let why = "no Kafka broker has answered since the start";
            let refused = records.iter().map(|_| Appended::Refused(why.to_owned())).collect();
            return std::future::ready(refused).boxed();
        };
        writer.append(records)
    }

    fn renew(&self) -> BoxFuture<'static, ()> {
        self.open().map_or_else(|| std::future::ready(()).boxed(), |writer| writer.renew())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> KafkaSettings {
        KafkaSettings {
            connect_timeout: std::time::Duration::from_millis(200),
            ..KafkaSettings::new("127.0.0.1:1", "default".parse().unwrap())
        }
    }

    #[tokio::test]
    async fn without_brokers_it_is_there_and_neither_reads_nor_takes_a_record() {
        let log = LateKafkaLog::new(nobody()).unwrap();
        assert_eq!(log.identity().place, "default.commits@127.0.0.1:1");
        let appended = log.writer().unwrap().append(vec![Bytes::from("a"), Bytes::from("b")]).await;
        assert!(
            matches!(appended[..], [Appended::Refused(_), Appended::Refused(_)]),
            "{appended:?}"
        );
        let error = log.reader().await.err().unwrap();
        assert!(error.is_retryable() && error.to_string().contains("127.0.0.1:1"), "{error}");
        let error = log.connect().await.err().unwrap();
        assert!(log.can_mend(&error), "{error}");
    }

    #[test]
    fn only_a_reader_waits_for_a_topic_that_somebody_else_makes() {
        let absent = KafkaOpenError::NoTopic { topic: "t".into(), command: "c".into() };
        assert!(LateKafkaLog::read_only(nobody()).unwrap().can_mend(&absent));
        assert!(!LateKafkaLog::new(nobody()).unwrap().can_mend(&absent));
        assert!(LateKafkaLog::read_only(nobody()).unwrap().writer().is_none());
    }

    #[test]
    fn settings_that_cannot_work_are_told_at_once() {
        let mut settings = nobody();
        settings.properties.set("acks", "0");
        assert!(matches!(LateKafkaLog::new(settings), Err(KafkaOpenError::Settings(_))));
    }
}
