//! The log on a real Kafka broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_log::{Appended, Log, LogReader, LogWriter, ReadError, Seek, conformance};
use headwater_log_kafka::{KafkaLog, KafkaOpenError, KafkaSettings};
use headwater_schemas::{Position, Record};
use headwater_tests::broker::{self, Broker};
use headwater_tests::topic;

const PATIENCE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(200);
const MANY_BYTES: usize = 1 << 20;

fn settings(kafka: &str, about: &str) -> KafkaSettings {
    let mut settings = KafkaSettings::new(kafka, topic::fresh_name(about).parse().unwrap());
    settings.replication = Some(1); // The shared broker may be a cluster of the developer's.
    settings
}

async fn open(about: &str) -> Arc<KafkaLog> {
    KafkaLog::open(settings(broker::shared(), about)).await.unwrap()
}

fn writer(log: &KafkaLog) -> Arc<dyn LogWriter> {
    log.writer().expect("it was opened to write")
}

async fn append(log: &KafkaLog, records: &[&str]) -> Vec<Position> {
    let records = records.iter().map(|record| Bytes::from((*record).to_owned())).collect();
    let appended = writer(log).append(records).await;
    let position = |appended| match appended {
        Appended::InLog(position) => position,
        other => panic!("{other:?}"),
    };
    appended.into_iter().map(position).collect()
}

/// Reads until there are `count` records; a log that cannot be reached meanwhile is asked again.
async fn take(reader: &mut dyn LogReader, count: usize) -> Vec<Record> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records came", records.len());
        match reader.read(Duration::from_secs(1), MANY_BYTES).await {
            Ok(batch) => records.extend(batch.records),
            Err(ReadError::Unavailable(_)) => tokio::time::sleep(SOON).await,
            Err(error) => panic!("{error}"),
        }
    }
    records
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.bytes.to_vec()).unwrap()).collect()
}

