//! The table of a stream as a compacted topic: `<stream>.config`, one record a key.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Lease, ReadError, Table, TableError, TableReader, TableWriter};
use rdkafka::error::KafkaError;
use tokio::sync::OnceCell;

use crate::asker::Asker;
use crate::client::blocking;
use crate::error::KafkaOpenError;
use crate::lease::KafkaLease;
use crate::log::checked;
use crate::policy::Wanted;
use crate::settings::KafkaSettings;
use crate::table_reader::KafkaTableReader;
use crate::table_writer::KafkaTableWriter;
use crate::topic;

/// How long a process that holds the lease may be silent before another gets it. Less: a process that only stood still
/// for a moment loses it. More: the table stands still for that long behind a process that died. Brokers allow no
/// less than their `group.min.session.timeout.ms`, 6 s by default.
pub const LEASE_TIMEOUT: Duration = Duration::from_secs(6);

/// The table of a stream on Kafka: the compacted topic `<stream>.config`, and `<stream>.lease` for whose turn it is.
#[derive(Debug)]
pub struct KafkaTable {
    place: String,
    settings: Arc<KafkaSettings>,
    lease_timeout: Duration,
    asker: OnceCell<Arc<Asker>>,
}

impl KafkaTable {
    /// Opens the table to write it: makes its two topics where they are absent (unless the settings forbid it) and
    /// checks them in any case.
    ///
    /// # Errors
    /// [`KafkaOpenError`]; a topic that is not fit is refused with all its faults and their cures.
    pub async fn open(
        settings: KafkaSettings,
        lease_timeout: Duration,
    ) -> Result<Arc<Self>, KafkaOpenError> {
        let settings = checked(settings)?;
        let (table, lease) = (Wanted::table(&settings), Wanted::lease(&settings));
        let (asker, _) = tokio::try_join!(prepare(&table), prepare(&lease))?;
        let opened = Self::over(Arc::clone(&settings), lease_timeout);
        // It was made a line above.
        let _ = opened.asker.set(asker);
        Ok(Arc::new(opened))
    }

    /// The table to be read only. No broker is asked before the first reader is wanted.
    ///
    /// # Errors
    /// [`KafkaOpenError::Settings`].
    pub fn read_only(settings: KafkaSettings) -> Result<Arc<Self>, KafkaOpenError> {
        Ok(Arc::new(Self::over(checked(settings)?, LEASE_TIMEOUT)))
    }

    fn over(settings: Arc<KafkaSettings>, lease_timeout: Duration) -> Self {
        let place = format!("{}@{}", settings.table_topic(), settings.brokers);
        Self { place, settings, lease_timeout, asker: OnceCell::new() }
    }

    /// Whether anything was ever written to it.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    pub async fn was_written(&self) -> Result<bool, ReadError> {
        let bounds = async { self.asker().await?.bounds().await };
        let (_, end) = bounds.await.map_err(|error| self.unavailable(&error))?;
        Ok(end.0 > 0)
    }

    async fn asker(&self) -> Result<Arc<Asker>, KafkaError> {
        let made = self.asker.get_or_try_init(|| async {
            let settings = Arc::clone(&self.settings);
            let topic = settings.table_topic();
            blocking(move || Asker::new(&settings, topic).map(Arc::new)).await
        });
        made.await.cloned()
    }

    async fn open_reader(&self) -> Result<Option<Box<dyn TableReader>>, ReadError> {
        let asker = self.asker().await.map_err(|error| self.unavailable(&error))?;
        let seen = topic::look(&self.settings, &asker).await;
        let seen = seen.map_err(|error| ReadError::Unavailable(error.to_string()))?;
        if seen.topic.is_none() {
            return Ok(None);
        }
        let bounds = asker.bounds().await.map_err(|error| self.unavailable(&error))?;
        let settings = Arc::clone(&self.settings);
        let place = self.place.clone();
        let reader = blocking(move || KafkaTableReader::open(place, &settings, bounds)).await;
        Ok(Some(Box::new(reader.map_err(|error| self.unavailable(&error))?)))
    }

    fn unavailable(&self, error: &KafkaError) -> ReadError {
        ReadError::Unavailable(format!("{}: {error}", self.place))
    }
}

/// Finds or makes a topic and checks it.
async fn prepare(wanted: &Wanted<'_>) -> Result<Arc<Asker>, KafkaOpenError> {
    let asker = Asker::new(wanted.settings, wanted.topic.clone());
    let asker = Arc::new(asker.map_err(|error| KafkaOpenError::Client(error.to_string()))?);
    let seen = topic::find_or_create(wanted, &asker, wanted.settings.create).await?;
    topic::verify(wanted, &seen).await?;
    Ok(asker)
}

impl Table for KafkaTable {
    fn place(&self) -> &str {
        &self.place
    }

    fn reader(&self) -> BoxFuture<'_, Result<Option<Box<dyn TableReader>>, ReadError>> {
        self.open_reader().boxed()
    }

    fn writer(&self) -> BoxFuture<'_, Result<Box<dyn TableWriter>, TableError>> {
        async {
            let writer = KafkaTableWriter::open(Arc::clone(&self.settings)).await?;
            Ok(Box::new(writer) as Box<dyn TableWriter>)
        }
        .boxed()
    }

    fn lease(&self) -> BoxFuture<'_, Result<Box<dyn Lease>, TableError>> {
        async {
            let (settings, timeout) = (Arc::clone(&self.settings), self.lease_timeout);
            let lease = blocking(move || KafkaLease::stand_in_line(&settings, timeout)).await;
            let lease = lease.map_err(|error| TableError::Failed(error.to_string()))?;
            Ok(Box::new(lease) as Box<dyn Lease>)
        }
        .boxed()
    }
}
