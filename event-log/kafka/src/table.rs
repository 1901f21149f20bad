//! The table of a stream as a compacted topic: `<stream>.config`, one record a key.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Lease, ReadError, Table, TableError, TableReader, TableWriter};
use rdkafka::error::KafkaError;
use tokio::sync::{OnceCell, watch};

use crate::asker::Asker;
use crate::client::blocking;
use crate::error::KafkaOpenError;
use crate::lease::KafkaLease;
use crate::log::{asker_of, checked};
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
    /// Whether this process writes it.
    writes: bool,
    /// Whether its topics were found and are fit to be written.
    prepared: watch::Sender<bool>,
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
        let table = Self::late(settings, lease_timeout)?;
        table.prepare().await?;
        Ok(table)
    }

    /// The table to be written once it is [prepared](Self::prepare). Asks no broker.
    ///
    /// # Errors
    /// [`KafkaOpenError::Settings`].
    pub fn late(
        settings: KafkaSettings,
        lease_timeout: Duration,
    ) -> Result<Arc<Self>, KafkaOpenError> {
        Ok(Arc::new(Self::over(checked(settings)?, lease_timeout, true)))
    }

    /// Makes the table's two topics where they are absent (unless the settings forbid it) and checks them in any case.
    ///
    /// # Errors
    /// [`KafkaOpenError`].
    pub async fn prepare(&self) -> Result<(), KafkaOpenError> {
        let (table, lease) = (Wanted::table(&self.settings), Wanted::lease(&self.settings));
        tokio::try_join!(prepare(&table), prepare(&lease))?;
        self.prepared.send_replace(true);
        Ok(())
    }

    /// Waits until it is prepared.
    pub async fn prepared(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.prepared.subscribe().wait_for(|prepared| *prepared).await;
    }

    /// Whether this process writes it.
    pub fn is_written_here(&self) -> bool {
        self.writes
    }

    /// The table to be read only. No broker is asked before the first reader is wanted.
    ///
    /// # Errors
    /// [`KafkaOpenError::Settings`].
    pub fn read_only(settings: KafkaSettings) -> Result<Arc<Self>, KafkaOpenError> {
        Ok(Arc::new(Self::over(checked(settings)?, LEASE_TIMEOUT, false)))
    }

    fn over(settings: Arc<KafkaSettings>, lease_timeout: Duration, writes: bool) -> Self {
        let place = format!("{}@{}", settings.table_topic(), settings.brokers);
        let (asker, prepared) = (OnceCell::new(), watch::Sender::new(false));
        Self { place, settings, lease_timeout, asker, writes, prepared }
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
async fn prepare(wanted: &Wanted<'_>) -> Result<(), KafkaOpenError> {
    let asker = asker_of(wanted.settings, wanted.topic.clone())?;
    let seen = topic::find_or_create(wanted, &asker, wanted.settings.creates()).await?;
    topic::verify(wanted, &seen).await
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
