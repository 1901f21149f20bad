//! The loop over a log in memory: what it founds, follows, ignores, and when it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use headwater_log::{FaultPlan, Faulty, Identity, Log, LogReader, LogWriter, MemoryLog, ReadError};
use headwater_schemas::{
    Change, Commit, Digest, Hash, Point, Position, State, Word, encode_commit, encode_genesis,
};
use tokio_util::sync::CancellationToken;

use super::view::genesis;
use crate::ancestry::KEPT;
use crate::{AlarmKind, Follow, Loop, Phase, Replica, Settings};

/// A log, the model of what is on its chain, and the records so far.
pub(super) struct Stream {
    pub(super) log: MemoryLog,
    pub(super) state: State,
    pub(super) records: Vec<bytes::Bytes>,
}

impl Stream {
    pub(super) async fn found() -> Self {
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
        self.next_of(Change::Put {
            namespace: "app".parse().unwrap(),
            key: format!("k{}", self.state.head().revision % 7).parse().unwrap(),
            content_type: "text/plain".into(),
            value: value.to_owned().into(),
            version: 1,
        })
    }

    fn next_of(&self, change: Change) -> Commit {
        let head = self.state.head();
        let mut commit = genesis().1;
        commit.revision = head.revision + 1;
        commit.parent = head.hash;
        commit.at_ms = head.at_ms;
        commit.changes = vec![change];
        let mut preview = self.state.clone();
        commit.digest = preview.apply(&commit, Hash::default()).totals.digest();
        commit
    }

    pub(super) async fn commit(&mut self, value: &str) {
        self.accepted(self.next(value)).await;
    }

    /// An operator's commit: the stream goes on from here.
    async fn adopt(&mut self) {
        let word = Word::Adopts(Point::from(self.state.head()));
        self.accepted(self.next_of(word.change(None))).await;
    }

    async fn accepted(&mut self, commit: Commit) {
        let record = encode_commit(&commit);
        self.state.apply(&commit, Hash::of(&record));
        self.append(record).await;
    }

    /// A commit whose writer computed another digest.
    async fn commit_wrong(&mut self, value: &str) {
        let mut commit = self.next(value);
        commit.digest = Digest::default();
        let record = encode_commit(&commit);
        self.state.apply(&commit, Hash::of(&record));
        self.append(record).await;
    }
}

/// A log that loses its genesis before its second reader comes.
#[derive(Debug)]
struct Trimmed(MemoryLog, AtomicUsize);

impl Log for Trimmed {
    fn identity(&self) -> &Identity {
        self.0.identity()
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        if self.1.fetch_add(1, Ordering::Relaxed) == 1 {
            self.0.trim(Position(1));
        }
        self.0.reader()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        None
    }
}

pub(super) struct Running {
    pub(super) replica: Replica,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

pub(super) fn run((replica, keeper): (Replica, Loop)) -> Running {
    let stop = CancellationToken::new();
    let task = tokio::spawn(keeper.run(stop.clone()));
    Running { replica, stop, task }
}

fn over(log: &MemoryLog, settings: Settings) -> Running {
    run(Replica::new(settings, Follow::Log(Arc::new(log.clone())), None))
}

impl Running {
    pub(super) async fn at(&self, revision: u64) {
        tokio::time::timeout(Duration::from_secs(10), self.replica.wait_for(revision))
            .await
            .unwrap()
            .unwrap();
    }

    pub(super) async fn alarmed(&self) -> AlarmKind {
        self.reaches(Phase::ReadOnly).await;
        self.replica.alarm().unwrap().kind
    }

    async fn live(&self) {
        self.reaches(Phase::Live).await;
    }

    async fn reaches(&self, phase: Phase) {
        let mut progress = self.replica.progress();
        let reached = progress.wait_for(|now| now.phase == phase);
        tokio::time::timeout(Duration::from_secs(60), reached).await.unwrap().unwrap();
    }

