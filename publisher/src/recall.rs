//! Reads the idempotency window back from the log: the commits of the last 24 hours that stand on the chain.
//!
//! The log also holds records that were never accepted, and where the window begins nobody says which record
//! is on the chain. So every record whose parent is not the tip of a candidate begins one; a record on a tip
//! moves it, and the first on a tip wins, as everywhere. In the end the candidate that leads to the verified
//! head is the chain. Memory: one entry a keyed commit, not one a commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_log::{Log, ReadError, Seek};
use headwater_schemas::{Codec, Frozen, Hash, Head, Record};

use crate::idempotency::Remembered;

const READ_WAIT: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 4 * 1024 * 1024;
/// How much earlier than the window reading begins: clocks differ.
const MARGIN_MS: i64 = 60 * 60 * 1_000;
/// Candidates kept: the chain and the beginnings of dead pipelines. The one that stood still longest goes first.
const MAX_CANDIDATES: usize = 4_096;

/// What to read back.
#[derive(Debug, Clone)]
pub(crate) struct Recall {
    /// The verified head: what is remembered must lead to it.
    pub(crate) head: Head,
    /// Where the window begins, by the log's clock.
    pub(crate) since_ms: i64,
    pub(crate) codec: Codec,
    pub(crate) max_keys: usize,
}

#[derive(Debug, Default)]
struct Candidate {
    revision: u64,
    moved_at: u64,
    keyed: Vec<Remembered>,
}

/// Candidates by the hash of their tip.
#[derive(Debug, Default)]
struct Candidates {
    by_tip: HashMap<Hash, Candidate>,
    records: u64,
}

impl Candidates {
    fn take(&mut self, record: &Record, recall: &Recall) {
        let Ok(frozen) = Frozen::read(&record.bytes) else { return };
        if frozen.stream_id != recall.head.stream_id {
            return;
        }
        self.records += 1;
        let before = self.by_tip.get(&frozen.parent).map(|candidate| candidate.revision);
        let mut candidate = match before {
            Some(revision) if frozen.revision == revision.saturating_add(1) => {
                self.by_tip.remove(&frozen.parent).unwrap_or_default()
            }
            Some(_) => return,
            None => Candidate::default(),
        };
        let hash = Hash::of(&record.bytes);
        if self.by_tip.contains_key(&hash) {
            // A copy of a record that a candidate has already: the first one counts.
            return;
        }
        candidate.revision = frozen.revision;
        candidate.moved_at = self.records;
        let keyed = recall.codec.decode(&record.bytes).ok();
        let keyed = keyed.and_then(|commit| Remembered::of(&commit, hash, record.appended_at_ms));
        if let Some(keyed) = keyed
            && candidate.keyed.len() <= recall.max_keys
        {
            candidate.keyed.push(keyed);
        }
        self.by_tip.insert(hash, candidate);
        if self.by_tip.len() > MAX_CANDIDATES {
            self.drop_stillest();
        }
    }

    fn drop_stillest(&mut self) {
        let stillest = self.by_tip.iter().min_by_key(|(_, candidate)| candidate.moved_at);
        if let Some(tip) = stillest.map(|(tip, _)| *tip) {
            self.by_tip.remove(&tip);
        }
    }
}

/// Why the window is not known yet.
#[derive(Debug, thiserror::Error)]
enum Missed {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the head was committed within the window, and its record was not found there")]
    Head,
}

