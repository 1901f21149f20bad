//! The compacted topic on a real broker: what plain Kafka tools see in it, who writes it, what mends it, and a
//! service that starts from it alone.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::types::Value;
use headwater::Source;
use headwater_api::{EntryBody, ListBody};
use headwater_log_kafka::{KafkaSettings, KafkaTable};
use headwater_tests::http::{Ask, Connection, ask};
use headwater_tests::process::{Headwater, binary};
use headwater_tests::stand::{bounded, status};
use headwater_tests::{broker, topic};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(40);
/// The schema as a foreign program has it: a file.
const SCHEMA: &str = include_str!("../../schemas/avro/config.avsc");

/// A stream with servers of its own on the shared broker.
struct Stream {
    kafka: &'static str,
    name: String,
}

struct Server {
    process: Headwater,
    _data: TempDir,
}

impl Server {
    fn host(&self) -> &str {
        self.process.host()
    }

    async fn put(&self, key: &str, json: impl ToString) -> u64 {
        let put = Ask::put(format!("/v1/config/app/{key}"), json.to_string());
        let answer = ask(self.host(), &put).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.revision()
    }

    async fn delete(&self, key: &str) -> u64 {
        let delete = Ask::delete(format!("/v1/config/app/{key}"));
        let delete = delete.header("Headwater-Actor", "eve").header("Headwater-Reason", "spring");
        ask(self.host(), &delete).await.is(200).revision()
    }

    async fn metric(&self, name: &str) -> Option<f64> {
        let text = ask(self.host(), &Ask::get("/metrics")).await.is(200).text();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
        line.parse().ok()
    }

    async fn writes_the_table(&self) -> bool {
        self.metric("headwater_projector_lease").await == Some(1.0)
    }

    /// Waits until the table is at this server's head.
    async fn projected(&self) {
        let revision = status(self.host()).await.revision;
        until("the table is at the head", async || {
            let at = self.metric("headwater_projector_revision").await.unwrap_or(0.0);
            at >= revision as f64
        })
        .await;
    }

    async fn entries(&self) -> BTreeMap<String, EntryBody> {
        let page: ListBody =
            ask(self.host(), &Ask::get("/v1/config/app?limit=1000")).await.is(200).json();
        assert!(page.next.is_none());
        page.entries.into_iter().map(|entry| (entry.key.to_string(), entry)).collect()
    }
}

impl Stream {
    fn new() -> Self {
        Self { kafka: broker::shared(), name: topic::fresh_name("table") }
    }

    fn table(&self) -> String {
        format!("{}.config", self.name)
    }

    fn server(&self, flags: &[&str]) -> Server {
        self.start("serve", flags)
    }

    fn start(&self, role: &str, flags: &[&str]) -> Server {
        let data = tempfile::tempdir().unwrap();
        let place = data.path().display().to_string();
        let stream = [role, "--data", &place, "--kafka", self.kafka, "--stream", &self.name];
        let mut process = Headwater::start_unready(
            &[&stream, flags].concat(),
            &[("HEADWATER_TABLE__LEASE_TIMEOUT_MS", "1500")],
        );
        process.wait_until_ready(PATIENCE);
        Server { process, _data: data }
    }

    fn topic(&self, command: &str, more: &[&str]) -> Output {
        let args = ["topic", command, "--kafka", self.kafka, "--stream", &self.name];
        let ran = Command::new(binary()).args(args).args(more).output().unwrap();
        eprintln!("topic {command}: {}", String::from_utf8_lossy(&ran.stdout));
        ran
    }

