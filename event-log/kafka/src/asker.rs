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

/// How long the first look for the brokers takes; each next one twice as long, so that a refusal is told early.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Why the brokers told nothing of the topic.
#[derive(Debug)]
pub(crate) enum NotSeen {
    /// None of them answered.
    Silent(String),
    /// They and we do not trust each other.
    Distrust(String),
    /// They do not show the topic to us.
    Denied(String),
}

/// What the brokers say about themselves and the topic.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) cluster_id: Option<String>,
    pub(crate) brokers: Vec<i32>,
    /// Its partitions and its fewest copies, when it exists.
    pub(crate) topic: Option<(usize, usize)>,
    /// The fewest copies of a partition that are in step with its leader.
    pub(crate) in_step: usize,
    /// Whether every partition has a leader.
    pub(crate) has_leader: bool,
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
        let client = config.create_with_context(Context::new(settings))?;
        Ok(Self { client: Some(client), topic, timeout: settings.socket_timeout })
    }

    /// The topic it asks for.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
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
    pub(crate) async fn look(self: Arc<Self>, patience: Duration) -> Result<Seen, NotSeen> {
        let looked = tokio::task::spawn_blocking(move || self.look_now(patience));
        looked.await.unwrap_or_else(|error| Err(NotSeen::Silent(error.to_string())))
    }

    fn client(&self) -> KafkaResult<&BaseConsumer<Context>> {
        self.client.as_ref().ok_or(KafkaError::Canceled)
    }

    fn bounds_now(&self) -> KafkaResult<(Position, Position)> {
        // A fresh token may be wanted first.
        self.hear_complaints();
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

    fn look_now(&self, patience: Duration) -> Result<Seen, NotSeen> {
        let deadline = Instant::now() + patience;
        let mut look = FIRST_LOOK;
        loop {
            self.hear_complaints();
            let left = deadline.saturating_duration_since(Instant::now()).max(LOOK_AGAIN);
            let error = match self.look_once(look.min(left)) {
                Ok(seen) => return Ok(seen),
                Err(error) => error,
            };
            self.hear_complaints();
            if let KafkaError::MetadataFetch(code @ RDKafkaErrorCode::TopicAuthorizationFailed) =
                error
            {
                return Err(NotSeen::Denied(code.to_string()));
            }
            match self.client().ok().and_then(|client| client.context().last()) {
                Some(complaint) if complaint.distrust => {
                    return Err(NotSeen::Distrust(complaint.detail));
                }
                Some(complaint) if Instant::now() >= deadline => {
                    return Err(NotSeen::Silent(complaint.detail));
                }
                None if Instant::now() >= deadline => {
                    return Err(NotSeen::Silent(error.to_string()));
                }
                // A topic that was just made has no leader for a moment.
                _ => std::thread::sleep(LOOK_AGAIN),
            }
            look *= 2;
        }
    }

    fn look_once(&self, patience: Duration) -> KafkaResult<Seen> {
        let client = self.client()?;
        let metadata = client.fetch_metadata(Some(&self.topic), patience)?;
        let found = metadata.topics().iter().find(|found| found.name() == self.topic);
        match found.and_then(|found| found.error()).map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                let partitions = found.map(|found| found.partitions()).unwrap_or_default();
                let copies = partitions.iter().map(|partition| partition.replicas().len());
                let in_step = partitions.iter().map(|partition| partition.isr().len());
                Ok(Seen {
                    in_step: in_step.min().unwrap_or_default(),
                    has_leader: partitions.iter().all(|partition| partition.leader() >= 0),
                    cluster_id: client.client().fetch_cluster_id(patience),
                    brokers: metadata.brokers().iter().map(|broker| broker.id()).collect(),
                    topic: copies.min().map(|copies| (partitions.len(), copies)),
                })
            }
            Some(code) => Err(KafkaError::MetadataFetch(code)),
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