    pub(super) async fn close(self) {
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

#[tokio::test]
async fn a_further_divergence_is_folded_without_a_replay_and_the_replica_is_live() {
    let mut stream = Stream::found().await;
    stream.commit_wrong("first").await;
    let running = over(&stream.log, Settings::default());
    running.at(1).await;
    // Without its genesis the log cannot be replayed any more.
    stream.log.trim(Position(1));
    stream.commit_wrong("second").await;
    running.at(2).await;
    assert_eq!(running.replica.alarm().unwrap().kind, AlarmKind::Divergence);
    running.live().await;
    assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
    running.close().await;
}

#[tokio::test]
async fn a_divergence_is_still_alarmed_when_another_alarm_came_and_went() {
    let mut stream = Stream::found().await;
    stream.commit_wrong("wrong").await;
    let running = over(&stream.log, Settings::default());
    running.at(1).await;
    running.live().await;
    stream.log.truncate(Position(1));
    assert_eq!(running.alarmed().await, AlarmKind::NotOnThisLog);
    let lost = stream.records[1..].to_vec();
    stream.log.writer().unwrap().append(lost).await;
    running.live().await;
    assert_eq!(running.replica.alarm().unwrap().kind, AlarmKind::Divergence);
    running.close().await;
}

#[tokio::test]
async fn a_log_restored_without_what_could_not_be_decoded_is_followed_again() {
    let mut stream = Stream::found().await;
    stream.commit("good").await;
    let mut record = encode_commit(&stream.next("bad")).to_vec();
    record.truncate(record.len() - 3);
    stream.log.writer().unwrap().append(vec![record.into()]).await;
    let running = over(&stream.log, Settings::default());
    assert_eq!(running.alarmed().await, AlarmKind::Undecodable);
    stream.log.truncate(Position(2));
    running.live().await;
    assert_eq!(running.replica.alarm(), None);
    running.close().await;
}

#[tokio::test]
async fn commits_before_one_that_cannot_be_applied_are_told_to_whoever_waits() {
    let mut stream = Stream::found().await;
    stream.commit("good").await;
    stream.commit_wrong("wrong").await;
    // The replay that a divergence asks for fails.
    let log = Trimmed(stream.log.clone(), AtomicUsize::new(0));
    let running = run(Replica::new(Settings::default(), Follow::Log(Arc::new(log)), None));
    running.at(1).await;
    running.close().await;
}

#[tokio::test]
async fn what_was_ignored_is_not_counted_again_when_it_is_read_again() {
    let mut stream = Stream::found().await;
    let loser = encode_commit(&stream.next("loser"));
    stream.commit("winner").await;
    stream.append(loser).await;
    let log = Arc::new(Faulty::new(Arc::new(stream.log.clone()), FaultPlan::NONE, 1));
    let running = run(Replica::new(Settings::default(), Follow::Log(log.clone()), None));
    running.live().await;
    log.set_plan(FaultPlan { unavailable: 1_000, ..FaultPlan::NONE });
    stream.append("garbage".into()).await;
    running.reaches(Phase::Stale).await;
    log.set_plan(FaultPlan::NONE);
    running.live().await;
    assert_eq!(running.replica.status().ignored, 2);
    running.close().await;
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_costs_no_state() {
    let mut stream = Stream::found().await;
    stream.commit("value").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = Settings { cache_dir: Some(file.path().to_owned()), ..Settings::default() };
    let running = over(&stream.log, settings);
    running.live().await;
    assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
    running.close().await;
}

#[tokio::test]
async fn a_divergence_is_alarmed_again_by_every_start_from_the_same_cache() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Stream::found().await;
    stream.commit("good").await;
    let running = over(&stream.log, cached(&dir));
    running.live().await;
    running.close().await;
    stream.commit_wrong("wrong").await;
    stream.commit("after").await;
    for _ in 0..3 {
        let running = over(&stream.log, cached(&dir));
        running.at(3).await;
        assert_eq!(running.replica.alarm().unwrap().kind, AlarmKind::Divergence);
        assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
        running.close().await;
    }
}

#[tokio::test]
async fn a_divergence_on_a_log_without_its_genesis_is_folded_and_the_alarm_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = Stream::found().await;
    stream.commit("good").await;
    let running = over(&stream.log, cached(&dir));
    running.live().await;
    running.close().await;
    stream.log.trim(Position(1));
    stream.commit_wrong("wrong").await;
    stream.commit("after").await;
    let running = over(&stream.log, cached(&dir));
    running.at(3).await;
    let alarm = running.replica.alarm().unwrap();
    assert_eq!(alarm.kind, AlarmKind::Divergence);
    assert!(alarm.detail.contains("could not be built anew"), "{}", alarm.detail);
    running.live().await;
    assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
    running.close().await;
}

#[tokio::test]
async fn a_replica_follows_an_operator_from_its_last_1024_points_and_from_an_older_one_raises_an_alarm()
 {
    for (lost, follows) in [(KEPT - 1, true), (KEPT, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut stream = Stream::found().await;
        stream.commit("kept").await;
        let (kept, end) = (stream.state.clone(), stream.log.end());
        for n in 0..lost {
            stream.commit(&n.to_string()).await;
        }
        let ours = *stream.state.head();
        let running = over(&stream.log, cached(&dir));
        running.at(ours.revision).await;
        running.close().await;

        stream.log.truncate(end);
        stream.state = kept;
        stream.adopt().await;
        let running = over(&stream.log, cached(&dir));
        if follows {
            running.live().await;
            assert_eq!(running.replica.view().unwrap().head(), stream.state.head());
        } else {
            assert_eq!(running.alarmed().await, AlarmKind::NotOnThisLog);
            assert_eq!(running.replica.view().unwrap().head(), &ours);
        }
        running.close().await;
    }
}