/// Reads the window, for as long as it takes: a log that cannot be read is read again.
pub(crate) async fn recall(log: Arc<dyn Log>, what: Recall) -> Vec<Remembered> {
    let mut pause = Duration::from_millis(50);
    loop {
        match attempt(log.as_ref(), &what).await {
            Ok(keyed) => return keyed,
            Err(error) => tracing::warn!(%error, "the idempotency window cannot be read yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

async fn attempt(log: &dyn Log, what: &Recall) -> Result<Vec<Remembered>, Missed> {
    let mut reader = log.reader().await?;
    reader.seek(Seek::BeforeTime(what.since_ms.saturating_sub(MARGIN_MS))).await?;
    let mut candidates = Candidates::default();
    loop {
        let batch = reader.read(READ_WAIT, READ_BYTES).await?;
        for record in &batch.records {
            candidates.take(record, what);
            if let Some(found) = candidates.by_tip.remove(&what.head.hash) {
                return Ok(found.keyed);
            }
        }
        if batch.at_end {
            // A head that is older than the window has nothing before it that is remembered.
            let is_older = what.head.at_ms < what.since_ms;
            return if is_older { Ok(Vec::new()) } else { Err(Missed::Head) };
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_log::MemoryLog;
    use headwater_schemas::{
        Change, Codec, Commit, Genesis, Idempotency, State, StreamId, commit_schema, encode_commit,
        encode_genesis,
    };

    use super::*;

    /// A chain that forks at every step: the loser stands before or behind its winner, with a follower of its own
    /// and copies of everything.
    fn forked(length: u64) -> (Vec<bytes::Bytes>, State, Codec) {
        let genesis = Genesis {
            stream_id: StreamId([3; 16]),
            format: headwater_schemas::FORMAT,
            created_at_ms: 0,
            schema: commit_schema().into(),
            cluster_id: None,
            supersedes: None,
        };
        let founding = genesis.commit().unwrap();
        let mut codec = Codec::default();
        codec.learn_from(&founding).unwrap();
        let mut records = vec![encode_genesis(&genesis)];
        let mut state = State::found(&founding, Hash::of(&records[0]));
        for i in 0..length {
            let winner = next(&state, &founding, &format!("won-{i}"));
            let record = encode_commit(&winner);
            let loser = encode_commit(&next(&state, &founding, &format!("lost-{i}")));
            let mut lost_state = state.clone();
            lost_state.apply(&codec.decode(&loser).unwrap(), Hash::of(&loser));
            let follower = encode_commit(&next(&lost_state, &founding, &format!("followed-{i}")));
            state.apply(&winner, Hash::of(&record));
            records.extend([record.clone(), loser, follower, record.clone(), record]);
        }
        (records, state, codec)
    }

    fn next(state: &State, founding: &Commit, key: &str) -> Commit {
        let head = state.head();
        let mut commit = Commit {
            revision: head.revision + 1,
            parent: head.hash,
            changes: vec![Change::Delete {
                namespace: "a".parse().unwrap(),
                key: "k".parse().unwrap(),
            }],
            idempotency: Some(Idempotency {
                key: key.into(),
                kind: "put".into(),
                request: Hash::of(key.as_bytes()),
            }),
            ..founding.clone()
        };
        commit.digest = state.clone().apply(&commit, Hash::default()).totals.digest();
        commit
    }

    async fn recalled(from: usize) -> Vec<String> {
        let (records, state, codec) = forked(20);
        let log = MemoryLog::with_clock(|| 0);
        log.writer().unwrap().append(records[from..].to_vec()).await;
        let what = Recall { head: *state.head(), since_ms: 0, codec, max_keys: 1_000 };
        let keyed = attempt(&log, &what).await.unwrap();
        keyed.iter().map(|keyed| keyed.key.to_string()).collect()
    }

    #[tokio::test]
    async fn only_what_stands_on_the_chain_is_remembered_wherever_the_window_begins() {
        for from in 0..=95 {
            // The first winner whose first record stands at or behind the window's beginning; a copy of an
            // accepted record begins the chain as well as the record itself.
            let all = recalled(from).await;
            let last: Vec<String> = (0..20).map(|i| format!("won-{i}")).collect();
            assert!(last.ends_with(&all), "from {from}: {all:?}");
            let whole = (from.saturating_sub(1)).div_ceil(5);
            assert!(all.len() >= 20 - whole, "from {from}: {all:?}");
        }
    }

    #[tokio::test]
    async fn a_head_that_is_not_where_it_must_be_is_no_empty_window() {
        let (records, state, codec) = forked(3);
        let log = MemoryLog::with_clock(|| 0);
        log.writer().unwrap().append(records[..5].to_vec()).await;
        let what = Recall { head: *state.head(), since_ms: 0, codec, max_keys: 1_000 };
        assert!(matches!(attempt(&log, &what).await, Err(Missed::Head)));
        assert!(attempt(&log, &Recall { since_ms: 1, ..what }).await.unwrap().is_empty());
    }
}
