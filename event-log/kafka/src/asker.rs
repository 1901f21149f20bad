//! Questions to the brokers: what there is, and where the log begins and ends.
//!
//! One client for all readers of a log, and never one that fetches: a broker answers the requests of a connection
//! in their order, so that a question behind a fetch at the log's end waits until that fetch gives up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_log::Seek;
use headwater_schemas::Position;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{Context, blocking, bury, config};
use crate::consumer::{PARTITION, position};
use crate::settings::KafkaSettings;

/// How long until a topic without a leader is looked at again: the brokers give no sign when it has one.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Complaints of the client that are taken out of its queue at a time.
const COMPLAINTS: usize = 64;

/// What the brokers say about themselves and the topic.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) cluster_id: Option<String>,
    pub(crate) brokers: Vec<i32>,
    /// Its partitions and its fewest copies, when it exists.
    pub(crate) topic: Option<(usize, usize)>,
}

/// The client that asks.
pub(crate) struct Asker {
    /// Present until it is dropped. Without a group, its own queue holds what it complains about.
    client: Option<BaseConsumer<Context>>,
    topic: String,
    timeout: Duration,
}

impl Asker {
    pub(crate) fn new(settings: &KafkaSettings, topic: String) -> KafkaResult<Self> {
        let mut config = config(settings, "asker");
        config.set("isolation.level", "read_uncommitted");
        let client = config.create_with_context(Context::default())?;
        Ok(Self { client: Some(client), topic, timeout: settings.socket_timeout })
    }

    /// The first position and the one behind the last, as the leader gives them after this call.
    pub(crate) async fn bounds(self: Arc<Self>) -> KafkaResult<(Position, Position)> {
        blocking(move || self.bounds_now()).await
    }

    /// Where that is. Asks the leader in any case, so that an answer also says that it lives.
    pub(crate) async fn resolve(self: Arc<Self>, to: Seek) -> KafkaResult<Position> {
        blocking(move || {
            let (low, high) = self.bounds_now()?;
            match to {
                Seek::Oldest => Ok(low),
                Seek::Newest => Ok(high),
                Seek::At(position) => Ok(position),
                Seek::BeforeTime(at_ms) => Ok(self.at_time(at_ms)?.unwrap_or(high)),
            }
        })
        .await
    }

    /// What there is.
    ///
    /// # Errors
    /// The most telling word there is about why nobody answered within `patience`.
    pub(crate) async fn look(self: Arc<Self>, patience: Duration) -> Result<Seen, String> {
        let looked = tokio::task::spawn_blocking(move || {
            let seen = self.look_now(patience);
            self.hear_complaints();
            seen.map_err(|error| self.complaint(&error))
        });
        looked.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn client(&self) -> KafkaResult<&BaseConsumer<Context>> {
        self.client.as_ref().ok_or(KafkaError::Canceled)
    }

    fn bounds_now(&self) -> KafkaResult<(Position, Position)> {
        let bounds = self.client()?.fetch_watermarks(&self.topic, PARTITION, self.timeout);
        self.hear_complaints();
        bounds.map(|(low, high)| (position(low), position(high)))
    }

    /// The first record appended at or after a time; none when there is no such record yet.
    fn at_time(&self, at_ms: i64) -> KafkaResult<Option<Position>> {
        // Kafka takes negative times for signs of its own.
        let at_ms = Offset::Offset(at_ms.max(0));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, PARTITION, at_ms)?;
        let found = self.client()?.offsets_for_times(list, self.timeout)?;
        let Some(found) = found.find_partition(&self.topic, PARTITION) else { return Ok(None) };
        found.error()?;
        match found.offset() {
            Offset::Offset(offset) => Ok(Some(position(offset))),
            _ => Ok(None),
        }
    }

    fn look_now(&self, patience: Duration) -> KafkaResult<Seen> {
        let client = self.client()?;
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(LOOK_AGAIN);
            let metadata = client.fetch_metadata(Some(&self.topic), left)?;
            let found = metadata.topics().iter().find(|found| found.name() == self.topic);
            match found.and_then(|found| found.error()).map(RDKafkaErrorCode::from) {
                None | Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                    let partitions = found.map(|found| found.partitions()).unwrap_or_default();
                    let copies = partitions.iter().map(|partition| partition.replicas().len());
                    return Ok(Seen {
                        cluster_id: client.client().fetch_cluster_id(left),
                        brokers: metadata.brokers().iter().map(|broker| broker.id()).collect(),
                        topic: copies.min().map(|copies| (partitions.len(), copies)),
                    });
                }
                // Just made: its leader is being elected.
                Some(RDKafkaErrorCode::LeaderNotAvailable) if Instant::now() < deadline => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Some(code) => return Err(KafkaError::MetadataFetch(code)),
            }
        }
    }

    /// Empties the client's queue into its context: nobody else does, and it would grow.
    fn hear_complaints(&self) {
        if let Ok(client) = self.client() {
            for _ in 0..COMPLAINTS {
                drop(client.poll(Duration::ZERO));
            }
        }
    }

    fn complaint(&self, error: &KafkaError) -> String {
        let heard = self.client().ok().and_then(|client| client.context().last_error());
        heard.unwrap_or_else(|| error.to_string())
    }
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asker({})", self.topic)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            bury(client, drop);
        }
    }
}
