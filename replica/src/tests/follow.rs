//! The loop over a log in memory: what it founds, follows, ignores, and when it stops.

use std::sync::Arc;
use std::time::Duration;

use headwater_log::{Log, MemoryLog};
use headwater_schemas::{Commit, Hash, State, encode_commit, encode_genesis};
use tokio_util::sync::CancellationToken;

use super::view::genesis;
use crate::{AlarmKind, Follow, Loop, Phase, Replica, Settings};

/// A log, the model of what is on its chain, and the records so far.
struct Stream {
    log: MemoryLog,
    state: State,
    records: Vec<bytes::Bytes>,
}

impl Stream {
    async fn found() -> Self {
        let (genesis, founding) = genesis();
        let record = encode_genesis(&genesis);
        let state = State::found(&founding, Hash::of(&record));
        let mut stream = Self { log: MemoryLog::new(), state, records: Vec::new() };
        stream.append(record).await;
        stream
    }

    async fn append(&mut self, record: bytes::Bytes) {
        self.records.push(record.clone());
        self.log.writer().unwrap().append(vec![record]).await;
    }

    fn next(&self, value: &str) -> Commit {
        let head = self.state.head();
        let mut commit = genesis().1;
        commit.revision = head.revision + 1;
        commit.parent = head.hash;
        commit.at_ms = head.at_ms;
        commit.changes = vec![headwater_schemas::Change::Put {
            namespace: "app".parse().unwrap(),
            key: format!("k{}", head.revision % 7).parse().unwrap(),
            content_type: "text/plain".into(),
            value: value.to_owned().into(),
            version: 1,
        }];
        let mut preview = self.state.clone();
        commit.digest = preview.apply(&commit, Hash::default()).totals.digest();
        commit
    }

    async fn commit(&mut self, value: &str) {
        let commit = self.next(value);
        let record = encode_commit(&commit);
        self.state.apply(&commit, Hash::of(&record));
        self.append(record).await;
    }
}

struct Running {
    replica: Replica,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn run((replica, keeper): (Replica, Loop)) -> Running {
    let stop = CancellationToken::new();
    let task = tokio::spawn(keeper.run(stop.clone()));
    Running { replica, stop, task }
}

fn over(log: &MemoryLog, settings: Settings) -> Running {
    run(Replica::new(settings, Follow::Log(Arc::new(log.clone())), None))
}

impl Running {
    async fn at(&self, revision: u64) {
        tokio::time::timeout(Duration::from_secs(10), self.replica.wait_for(revision))
            .await
            .unwrap()
            .unwrap();
    }

    async fn alarmed(&self) -> AlarmKind {
        let mut progress = self.replica.progress();
        let read_only = progress.wait_for(|now| now.phase == Phase::ReadOnly);
        tokio::time::timeout(Duration::from_secs(60), read_only).await.unwrap().unwrap();
        self.replica.alarm().unwrap().kind
    }

    async fn close(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn cached(dir: &tempfile::TempDir) -> Settings {
    Settings { cache_dir: Some(dir.path().to_owned()), ..Settings::default() }
}

#[tokio::test]
async fn a_replica_follows_a_log_from_its_genesis_and_ignores_what_is_not_on_the_chain() {
    let mut stream = Stream::found().await;
    let running = over(&stream.log, Settings::default());
    for n in 0..50 {
        let loser = encode_commit(&stream.next("loser"));
        stream.commit(&format!("value {n}")).await;
        stream.append(loser).await;
        stream.append("garbage".into()).await;
        let repeated = stream.records[n % stream.records.len()].clone();
        stream.append(repeated).await;
    }
    running.at(50).await;
    let view = running.replica.view().unwrap();
    assert_eq!(view.head(), stream.state.head());
    assert_eq!(view.totals(), stream.state.totals());
    running.close().await;
}

#[tokio::test]
async fn a_replica_goes_on_from_its_cache_and_reads_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Stream::found().await;
    for n in 0..20 {
        stream.commit(&n.to_string()).await;
    }
    let running = over(&stream.log, cached(&dir));
    running.at(20).await;
    running.close().await;
    stream.commit("after").await;
    let running = over(&stream.log, cached(&dir));
    running.at(21).await;
    assert_eq!(running.replica.status().source, crate::Source::Cache);
    assert_eq!(running.replica.tail().oldest(), Some(20));
    assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
    running.close().await;
}

#[tokio::test]
async fn a_log_that_was_recreated_longer_than_our_offset_changes_nothing_and_raises_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Stream::found().await;
    for n in 0..5 {
        stream.commit(&n.to_string()).await;
    }
    let running = over(&stream.log, cached(&dir));
    running.at(5).await;
    running.close().await;

    let mut other = Stream::found().await;
    for n in 0..50 {
        other.commit(&format!("other {n}")).await;
    }
    let running = over(&other.log, cached(&dir));
    assert_eq!(running.alarmed().await, AlarmKind::NotOnThisLog);
    assert_eq!(running.replica.view().unwrap().head(), stream.state.head());
    running.close().await;
}

#[tokio::test]
async fn an_accepted_commit_that_cannot_be_decoded_stops_at_the_last_good_state() {
    let mut stream = Stream::found().await;
    stream.commit("good").await;
    let mut record = encode_commit(&stream.next("bad")).to_vec();
    record.truncate(record.len() - 3);
    stream.append(record.into()).await;
    let running = over(&stream.log, Settings::default());
    assert_eq!(running.alarmed().await, AlarmKind::Undecodable);
    assert_eq!(running.replica.view().unwrap().revision(), 1);
    running.close().await;
}

#[tokio::test]
async fn a_commit_with_a_wrong_digest_is_folded_after_a_rebuild_and_raises_an_alarm() {
    let mut stream = Stream::found().await;
    stream.commit("good").await;
    let mut wrong = stream.next("wrong digest");
    wrong.digest = Default::default();
    let record = encode_commit(&wrong);
    stream.state.apply(&wrong, Hash::of(&record));
    stream.append(record).await;
    stream.commit("after").await;
    let running = over(&stream.log, Settings::default());
    running.at(3).await;
    assert_eq!(running.replica.alarm().unwrap().kind, AlarmKind::Divergence);
    assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
    running.close().await;
}
