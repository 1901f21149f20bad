//! Topics, by hand: what an operator, a foreign tool or an accident might do to them.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(30);

/// A name that no other test and no earlier run has used.
pub fn fresh_name(about: &str) -> String {
    format!("{about}-{}", uuid::Uuid::new_v4().simple())
}

/// Creates a topic with one copy and this configuration; the rest is the broker's default.
pub async fn create(kafka: &str, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in configs {
        wanted = wanted.set(name, value);
    }
    let made = admin(kafka).create_topics([&wanted], &options()).await.expect("an answer");
    made[0].as_ref().unwrap_or_else(|error| panic!("{topic} is not created: {error:?}"));
}

/// Deletes a topic, and waits until the broker no longer shows it.
pub async fn delete(kafka: &str, topic: &str) {
    let admin = admin(kafka);
    let gone = admin.delete_topics(&[topic], &options()).await.expect("an answer");
    gone[0].as_ref().unwrap_or_else(|error| panic!("{topic} is not deleted: {error:?}"));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while exists(kafka, topic) {
        assert!(tokio::time::Instant::now() < deadline, "{topic} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the broker shows a topic.
pub fn exists(kafka: &str, topic: &str) -> bool {
    let metadata = admin(kafka).inner().fetch_metadata(None, PATIENCE).expect("metadata");
    metadata.topics().iter().any(|found| found.name() == topic)
}

/// Changes some configurations of a topic and keeps the others.
pub async fn alter(kafka: &str, topic: &str, configs: &[(&str, &str)]) {
    let mut all = described(kafka, topic, |source| *source == ConfigSource::DynamicTopic).await;
    all.extend(configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut wanted = AlterConfig::new(ResourceSpecifier::Topic(topic));
    for (name, value) in &all {
        wanted = wanted.set(name, value);
    }
    let altered = admin(kafka).alter_configs([&wanted], &options()).await.expect("an answer");
    altered[0].as_ref().unwrap_or_else(|error| panic!("{topic} is not altered: {error:?}"));
}

/// The configuration of a topic, defaults included.
pub async fn configs(kafka: &str, topic: &str) -> BTreeMap<String, String> {
    described(kafka, topic, |_| true).await
}

async fn described(
    kafka: &str,
    topic: &str,
    wanted: impl Fn(&ConfigSource) -> bool,
) -> BTreeMap<String, String> {
    let asked = [ResourceSpecifier::Topic(topic)];
    let mut told = admin(kafka).describe_configs(&asked, &options()).await.expect("an answer");
    let resource = told.remove(0).unwrap_or_else(|error| panic!("{topic}: {error:?}"));
    let entries = resource.entries.into_iter().filter(|entry| wanted(&entry.source));
    entries.filter_map(|entry| Some((entry.name, entry.value?))).collect()
}

/// Appends values as a foreign tool would; `None` is a tombstone. Gives their offsets.
pub async fn produce(kafka: &str, topic: &str, values: &[Option<&[u8]>]) -> Vec<u64> {
    let producer: FutureProducer =
        config(kafka).set("linger.ms", "0").create().expect("a producer");
    let mut offsets = Vec::new();
    for value in values {
        let mut record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(topic).partition(0).key(b"key");
        record.payload = *value;
        let delivered = producer.send(record, PATIENCE).await;
        let delivered = delivered.unwrap_or_else(|(error, _)| panic!("{topic}: {error}"));
        offsets.push(u64::try_from(delivered.offset).expect("an offset"));
    }
    offsets
}

/// Deletes the records before an offset, as retention would.
pub async fn delete_records(kafka: &str, topic: &str, before: u64) {
    let mut list = TopicPartitionList::new();
    let before = Offset::Offset(i64::try_from(before).expect("an offset"));
    list.add_partition_offset(topic, 0, before).expect("an offset");
    let deleted = admin(kafka).delete_records(&list, &options()).await.expect("an answer");
    for element in deleted.elements() {
        element.error().unwrap_or_else(|error| panic!("{topic}: {error}"));
    }
}

fn config(kafka: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka).set("log_level", "0");
    config
}

fn admin(kafka: &str) -> AdminClient<DefaultClientContext> {
    config(kafka).create().expect("an admin client")
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}
