//! What others put into the log's topic, or take from it, changes nobody's state.

use std::time::Duration;

use headwater_api::Frame;
use headwater_client::Client;
use headwater_tests::http::{Ask, Connection};
use headwater_tests::probe::Probe;
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, Stand, bounded};
use headwater_tests::{broker, load, topic};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const PATIENCE: Duration = Duration::from_secs(60);

async fn fill(stand: &Stand, writes: u64) {
    load::acknowledged(stand.server.host(), 4, writes, |number| {
        Ask::put(format!("/v1/config/app/k{}", number % 13), number.to_string())
    })
    .await;
}

/// The first records of a stream's chain, as stored.
async fn records(stand: &Stand, count: usize) -> Vec<Vec<u8>> {
    let url = stand.server.url();
    let client = Client::builder().server(url).build().unwrap();
    let first = stand.chain().await[0].parent;
    let mut stream = client.stream(0, first, None).await.unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        let frame = tokio::time::timeout(PATIENCE, stream.next()).await.expect("a frame").unwrap();
        if let Frame::Commit { record, .. } = frame {
            records.push(record.to_vec());
        }
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_tombstones_duplicates_and_other_streams_records_change_nobodys_state() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let claim = async {
        let (stand, other) = (Stand::start(Log::Kafka), Stand::start(Log::Kafka));
        fill(&stand, 60).await;
        fill(&other, 30).await;
        let (mut foreign, others) = (records(&stand, 40).await, records(&other, 20).await);
        foreign.extend(others);
        let mut rng = StdRng::seed_from_u64(seed);
        // Cut, changed, and nonsense.
        for index in 0..40 {
            let record = foreign[index].clone();
            foreign.push(record[..rng.random_range(0..record.len())].to_vec());
            let (mut changed, place) = (record.clone(), rng.random_range(0..record.len()));
            changed[place] ^= 1 << rng.random_range(0..8);
            foreign.push(changed);
            foreign.push((0..rng.random_range(0..300)).map(|_| rng.random()).collect());
        }
        let topic = format!("{}.commits", stand.stream());
        let flood = tokio::spawn(async move {
            let values: Vec<Option<&[u8]>> =
                foreign.iter().map(|record| Some(record.as_slice())).chain([None, None]).collect();
            for values in values.chunks(3) {
                topic::produce(broker::shared(), &topic, values).await;
            }
        });
        let mut written = 60;
        while !flood.is_finished() {
            fill(&stand, 20).await;
            written += 20;
        }
        flood.await.unwrap();
        fill(&stand, 20).await;
        written += 20;

        let commits = stand.chain().await;
        let changes = commits.iter().filter(|commit| !commit.changes.is_empty()).count();
        assert_eq!(changes, written, "each write is there once");
        // Two that read the whole log: a server with nothing, and a service.
        let head = stand.status().await;
        let newcomer = stand.another();
        let theirs = newcomer.status().await;
        assert_eq!(
            (theirs.revision, theirs.hash, theirs.digest),
            (head.revision, head.hash, head.digest)
        );
        let (stream, until) = (stand.stream(), head.revision.to_string());
        let flags = ["--kafka", broker::shared(), "--stream", stream, "--until", &until];
        let reached = Probe::start(&flags).reached(PATIENCE);
        assert_eq!(reached["digest"], head.digest.to_string(), "{reached}");
        assert_eq!(reached["hash"], head.hash.to_string(), "{reached}");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_beginning_of_the_log_was_deleted_who_has_data_goes_on_and_nobody_founds_anew() {
    let claim = async {
        let mut stand = Stand::start(Log::Kafka);
        fill(&stand, 60).await;
        let before = stand.status().await;
        assert_eq!(stand.server.terminate(PATIENCE), 0);
        let topic = format!("{}.commits", stand.stream());
        topic::delete_records(broker::shared(), &topic, before.log.position - 5).await;

        stand.server.restart();
        let after = stand.status().await;
        assert_eq!(
            (after.revision, after.hash, after.digest),
            (before.revision, before.hash, before.digest)
        );
        fill(&stand, 10).await;
        let head = stand.status().await;
        assert_eq!(head.revision, before.revision + 10);

        let data = tempfile::tempdir().unwrap();
        let path = data.path().display().to_string();
        let flags =
            ["serve", "--data", &path, "--kafka", broker::shared(), "--stream", stand.stream()];
        // One that has no data, and is not told of the table either, from which it would go on.
        let without = [("HEADWATER_TABLE__ENABLED", "false")];
        let mut newcomer = Headwater::start_unready(&flags, &without);
        assert_writes_nothing(&mut newcomer).await;
        let later = stand.status().await;
        assert_eq!((later.revision, later.hash), (head.revision, head.hash));
    };
    bounded(claim).await;
}

/// It ends with a reason, or answers 503 with one, for as long as one can wait.
async fn assert_writes_nothing(newcomer: &mut Headwater) {
    let until = tokio::time::Instant::now() + Duration::from_secs(3);
    let mut answers = 0;
    while tokio::time::Instant::now() < until {
        if let Some(code) = newcomer.exit() {
            assert_ne!(code, 0, "{}", newcomer.log());
            assert!(newcomer.log().contains("genesis"), "it says why: {}", newcomer.log());
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(mut line) = Connection::open(newcomer.host()).await else { continue };
        let Ok(answer) = line.send(&Ask::put("/v1/config/app/k", "1")).await else { continue };
        assert_eq!(answer.status, 503, "{}", answer.text());
        answers += 1;
    }
    assert!(answers > 0, "it neither ended nor answered:\n{}", newcomer.log());
}
