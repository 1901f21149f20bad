//! How fast a history on Kafka is verified, beside a plain consume of the same topic by librdkafka.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use headwater_audit::{Published, verify};
use headwater_log::Log as _;
use headwater_log_kafka::{KafkaLog, KafkaSettings};
use headwater_schemas::{
    Change, Commit, FORMAT, Genesis, Hash, Key, Namespace, State, StreamId, commit_schema,
    encode_commit, encode_genesis, fold,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::report::{Aim, Report};
use crate::{Result, kafka};

/// Keys that are written in turn.
const KEYS: u64 = 10_000;
/// A small JSON object, in bytes, as most values are.
const SMALL_BYTES: usize = 180;
/// A large one: a table of routes or a prompt.
const LARGE_BYTES: usize = 16 * 1024;
/// So many fewer commits have large values.
const FEWER: u64 = 16;
const PATIENCE: Duration = Duration::from_secs(60);

/// A history on a broker.
struct History {
    bootstrap: String,
    stream: &'static str,
    commits: u64,
    value_bytes: usize,
}

/// Verifies histories of so many commits, and consumes their topics, in alternating rounds.
pub(crate) fn measure(report: &mut Report, commits: u64, rounds: usize) -> Result<()> {
    let broker = kafka::broker();
    let of = |stream, commits, value_bytes| History {
        bootstrap: broker.bootstrap(),
        stream,
        commits,
        value_bytes,
    };
    of("small", commits, SMALL_BYTES).measure(report, rounds)?;
    of("large", (commits / FEWER).max(1), LARGE_BYTES).measure(report, rounds)
}

impl History {
    fn measure(&self, report: &mut Report, rounds: usize) -> Result<()> {
        let head = self.write()?;
        // The JVM compiles what matters before anything is counted.
        self.consume()?;
        let (mut raw, mut verified, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let consumed = a_second(self.commits, self.consume()?);
            let proven = a_second(self.commits, self.prove(head)?);
            raw.push(consumed);
            verified.push(proven);
            ratio.push(proven / consumed);
        }
        let of = format!("{} commits of {} B", self.commits, self.value_bytes);
        report.row(format!("floor: librdkafka consumes {of}"), "records/s", raw, Aim::None);
        report.row(format!("audit verify, {of}"), "commits/s", verified, Aim::None);
        report.row(format!("verify / consume, {of}"), "ratio", ratio, Aim::AtLeast(0.8));
        Ok(())
    }

    fn topic(&self) -> String {
        format!("{}.commits", self.stream)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn a_second(records: u64, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64()
}

fn drafted(state: &State, number: u64, value_bytes: usize) -> Result<Commit> {
    let head = state.head();
    let value = format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(value_bytes));
    Ok(Commit {
        stream_id: head.stream_id,
        format: FORMAT,
        revision: head.revision + 1,
        parent: head.hash,
        commit_id: headwater_schemas::CommitId::from_u128(u128::from(number)),
        at_ms: head.at_ms + 1,
        actor: "bench".into(),
        reason: Some("a reason of an ordinary length".into()),
        idempotency: None,
        expects: Vec::new(),
        changes: vec![Change::Put {
            namespace: "payments.prod".parse()?,
            key: format!("service/{}/limit", number % KEYS).parse()?,
            content_type: "application/json".into(),
            value: value.into(),
            version: 1,
        }],
        digest: headwater_schemas::Digest::default(),
        attributes: BTreeMap::new(),
    })
}

impl History {
    /// Writes a history as publishers would, and gives its head.
    fn write(&self) -> Result<(u64, Hash)> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()?;
        let genesis = Genesis {
            stream_id: StreamId([7; 16]),
            format: FORMAT,
            created_at_ms: 1_700_000_000_000,
            schema: commit_schema().into(),
            cluster_id: None,
            supersedes: None,
        };
        let record = encode_genesis(&genesis);
        let mut state = State::found(&genesis.commit()?, Hash::of(&record));
        self.send(&producer, &record)?;
        for number in 0..self.commits {
            let mut commit = drafted(&state, number, self.value_bytes)?;
            // Folded once to learn the digest it leads to, as its writer does.
            let lookup = |namespace: &Namespace, key: &Key| state.get(namespace, key).cloned();
            commit.digest = fold(&commit, Hash::default(), state.totals(), lookup).totals.digest();
            let record = encode_commit(&commit);
            state.apply(&commit, Hash::of(&record));
            self.send(&producer, &record)?;
        }
        producer.flush(PATIENCE)?;
        Ok((state.head().revision, state.head().hash))
    }

    fn send(&self, producer: &BaseProducer, payload: &[u8]) -> Result<()> {
        let topic = self.topic();
        loop {
            match producer.send(BaseRecord::<(), [u8]>::to(&topic).partition(0).payload(payload)) {
                Ok(()) => {
                    producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Consumes the topic and does nothing with it, checking the same checksums as an audit does.
    fn consume(&self) -> Result<Duration> {
        let began = Instant::now();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "floor")
            .set("enable.auto.commit", "false")
            .set("check.crcs", "true")
            .create()?;
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic(), 0, Offset::Beginning)?;
        consumer.assign(&place)?;
        for _ in 0..=self.commits {
            consumer.poll(PATIENCE).ok_or("nothing came from Kafka within a minute")??;
        }
        Ok(began.elapsed())
    }

    fn prove(&self, head: (u64, Hash)) -> Result<Duration> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let began = Instant::now();
        let report = runtime.block_on(async {
            let settings = KafkaSettings::new(&self.bootstrap, self.stream.parse()?);
            let log = KafkaLog::open_read_only(settings).await?;
            let published: Published = [head].into_iter().collect();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                verify(log.reader().await?, &published, |_| ()).await?,
            )
        })?;
        let took = began.elapsed();
        if !report.sound || report.confirmed.is_empty() {
            return Err(format!("a sound history is not proven: {:?}", report.breaks).into());
        }
        Ok(took)
    }
}