    async fn is_sound(&self) {
        let ran = self.topic("verify", &[]);
        assert!(ran.status.success(), "{ran:?}");
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "did not come true: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A record as any consumer has it.
struct Plain {
    key: String,
    value: Option<Vec<u8>>,
    headers: BTreeMap<String, String>,
}

/// Reads a topic from its beginning to its end with a plain consumer.
fn consume(kafka: &str, topic: &str) -> Vec<Plain> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", topic::fresh_name("plain"))
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{topic} has no end");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Err(KafkaError::PartitionEOF(_))) => return records,
            Some(Ok(message)) => {
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                records.push(Plain {
                    key: text(message.key().unwrap()),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers
                        .map(|header| (header.key.to_owned(), text(header.value.unwrap())))
                        .collect(),
                });
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// The fields of a row, decoded by Avro alone; `prefix` bytes stand before it.
fn decode(value: &[u8], prefix: usize) -> BTreeMap<String, Value> {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
    let mut body = &value[prefix..];
    let Value::Record(fields) = reader.read_value(&mut body).unwrap() else { panic!("a record") };
    assert!(body.is_empty());
    fields.into_iter().collect()
}

fn text(fields: &BTreeMap<String, Value>, name: &str) -> String {
    let Value::String(text) = &fields[name] else { panic!("{name}: {fields:?}") };
    text.clone()
}

fn number(fields: &BTreeMap<String, Value>, name: &str) -> u64 {
    let Value::Long(number) = fields[name] else { panic!("{name}: {fields:?}") };
    u64::try_from(number).unwrap()
}

/// What a foreign program holds after reading: the last value of each key, without the projector's own rows.
fn as_table(records: &[Plain], prefix: usize) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut last: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for record in records {
        match &record.value {
            Some(value) => last.insert(&record.key, value),
            None => last.remove(record.key.as_str()),
        };
    }
    let rows = last.into_iter().map(|(key, value)| (key.to_owned(), decode(value, prefix)));
    rows.filter(|(_, fields)| !text(fields, "key").is_empty()).collect()
}

async fn assert_is_the_state(server: &Server, records: &[Plain], prefix: usize) {
    let mut table = as_table(records, prefix);
    table.retain(|_, fields| text(fields, "namespace") == "app");
    let entries = server.entries().await;
    let keys: Vec<String> = entries.keys().map(|key| format!("app/{key}")).collect();
    assert_eq!(table.keys().cloned().collect::<Vec<_>>(), keys);
    for (key, entry) in entries {
        let row = &table[&format!("app/{key}")];
        assert_eq!(row["value"], Value::Bytes(entry.bytes().unwrap().to_vec()), "{key}");
        assert_eq!(text(row, "content_type"), entry.content_type);
        assert_eq!(text(row, "actor"), entry.actor);
        assert_eq!(number(row, "version"), entry.version);
        assert_eq!(number(row, "create_revision"), entry.create_revision);
        assert_eq!(number(row, "mod_revision"), entry.mod_revision);
    }
}

/// Each entry's revisions ascend, and so do the checkpoints': nobody wrote beside another, and nothing went back.
fn assert_never_went_back(records: &[Plain]) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for record in records {
        let Some(value) = &record.value else { continue };
        let revision = number(&decode(value, 10), "mod_revision");
        let before = last.insert(&record.key, revision);
        // A table that was compared with the state has its checkpoint twice.
        let again = u64::from(record.key == "_checkpoint");
        let after = before.is_none_or(|before| before < revision + again);
        assert!(after, "{} {before:?} {revision}", record.key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_consumer_sees_the_state_and_after_compaction_still_deletions_included() {
    let claim = async {
        let stream = Stream::new();
        let server = stream.server(&[]);
        for n in 0..30 {
            server.put(&format!("k{}", n % 10), n).await;
        }
        for key in ["k1", "k2", "k3"] {
            server.delete(key).await;
        }
        server.put("k3", "\"again\"").await;
        server.projected().await;
        let records = consume(stream.kafka, &stream.table());
        assert_is_the_state(&server, &records, 10).await;
        assert_never_went_back(&records);
        let deleted = records.iter().find(|it| it.key == "app/k2" && it.value.is_none()).unwrap();
        let said = |name: &str| deleted.headers[name].as_str();
        assert_eq!((said("namespace"), said("key"), said("actor")), ("app", "k2", "eve"));
        assert_eq!((said("reason"), said("revision")), ("spring", "32"));
        assert_eq!(said("commit_hash").len(), 64);

        compacted(&stream, &server).await;
        let records = consume(stream.kafka, &stream.table());
        assert_is_the_state(&server, &records, 10).await;
        assert!(!as_table(&records, 10).contains_key("app/k1"), "deleted keys stay deleted");
        stream.is_sound().await;
    };
    bounded(claim).await;
}

/// Lets the cleaner take whatever it may, until a key that was deleted has left no trace.
async fn compacted(stream: &Stream, server: &Server) {
    let now = [
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.0001"),
        ("delete.retention.ms", "0"),
        ("min.compaction.lag.ms", "0"),
    ];
    topic::alter(stream.kafka, &stream.table(), &now).await;
    let mut tick = 0;
    until("values and tombstones are gone", async || {
        tick += 1;
        server.put("tick", tick).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        let records = consume(stream.kafka, &stream.table());
        let of = |key: &str| records.iter().filter(|record| record.key == key).count();
        of("app/k1") == 0 && of("app/k2") == 0 && of("app/k5") == 1
    })
    .await;
    server.projected().await;
}

/// Two servers of one stream, the one that writes the table first.
async fn pair(stream: &Stream) -> (Server, Server) {
    let (a, b) = (stream.server(&[]), stream.server(&[]));
    let mut of_a = false;
    until("one has the lease", async || {
        of_a = a.writes_the_table().await;
        of_a || b.writes_the_table().await
    })
    .await;
    if of_a { (a, b) } else { (b, a) }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_projecting_publisher_is_killed_another_goes_on_from_its_checkpoint() {
    let claim = async {
        let stream = Stream::new();
        let (mut holder, other) = pair(&stream).await;
        for n in 0..40 {
            other.put(&format!("k{}", n % 7), n).await;
        }
        holder.process.kill9();
        for n in 40..80 {
            other.put(&format!("k{}", n % 7), n).await;
        }
        other.delete("k0").await;
        other.projected().await;
        assert!(other.writes_the_table().await);
        let records = consume(stream.kafka, &stream.table());
        assert_is_the_state(&other, &records, 10).await;
        assert_never_went_back(&records);
        stream.is_sound().await;
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_projector_that_wakes_is_fenced_and_harms_nothing() {
    let claim = async {
        let stream = Stream::new();
        let (mut zombie, other) = pair(&stream).await;
        other.put("k", 0).await;
        zombie.process.pause();
        until("the other takes over", async || other.writes_the_table().await).await;
        for n in 1..30 {
            other.put("k", n).await;
        }
        other.projected().await;
        zombie.process.resume();
        for n in 30..60 {
            other.put("k", n).await;
        }
        until("the zombie knows", async || !zombie.writes_the_table().await).await;
        other.put("k", 60).await;
        other.projected().await;
        let records = consume(stream.kafka, &stream.table());
        assert_is_the_state(&other, &records, 10).await;
        assert_never_went_back(&records);
        stream.is_sound().await;
    };
    bounded(claim).await;
}

/// Appends to the table as any program could.
async fn foreign(stream: &Stream, key: &str, value: Option<&[u8]>) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", stream.kafka).create().unwrap();
    let table = stream.table();
    let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&table).partition(0).key(key);
    record.payload = value;
    producer.send(record, PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_what_a_foreign_producer_did_and_repair_mends_it() {
    let claim = async {
        let stream = Stream::new();
        let server = stream.server(&[]);
        for key in ["wrong", "gone", "old"] {
            server.put(key, 1).await;
        }
        server.projected().await;
        let records = consume(stream.kafka, &stream.table());
        let value = |key: &str| records.iter().find(|it| it.key == key).unwrap().value.clone();
        server.put("old", 2).await;
        server.projected().await;
        stream.is_sound().await;

        let mut wrong = value("app/wrong").unwrap();
        let at = wrong.windows(2).position(|bytes| bytes == b"\x021").unwrap() + 1;
        wrong[at] = b'7';
        let damage: [(&str, Option<Vec<u8>>, &str); 4] = [
            ("app/wrong", Some(wrong), "wrong    app/wrong"),
            ("app/gone", None, "missing  app/gone"),
            ("app/extra", Some(b"noise".to_vec()), "extra    app/extra"),
            ("app/old", value("app/old"), "stale    app/old (of revision 3)"),
        ];
        for (key, value, told) in damage {
            foreign(&stream, key, value.as_deref()).await;
            let ran = stream.topic("verify", &[]);
            assert_eq!(ran.status.code(), Some(1), "{ran:?}");
            assert!(String::from_utf8_lossy(&ran.stdout).contains(told), "{ran:?}");
            assert!(String::from_utf8_lossy(&ran.stderr).contains("topic repair"), "{ran:?}");
            let ran = stream.topic("repair", &["--json"]);
            assert!(ran.status.success(), "{ran:?}");
            let said: Json = serde_json::from_slice(&ran.stdout).unwrap();
            assert_eq!(said["sound"], true, "{said}");
            // Against what a server holds, too.
            let url = server.process.url();
            let ran = stream.topic("verify", &["--server", &url]);
            assert!(ran.status.success(), "{ran:?}");
        }
        // The projector, which the repairs fenced, takes the table back by itself.
        server.put("after", 1).await;
        server.projected().await;
        assert_is_the_state(&server, &consume(stream.kafka, &stream.table()), 10).await;
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_starts_from_the_table_alone_with_the_beginning_of_the_log_gone() {
    let claim = async {
        let stream = Stream::new();
        let server = stream.server(&[]);
        for n in 0..25 {
            server.put(&format!("k{}", n % 10), n).await;
        }
        server.delete("k1").await;
        server.delete("k2").await;
        server.put("k2", "\"again\"").await;
        server.projected().await;
        let log = format!("{}.commits", stream.name);
        let position = status(server.host()).await.log.position;
        topic::delete_records(stream.kafka, &log, position.saturating_sub(2)).await;
        let dir = tempfile::tempdir().unwrap();
        let builder = headwater::Client::builder().kafka(stream.kafka, stream.name.as_str());
        let hw = builder
            .namespaces(["app"])
            .cache_dir(dir.path())
            .startup_timeout(PATIENCE)
            .connect()
            .await
            .unwrap();
        assert_eq!(hw.status().source, Source::Table, "{:?}", hw.status());
        assert_eq!(hw.get::<u32>("k4").unwrap(), Some(24));
        assert_eq!(hw.get::<String>("k2").unwrap().as_deref(), Some("again"));
        assert_eq!(hw.get::<u32>("k1").unwrap(), None, "deleted keys stay deleted");
        let theirs = status(server.host()).await;
        assert_eq!((hw.status().hash, hw.status().digest), (theirs.hash, theirs.digest));
        // And from there it follows the log.
        let revision = server.put("k4", 99).await;
        hw.wait_for(revision).await.unwrap();
        assert_eq!(hw.get::<u32>("k4").unwrap(), Some(99));
        hw.close().await;

        // So does a publisher with an empty disk.
        let another = stream.start("publisher", &[]);
        let both = (status(another.host()).await, status(server.host()).await);
        assert_eq!((both.0.revision, both.0.digest), (both.1.revision, both.1.digest));
        another.put("k5", 7).await;
    };
    bounded(claim).await;
}

/// A registry that knows the two calls and nothing else.
struct Registry {
    url: String,
    up: Arc<AtomicBool>,
    schemas: Arc<Mutex<Vec<(String, String)>>>,
}

impl Registry {
    const FIRST_ID: usize = 41;

    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (up, schemas) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (open, stored) = (Arc::clone(&up), Arc::clone(&schemas));
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut asked = Vec::new();
                while !whole(&asked) && socket.read_buf(&mut asked).await.unwrap() > 0 {}
                let (status, body) = if open.load(Ordering::Relaxed) {
                    Self::answer(&String::from_utf8(asked).unwrap(), &stored)
                } else {
                    ("500 Internal Server Error", r#"{"error_code":50001,"message":"down"}"#.into())
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/vnd.schemaregistry.v1+json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, up, schemas }
    }

    fn answer(asked: &str, stored: &Mutex<Vec<(String, String)>>) -> (&'static str, String) {
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        let line = head.lines().next().unwrap();
        let mut schemas = stored.lock().unwrap();
        if let Some(rest) = line.strip_prefix("POST /subjects/") {
            let typed = "content-type: application/vnd.schemaregistry.v1+json";
            assert!(head.to_lowercase().contains(typed), "{head}");
            let subject = rest.split('/').next().unwrap().to_owned();
            assert!(rest.starts_with(&format!("{subject}/versions ")), "{line}");
            let body: Json = serde_json::from_str(body).unwrap();
            let schema = body["schema"].as_str().unwrap().to_owned();
            // As registries do, it keeps the schema in a form of its own.
            let schema = serde_json::from_str::<Json>(&schema).unwrap().to_string();
            let new = (subject, schema);
            let at = schemas.iter().position(|known| *known == new).unwrap_or_else(|| {
                schemas.push(new);
                schemas.len() - 1
            });
            return ("200 OK", format!(r#"{{"id":{}}}"#, Self::FIRST_ID + at));
        }
        let id = line.strip_prefix("GET /schemas/ids/").and_then(|rest| rest.split(' ').next());
        let at = id.and_then(|id| id.parse::<usize>().ok()?.checked_sub(Self::FIRST_ID));
        match at.and_then(|at| schemas.get(at)) {
            Some((_, schema)) => ("200 OK", serde_json::json!({ "schema": schema }).to_string()),
            None => {
                let why = r#"{"error_code":40403,"message":"Schema not found"}"#;
                ("404 Not Found", why.to_owned())
            }
        }
    }
}

fn whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.to_lowercase();
    let length = length.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_registry_values_are_in_confluents_wire_format_and_writes_never_wait_for_it() {
    let claim = async {
        let (stream, registry) = (Stream::new(), Registry::start().await);
        let server = stream.server(&["--schema-registry", &registry.url]);
        for n in 0..5 {
            server.put(&format!("k{n}"), n).await;
        }
        until("the projector alarms", async || {
            server.metric("headwater_projector_alarm").await == Some(1.0)
        })
        .await;
        assert!(server.metric("headwater_projector_lag_revisions").await >= Some(5.0));
        registry.up.store(true, Ordering::Relaxed);
        server.projected().await;
        assert_eq!(server.metric("headwater_projector_alarm").await, Some(0.0));

        let records = consume(stream.kafka, &stream.table());
        let id = u32::try_from(Registry::FIRST_ID).unwrap().to_be_bytes();
        let framed = |value: &Vec<u8>| value[0] == 0 && value[1..5] == id;
        assert!(records.iter().filter_map(|record| record.value.as_ref()).all(framed));
        assert_is_the_state(&server, &records, 5).await;
        let (subject, schema) = registry.schemas.lock().unwrap()[0].clone();
        assert_eq!(subject, format!("{}-value", stream.table()));
        assert_eq!(Schema::parse_str(&schema).unwrap(), Schema::parse_str(SCHEMA).unwrap());
        stream.is_sound().await;
        let ran = stream.topic("repair", &[]);
        assert!(ran.status.success(), "{ran:?}");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_founds_no_second_stream_where_a_table_is_left_of_the_first() {
    let claim = async {
        let stream = Stream::new();
        let old = stream.server(&[]);
        old.put("k", "\"old\"").await;
        old.projected().await;
        let before = status(old.host()).await;
        drop(old);
        topic::delete(stream.kafka, &format!("{}.commits", stream.name)).await;
        let data = tempfile::tempdir().unwrap();
        let place = data.path().display().to_string();
        let args = ["serve", "--data", &place, "--kafka", stream.kafka, "--stream", &stream.name];
        let new = Headwater::start_unready(&args, &[]);
        // The last good state is served, and nothing is written.
        until("the state of the table is served", async || {
            let Ok(mut line) = Connection::open(new.host()).await else { return false };
            let read = line.send(&Ask::get("/v1/config/app/k")).await;
            read.is_ok_and(|answer| answer.status == 200 && answer.text() == "\"old\"")
        })
        .await;
        let now = status(new.host()).await;
        assert_eq!((now.stream_id, now.digest), (before.stream_id, before.digest));
        ask(new.host(), &Ask::put("/v1/config/app/k", "1")).await.is(503);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_topic_that_would_forget_is_refused_with_its_cure() {
    let stream = Stream::new();
    topic::create(stream.kafka, &stream.table(), 1, &[("cleanup.policy", "delete")]).await;
    let data = tempfile::tempdir().unwrap();
    let place = data.path().display().to_string();
    let args = ["serve", "--data", &place, "--kafka", stream.kafka, "--stream", &stream.name];
    let mut refused = Headwater::start_unready(&args, &[]);
    assert_eq!(refused.wait(PATIENCE), 1);
    let said = refused.log();
    assert!(said.contains("cleanup.policy is delete, must be compact"), "{said}");
    assert!(said.contains("--add-config cleanup.policy=compact"), "{said}");
    assert!(said.contains("HEADWATER_TABLE__ENABLED=false"), "{said}");
    let without = [("HEADWATER_TABLE__ENABLED", "false")];
    Headwater::start_unready(&args, &without).wait_until_ready(PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projecting_server_ends_within_ten_seconds_with_its_broker_dead() {
    let mut broker = broker::Broker::start();
    let data = tempfile::tempdir().unwrap();
    let mut server = Headwater::serve(data.path(), &["--kafka", &broker.bootstrap()]);
    let put = Ask::put("/v1/config/app/k", "1");
    ask(server.host(), &put).await.is(201);
    broker.kill9();
    server.terminate(Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_kafka_conforms() {
    let open = || async {
        let stream = topic::fresh_name("table").parse().unwrap();
        let settings = KafkaSettings::new(broker::shared(), stream);
        KafkaTable::open(settings, Duration::from_secs(2)).await.unwrap()
    };
    bounded(headwater_log::table_conformance::conforms(open)).await;
}
