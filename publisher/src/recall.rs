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
use headwater_schemas::{Codec, Frozen, Hash, Head, Position, Record};

use crate::idempotency::Remembered;

const READ_WAIT: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 4 * 1024 * 1024;
/// Candidates kept: the chain and the beginnings of dead pipelines. The one that stood still longest goes first.
const MAX_CANDIDATES: usize = 4_096;

/// What to read back.
#[derive(Debug, Clone)]
pub(crate) struct Recall {
    /// The verified head: what is remembered must lead to it.
    pub(crate) head: Head,
    /// Where the head's record stands.
    pub(crate) upto: Position,
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

async fn attempt(log: &dyn Log, what: &Recall) -> Result<Vec<Remembered>, ReadError> {
    let mut reader = log.reader().await?;
    reader.seek(Seek::BeforeTime(what.since_ms)).await?;
    let mut candidates = Candidates::default();
    loop {
        let batch = reader.read(READ_WAIT, READ_BYTES).await?;
        for record in &batch.records {
            candidates.take(record, what);
            if let Some(found) = candidates.by_tip.remove(&what.head.hash) {
                return Ok(found.keyed);
            }
        }
        // The head is older than the window, or at its very edge: nothing on the chain is remembered.
        if batch.at_end || batch.next > what.upto {
            return Ok(Vec::new());
        }
    }
}
