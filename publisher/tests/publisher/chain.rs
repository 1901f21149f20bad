//! The chain as an auditor reads it: from the first record, by `accept` and the plain model alone.

use headwater_log::MemoryLog;
use headwater_schemas::{
    Change, Codec, Commit, Frozen, Genesis, Hash, State, accept, marker_nonce,
};

use crate::harness::{change, commits_in, delete, founded, publisher, put, text, write};
use headwater_publisher::Kind;

/// What is on the chain.
pub(crate) struct Audit {
    pub(crate) commits: Vec<(Hash, Commit)>,
    pub(crate) state: State,
    /// Records that do not count.
    pub(crate) ignored: usize,
}

/// The state at every revision.
pub(crate) fn states(log: &MemoryLog) -> Vec<State> {
    let mut states = Vec::new();
    let last = walk(log, |state| states.push(state.clone())).state;
    states.push(last);
    states
}

pub(crate) fn audit(log: &MemoryLog) -> Audit {
    walk(log, |_| {})
}

/// Folds the chain; `left` is told of every state before the commit behind it.
fn walk(log: &MemoryLog, mut left: impl FnMut(&State)) -> Audit {
    let records = log.records();
    let (first, rest) = records.split_first().unwrap();
    let founding = Genesis::decode(&first.bytes).unwrap().commit().unwrap();
    let mut codec = Codec::default();
    codec.learn_from(&founding).unwrap();
    let mut audit = Audit {
        commits: Vec::new(),
        state: State::found(&founding, Hash::of(&first.bytes)),
        ignored: 0,
    };
    for record in rest.iter().filter(|record| marker_nonce(&record.bytes).is_none()) {
        let frozen = Frozen::read(&record.bytes).unwrap();
        if !accept(audit.state.head(), &frozen) {
            audit.ignored += 1;
            continue;
        }
        let commit = codec.decode(&record.bytes).unwrap();
        assert!(commit.at_ms >= audit.state.head().at_ms, "time went back at {}", commit.revision);
        let hash = Hash::of(&record.bytes);
        left(&audit.state);
        let folded = audit.state.apply(&commit, hash);
        assert_eq!(folded.divergence, None);
        for (change, effect) in commit.changes.iter().zip(&folded.effects) {
            if let Change::Put { version, .. } = change {
                assert_eq!(Some(*version), effect.after.as_ref().map(|entry| entry.version));
            }
        }
        audit.commits.push((hash, commit));
    }
    audit
}

impl Audit {
    /// How often a value was put under any key.
    pub(crate) fn times(&self, wanted: &str) -> usize {
        let changes = self.commits.iter().flat_map(|(_, commit)| &commit.changes);
        let puts = |change: &&Change| matches!(change, Change::Put { value, .. } if value.as_ref() == wanted.as_bytes());
        changes.filter(puts).count()
    }
}

#[tokio::test]
async fn a_write_is_answered_when_this_process_has_read_it_back() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    let receipt = publisher.put("db/pool", "1").await.unwrap();
    assert_eq!((receipt.revision, receipt.version), (1, Some(1)));
    assert_eq!(publisher.value("db/pool").as_deref(), Some("1"));
    let again = publisher.put("db/pool", "1").await.unwrap();
    assert_eq!(
        (again.revision, again.version),
        (2, Some(2)),
        "the same bytes are a commit like any other"
    );
    let gone = publisher.receipt(delete("db/pool")).await.unwrap();
    assert_eq!((gone.revision, gone.version, gone.changes[0].version), (3, None, None));
    assert_eq!(
        publisher.put("db/pool", "2").await.unwrap().version,
        Some(1),
        "a new life begins at 1"
    );
    let audit = audit(&log);
    assert_eq!((audit.commits.len(), audit.ignored), (4, 0));
    assert_eq!(audit.commits[0].0, receipt.hash);
    assert_eq!(audit.commits[0].1.commit_id, receipt.commit_id.unwrap());
}

#[tokio::test]
async fn many_writers_make_one_dense_chain_in_the_order_of_their_receipts() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    let writes =
        (0..300).map(|i| publisher.writer.write(put(&format!("k{}", i % 7), &format!("v{i}"))));
    let written = futures::future::join_all(writes).await;
    assert!(written.iter().all(Result::is_ok));
    let audit = audit(&log);
    assert_eq!(audit.commits.len(), 300);
    assert_eq!(audit.ignored, 0, "nobody else wrote");
    let view = publisher.replica.view().unwrap();
    assert_eq!(view.head(), audit.state.head());
    assert_eq!(view.totals().digest(), audit.state.totals().digest());
}

#[tokio::test]
async fn a_commit_of_a_thousand_changes_is_one_record() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    let changes = (0..1_000).map(|i| change(&format!("k/{i:04}"), text(&format!("{i}")))).collect();
    let receipt = publisher.receipt(write(Kind::Commit, changes)).await.unwrap();
    assert_eq!((receipt.revision, receipt.changes.len(), receipt.version), (1, 1_000, None));
    assert_eq!(commits_in(&log), 2);
    assert_eq!(publisher.value("k/0999").as_deref(), Some("999"));
}

#[tokio::test]
async fn a_writer_behind_a_new_base_image_goes_on_from_it() {
    // More than one derivation of the tip while the pipeline is never empty.
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    let writes = (0..3_000).map(|i| publisher.writer.write(put(&format!("k{i}"), "v")));
    let written = futures::future::join_all(writes).await;
    assert!(written.iter().all(Result::is_ok));
    assert_eq!(audit(&log).commits.len(), 3_000);
}
