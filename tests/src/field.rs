//! A stream on the cluster with everything that serves it: publishers, snapshotters, services.

use std::time::Duration;

use headwater_api::{CommitBody, StatusBody};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::http::{Answer, Ask, ask};
use crate::process::Headwater;
use crate::stand::{chain, status};
use crate::topic;

/// How long replicas may take to agree once nobody writes.
const AGREE: Duration = Duration::from_secs(60);

/// Publishers and snapshotters of one stream, each a process with a data directory of its own.
#[derive(Debug)]
pub struct Field {
    /// The name of the stream.
    pub stream: String,
    /// The publishers.
    pub publishers: Vec<Headwater>,
    /// The snapshotters.
    pub snapshotters: Vec<Headwater>,
    kafka: String,
    dir: TempDir,
}

impl Cluster {
    /// A stream of its own, with so many publishers and snapshotters that are ready.
    pub fn field(&self, publishers: usize, snapshotters: usize) -> Field {
        let (stream, kafka) = (topic::fresh_name("field"), self.bootstrap());
        let dir = tempfile::tempdir().expect("a folder");
        let mut field = Field { stream, publishers: vec![], snapshotters: vec![], kafka, dir };
        field.publishers = (0..publishers).map(|i| field.start("publisher", i)).collect();
        field.snapshotters = (0..snapshotters).map(|i| field.start("snapshotter", i)).collect();
        field
    }
}

impl Field {
    /// Starts one more process on the stream, with a data directory of its own for each role and number.
    pub fn start(&self, role: &str, number: usize) -> Headwater {
        let data = self.data(role, number).display().to_string();
        Headwater::start(&[role, "--data", &data, "--kafka", &self.kafka, "--stream", &self.stream])
    }

    /// The data directory of a process.
    pub fn data(&self, role: &str, number: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("{role}-{number}"))
    }

    /// The topic that is the stream's log.
    pub fn topic(&self) -> String {
        format!("{}.commits", self.stream)
    }

    /// Where the publishers listen.
    pub fn hosts(&self) -> Vec<&str> {
        self.publishers.iter().map(Headwater::host).collect()
    }

    /// Asks a publisher.
    pub async fn ask(&self, publisher: usize, what: Ask) -> Answer {
        ask(self.publishers[publisher].host(), &what).await
    }

    /// Puts a value, and gives its revision.
    pub async fn put(&self, publisher: usize, target: &str, value: &str) -> u64 {
        let answer = self.ask(publisher, Ask::put(target, value.to_owned())).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.revision()
    }

    /// Puts these numbers one after the other, each to the key of its last digit, and gives the last revision.
    pub async fn fill(&self, numbers: std::ops::Range<u64>) -> u64 {
        let mut revision = 0;
        for number in numbers {
            revision =
                self.put(0, &format!("/v1/config/app/k{}", number % 10), &number.to_string()).await;
        }
        revision
    }

    /// Runs `headwater stream` on the stream's log, and gives its exit code and what it said.
    pub fn mend(&self, args: &[&str]) -> (i32, String) {
        let log = ["--kafka", &self.kafka, "--stream", &self.stream, "--actor", "ops"];
        headwater(&[&["stream"], args, &log].concat())
    }

    /// Waits until every process refuses to write, and gives the reason that each publisher names.
    ///
    /// # Panics
    /// When one acknowledges a write, or names no reason with these words in time.
    pub async fn stand_still(&self, words: &str) {
        for publisher in 0..self.publishers.len() {
            let deadline = tokio::time::Instant::now() + AGREE;
            loop {
                let answer = self.ask(publisher, Ask::put("/v1/config/never/k", "0")).await;
                assert!(matches!(answer.status, 503 | 504), "{}", answer.text());
                if answer.status == 503 && answer.text().contains(words) {
                    break;
                }
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "publisher {publisher}: {}",
                    answer.text()
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Waits until every publisher takes writes again.
    ///
    /// # Panics
    /// When one does not in time.
    pub async fn writable(&self) {
        for publisher in 0..self.publishers.len() {
            let deadline = tokio::time::Instant::now() + AGREE;
            loop {
                let answer = self.ask(publisher, Ask::put("/v1/config/again/k", "1")).await;
                if matches!(answer.status, 200 | 201) {
                    break;
                }
                let log = self.publishers[publisher].log();
                assert!(
                    tokio::time::Instant::now() < deadline,
                    "publisher {publisher}: {}\n{log}",
                    answer.text()
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// An SDK client that follows the snapshotters, and the publishers, as relays, to be given namespaces.
    pub fn sdk(&self) -> headwater::Builder {
        let urls = self.snapshotters.iter().chain(&self.publishers).map(Headwater::url);
        urls.fold(headwater::Client::builder(), headwater::Builder::relay)
    }

    /// Waits until every process has the same revision, and gives what each says, the publishers first.
    ///
    /// # Panics
    /// When they do not in time, or disagree.
    pub async fn agreed(&self) -> Vec<StatusBody> {
        let deadline = tokio::time::Instant::now() + AGREE;
        loop {
            let mut all = Vec::new();
            for server in self.publishers.iter().chain(&self.snapshotters) {
                all.push(status(server.host()).await);
            }
            let same = all.windows(2).all(|pair| pair[0].revision == pair[1].revision);
            if same {
                for pair in all.windows(2) {
                    assert_eq!((pair[0].hash, pair[0].digest), (pair[1].hash, pair[1].digest));
                }
                return all;
            }
            assert!(tokio::time::Instant::now() < deadline, "they do not agree: {all:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every commit, as each snapshotter tells it: dense, linked, and the same everywhere.
    pub async fn chain(&self) -> Vec<CommitBody> {
        let mut told: Option<Vec<CommitBody>> = None;
        for snapshotter in &self.snapshotters {
            let commits = chain(snapshotter.host()).await;
            if let Some(told) = &told {
                let hashes =
                    |commits: &[CommitBody]| commits.iter().map(|it| it.hash).collect::<Vec<_>>();
                assert_eq!(hashes(told), hashes(&commits), "snapshotters disagree");
            }
            told = Some(commits);
        }
        told.expect("a field with a snapshotter")
    }
}

/// Runs `headwater` to its end, and gives its exit code and what it said, standard error behind standard output.
pub fn headwater(args: &[&str]) -> (i32, String) {
    let mut command = std::process::Command::new(crate::process::binary());
    let output = command.args(args).env_remove("HEADWATER_LOG").env_remove("RUST_LOG").output();
    let output = output.expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}