/// Reads until there is an error.
async fn error(reader: &mut dyn LogReader) -> ReadError {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no error came");
        if let Err(error) = reader.read(Duration::from_secs(1), MANY_BYTES).await {
            return error;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_every_claim_of_a_log() {
    let log = open("conforms").await;
    conformance::conforms(|| std::future::ready(Arc::clone(&log))).await;
}

#[tokio::test]
async fn a_new_topic_has_the_policy_of_a_log() {
    let log = open("policy").await;
    let configs = topic::configs(broker::shared(), &log.settings().topic()).await;
    for (name, value) in [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("message.timestamp.type", "LogAppendTime"),
        ("unclean.leader.election.enable", "false"),
        ("max.message.bytes", "2097152"),
        ("min.insync.replicas", "1"),
    ] {
        assert_eq!(configs[name], value, "{name}");
    }
    assert_eq!(log.identity().kind, "kafka");
    assert!(log.identity().cluster_id.is_some(), "{:?}", log.identity());
}

#[tokio::test]
async fn each_wrong_policy_is_refused_by_name_with_its_cure_and_accepted_once_mended() {
    let kafka = broker::shared();
    let wrong = [
        ("cleanup.policy", "compact", "delete"),
        ("retention.ms", "604800000", "-1"),
        ("retention.bytes", "1073741824", "-1"),
        ("message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("unclean.leader.election.enable", "true", "false"),
        ("max.message.bytes", "1048588", "2097152"),
        ("min.insync.replicas", "2", "1"),
    ];
    let log = open("wrong").await;
    let (settings, name) = (log.settings().clone(), log.settings().topic());
    for (setting, bad, good) in wrong {
        topic::alter(kafka, &name, &[(setting, bad)]).await;
        match opened_when(&settings, |result| result.is_err()).await {
            Err(error @ KafkaOpenError::WrongTopic { .. }) => {
                let KafkaOpenError::WrongTopic { faults, .. } = &error else { unreachable!() };
                assert_eq!(faults.len(), 1, "{error}");
                assert_eq!((faults[0].setting, faults[0].found.as_str()), (setting, bad));
                assert!(
                    error.to_string().contains(&format!("--add-config {setting}={good}")),
                    "{error}"
                );
            }
            other => panic!("{setting}={bad}: {other:?}"),
        }
        topic::alter(kafka, &name, &[(setting, good)]).await;
        let mended = opened_when(&settings, |result| result.is_ok()).await;
        assert!(mended.is_ok(), "{setting}={good}: {mended:?}");
    }
}

/// Opens it until it looks as expected: a changed configuration shows a moment after the change.
async fn opened_when(
    settings: &KafkaSettings,
    expected: impl Fn(&Result<Arc<KafkaLog>, KafkaOpenError>) -> bool,
) -> Result<Arc<KafkaLog>, KafkaOpenError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let result = KafkaLog::open(settings.clone()).await;
        if expected(&result) || Instant::now() >= deadline {
            return result;
        }
        tokio::time::sleep(SOON).await;
    }
}

#[tokio::test]
async fn a_topic_by_the_brokers_defaults_is_refused_with_all_its_faults_at_once() {
    let settings = settings(broker::shared(), "defaults");
    topic::create(broker::shared(), &settings.topic(), 3, &[]).await;
    match KafkaLog::open(settings).await {
        Err(KafkaOpenError::WrongTopic { faults, .. }) => {
            let found: Vec<_> = faults.iter().map(|fault| fault.setting).collect();
            let wanted =
                ["partitions", "retention.ms", "message.timestamp.type", "max.message.bytes"];
            assert_eq!(found, wanted);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn processes_that_create_the_log_at_once_all_succeed_on_one_topic() {
    let settings = settings(broker::shared(), "race");
    let opens = (0..4).map(|_| tokio::spawn(KafkaLog::open(settings.clone())));
    let mut logs = Vec::new();
    for open in opens.collect::<Vec<_>>() {
        logs.push(open.await.unwrap().unwrap());
    }
    let mut positions = Vec::new();
    for log in &logs {
        positions.extend(append(log, &["record"]).await);
    }
    assert_eq!(positions, [0, 1, 2, 3].map(Position));
}

#[tokio::test]
async fn a_topic_that_may_not_be_created_is_named_with_the_command_that_creates_it() {
    let mut settings = settings(broker::shared(), "absent");
    settings.create = false;
    let topic = settings.topic();
    for result in
        [KafkaLog::open(settings.clone()).await, KafkaLog::open_read_only(settings.clone()).await]
    {
        match result {
            Err(error @ KafkaOpenError::NoTopic { .. }) => {
                let text = error.to_string();
                assert!(text.contains(&topic) && text.contains("retention.ms=-1"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(!topic::exists(broker::shared(), &topic), "to look at it must not create it");
}

#[tokio::test]
async fn a_log_opened_to_read_has_no_writer_and_reads() {
    let log = open("readonly").await;
    append(&log, &["a", "b"]).await;
    let log = KafkaLog::open_read_only(log.settings().clone()).await.unwrap();
    assert!(log.writer().is_none());
    let mut reader = log.reader().await.unwrap();
    assert_eq!(texts(&take(reader.as_mut(), 2).await), ["a", "b"]);
}

#[tokio::test]
async fn brokers_that_are_not_there_are_named_in_bounded_time() {
    let nobody = format!("127.0.0.1:{}", broker::free_port());
    let mut settings = settings(&nobody, "nobody");
    settings.connect_timeout = Duration::from_secs(2);
    let begun = Instant::now();
    match KafkaLog::open(settings).await {
        Err(error @ KafkaOpenError::Unreachable { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&nobody) && text.contains("refused"), "{text}");
            assert!(error.is_retryable());
        }
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn records_that_were_deleted_are_out_of_range_and_the_oldest_is_behind_them() {
    let log = open("trimmed").await;
    append(&log, &["0", "1", "2", "3", "4", "5"]).await;
    let mut reader = log.reader().await.unwrap();
    topic::delete_records(broker::shared(), &log.settings().topic(), 4).await;
    reader.seek(Seek::At(Position(1))).await.unwrap();
    for _ in 0..2 {
        match error(reader.as_mut()).await {
            ReadError::OutOfRange { position, .. } => assert_eq!(position, Position(1)),
            other => panic!("{other}"),
        }
    }
    assert_eq!(reader.seek(Seek::Oldest).await.unwrap(), Position(4));
    assert_eq!(texts(&take(reader.as_mut(), 2).await), ["4", "5"]);
}

#[tokio::test]
async fn a_topic_created_anew_and_shorter_is_out_of_range_for_who_was_ahead() {
    let kafka = broker::shared();
    let log = open("anew").await;
    append(&log, &["0", "1", "2", "3"]).await;
    let mut reader = log.reader().await.unwrap();
    take(reader.as_mut(), 4).await;
    topic::delete(kafka, &log.settings().topic()).await;
    let anew = KafkaLog::open(log.settings().clone()).await.unwrap();
    append(&anew, &["other"]).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match error(reader.as_mut()).await {
            ReadError::OutOfRange { position, .. } => {
                assert_eq!(position, Position(4));
                break;
            }
            ReadError::Unavailable(_) => assert!(Instant::now() < deadline),
            other @ ReadError::Corrupt(_) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_foreign_tombstone_is_an_empty_record() {
    let log = open("foreign").await;
    let foreign: [Option<&[u8]>; 2] = [None, Some(b"value")];
    topic::produce(broker::shared(), &log.settings().topic(), &foreign).await;
    let mut reader = log.reader().await.unwrap();
    assert_eq!(texts(&take(reader.as_mut(), 2).await), ["", "value"]);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_harms_no_other() {
    let log = open("large").await;
    let most = usize::try_from(log.settings().max_record_bytes()).unwrap();
    let records = [1, most + 1, most].map(|bytes| Bytes::from(vec![7; bytes]));
    let appended = writer(&log).append(records.to_vec()).await;
    match &appended[..] {
        [Appended::InLog(Position(0)), Appended::Refused(why), Appended::InLog(Position(1))] => {
            assert!(why.contains(&(most + 1).to_string()), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let mut reader = log.reader().await.unwrap();
    let read = take(reader.as_mut(), 2).await;
    assert_eq!(read.iter().map(|record| record.bytes.len()).collect::<Vec<_>>(), [1, most]);
}

#[tokio::test]
async fn a_renewed_writer_goes_on_behind_the_old_one() {
    let log = open("renewed").await;
    append(&log, &["old"]).await;
    writer(&log).renew().await;
    append(&log, &["new"]).await;
    let mut reader = log.reader().await.unwrap();
    assert_eq!(texts(&take(reader.as_mut(), 2).await), ["old", "new"]);
}

/// A broker of the test's own, and a log on it whose timeouts are short.
async fn fragile() -> (Broker, Arc<KafkaLog>) {
    let broker = tokio::task::spawn_blocking(Broker::start).await.unwrap();
    let mut settings = settings(&broker.bootstrap(), "fragile");
    settings.message_timeout = Duration::from_secs(4);
    settings.socket_timeout = Duration::from_secs(1);
    let log = KafkaLog::open(settings).await.unwrap();
    (broker, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_leaves_appends_open_never_refused_and_a_reader_goes_on_after_it() {
    let (mut broker, log) = fragile().await;
    let mut reader = log.reader().await.unwrap();
    let writer = writer(&log);
    append(&log, &["before"]).await;
    assert_eq!(texts(&take(reader.as_mut(), 1).await), ["before"]);

    // Some of these are in the log, some are not, and some nobody can tell.
    let name = |index: usize| format!("during-{index}");
    let during: Vec<_> =
        (0..500).map(|index| writer.append(vec![Bytes::from(name(index))])).collect();
    tokio::task::block_in_place(|| broker.kill9());
    let ends: Vec<Appended> = join(during).await;
    assert!(
        !ends.iter().any(|end| matches!(end, Appended::Refused(_))),
        "what was handed over may be in the log"
    );
    let late = writer.append(vec!["late".into()]).await;
    assert!(matches!(late[..], [Appended::Ambiguous(_)]), "{late:?}");
    assert!(matches!(error(reader.as_mut()).await, ReadError::Unavailable(_)));

    tokio::task::block_in_place(|| broker.restart());
    writer.renew().await;
    append(&log, &["after"]).await;
    let mut read = Vec::new();
    while read.last().is_none_or(|last| last != "after") {
        read.extend(texts(&take(reader.as_mut(), 1).await));
    }
    for (index, end) in ends.iter().enumerate() {
        if matches!(end, Appended::InLog(_)) {
            assert!(read.contains(&name(index)), "{index} was acknowledged and is lost");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_broker_keeps_nobody_waiting_for_ever_and_is_found_again() {
    let (mut broker, log) = fragile().await;
    let mut reader = log.reader().await.unwrap();
    append(&log, &["before"]).await;
    take(reader.as_mut(), 1).await;
    broker.pause();

    let writer = writer(&log);
    let pending = writer.append(vec!["pending".into()]);
    writer.renew().await;
    let ended = pending.await;
    assert!(matches!(ended[..], [Appended::Ambiguous(_)]), "renewed: {ended:?}");
    let ended = writer.append(vec!["timed out".into()]).await;
    assert!(matches!(ended[..], [Appended::Ambiguous(_)]), "timed out: {ended:?}");
    assert!(matches!(reader.end().await, Err(ReadError::Unavailable(_))));
    assert!(matches!(error(reader.as_mut()).await, ReadError::Unavailable(_)));

    broker.resume();
    writer.renew().await;
    append(&log, &["after"]).await;
    let mut read = Vec::new();
    while read.last().is_none_or(|last| last != "after") {
        read.extend(texts(&take(reader.as_mut(), 1).await));
    }
}

async fn join<T: Send + 'static>(
    waits: Vec<impl Future<Output = Vec<T>> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = waits.into_iter().map(tokio::spawn).collect();
    let mut ends = Vec::new();
    for task in tasks {
        ends.extend(task.await.unwrap());
    }
    ends
}
