//! A stream moves to another cluster by a copy of its log, record by record, as docs/operations.md has it.

use std::time::Duration;

use bytes::Bytes;
use headwater_log::{Log as _, LogReader, Seek};
use headwater_log_kafka::{KafkaLog, KafkaSettings};
use headwater_tests::broker::{self, Broker};
use headwater_tests::http::Ask;
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, Stand, bounded, chain, status};
use headwater_tests::topic;

/// All records of a log.
async fn records(kafka: &str, stream: &str) -> Vec<Bytes> {
    let settings = KafkaSettings::new(kafka, stream.parse().unwrap());
    let log = KafkaLog::open_read_only(settings).await.unwrap();
    let mut reader: Box<dyn LogReader> = log.reader().await.unwrap();
    reader.seek(Seek::Oldest).await.unwrap();
    let mut all = Vec::new();
    loop {
        let batch = reader.read(Duration::from_secs(5), 1 << 20).await.unwrap();
        all.extend(batch.records.into_iter().map(|record| record.bytes));
        if batch.at_end {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_from_a_copy_of_its_log_on_another_cluster_where_every_record_stands_elsewhere()
 {
    let claim = async {
        let mut stand = Stand::start(Log::Kafka);
        for value in 0..20 {
            let put = Ask::put(format!("/v1/config/app/k{}", value % 3), value.to_string());
            assert!(matches!(stand.ask(put).await.status, 200 | 201));
        }
        let before = stand.status().await;
        stand.server.terminate(Duration::from_secs(30));

        let new = Broker::start();
        let kafka = new.bootstrap();
        let copy = format!("{}.commits", stand.stream());
        let configs = [
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("message.timestamp.type", "LogAppendTime"),
            ("unclean.leader.election.enable", "false"),
            ("max.message.bytes", "2097152"),
        ];
        topic::create(&kafka, &copy, 1, &configs).await;
        let records = records(broker::shared(), stand.stream()).await;
        // A copy that began anew after a few records: the chain takes each once.
        let twice = records[..5].iter().chain(&records);
        let values: Vec<Option<&[u8]>> = twice.map(|record| Some(&record[..])).collect();
        topic::produce(&kafka, &copy, &values).await;

        let flags = ["--kafka", kafka.as_str(), "--stream", stand.stream()];
        let moved = Headwater::serve(stand.data(), &flags);
        let after = status(moved.host()).await;
        assert_eq!(
            (after.stream_id, after.hash, after.digest),
            (before.stream_id, before.hash, before.digest)
        );
        assert_ne!(after.log.cluster_id, before.log.cluster_id);
        headwater_tests::http::ask(moved.host(), &Ask::put("/v1/config/app/k0", "new"))
            .await
            .is(400);
        let put =
            headwater_tests::http::ask(moved.host(), &Ask::put("/v1/config/app/k0", "7")).await;
        assert_eq!(put.is(200).revision(), before.revision + 1);
        assert_eq!(chain(moved.host()).await.len() as u64, before.revision + 1);
        // Whoever begins without anything reads the same from the copy alone.
        let empty = tempfile::tempdir().unwrap();
        let fresh = Headwater::serve(empty.path(), &flags);
        assert_eq!(status(fresh.host()).await.digest, status(moved.host()).await.digest);
    };
    bounded(claim).await;
}
