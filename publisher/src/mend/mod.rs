//! The operator's way out: how a stream goes on after a loss, or behind a commit that is wrong or cannot be read.
//!
//! ```text
//!  replay the log ──▶ what is wrong? ──▶ one commit that says so ──▶ append ──▶ read back: was it the first?
//! ```
//!
//! Each is an ordinary commit on the chain's own head, so whoever reads the log learns it there, and a second hand that
//! does the same at once loses the race as any writer does.

mod adopt;
mod rebuild;
mod resume;

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_log::{Appended, Log, ReadError, Seek};
use headwater_replica::{ReplayError, View};
use headwater_schemas::{
    Change, Commit, CommitId, Digest, Frozen, Hash, Head, Position, STREAM_NAMESPACE, Word, accept,
    commit_fingerprint,
};

pub use adopt::adopt;
pub use rebuild::{Rebuilt, rebuild};
pub use resume::resume;

use crate::draft::{Draft, bare, seal};
use crate::genesis::FoundError;
use crate::seen::knows_our_schema;

const READ_WAIT: Duration = Duration::from_secs(1);
const READ_BYTES: usize = 1024 * 1024;

/// Who mends a stream, when and why: it stands in the commit.
#[derive(Debug, Clone)]
pub struct Hand {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// Why a stream was not mended. The log is as it was, but for [`MendError::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// The log leads to no state.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log is not fit to be founded on.
    #[error(transparent)]
    Found(#[from] FoundError),
    /// Nothing is wrong with it, or it is not what was asked for: the text says what is.
    #[error("{0}")]
    NotSo(String),
    /// This process may not write to the log.
    #[error("this process may not write to the log")]
    ReadOnly,
    /// Somebody else wrote first.
    #[error("somebody else wrote to the log at the same time; run the command again")]
    Overtaken,
    /// It may or may not be in the log: run the command again, which finds what was done.
    #[error(
        "the log did not say in time whether it took the commit ({0}); run the command again, which finds out"
    )]
    Unknown(String),
    /// The log took nothing.
    #[error("the log did not take the commit: {0}")]
    Refused(String),
    /// The new stream does not hold what it was founded from.
    #[error("the new stream does not hold what it was founded from: {0}")]
    Unlike(String),
}

/// The commit behind `view` that says `word`.
fn said(word: &Word, view: &View, head: &Head, hand: &Hand) -> Result<Draft, MendError> {
    let before = view.get(STREAM_NAMESPACE, word.key()).map(|entry| entry.to_entry());
    drafted(vec![word.change(before.as_ref())], view, head, hand)
}

/// A commit of these changes behind `head`, to which `view` leads.
fn drafted(
    changes: Vec<Change>,
    view: &View,
    head: &Head,
    hand: &Hand,
) -> Result<Draft, MendError> {
    if !knows_our_schema(view) {
        return Err(MendError::NotSo(format!(
            "the stream does not carry this build's commit schema, {}: nobody could read what it wrote. Use the build \
             that its servers run",
            commit_fingerprint()
        )));
    }
    let commit = Commit {
        actor: hand.actor.as_str().into(),
        reason: hand.reason.clone(),
        changes,
        attributes: BTreeMap::from([("tool".to_owned(), "headwater stream".to_owned())]),
        ..bare(head, Digest::default(), new_id(hand), hand.now_ms)
    };
    Ok(seal(commit, view))
}

fn new_id(hand: &Hand) -> CommitId {
    let now_ms = u64::try_from(hand.now_ms).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid()
}

/// Appends a commit and sees that it is the one that continues the chain behind `head`, whose record stands at `at`.
async fn append(log: &dyn Log, draft: &Draft, head: &Head, at: Position) -> Result<(), MendError> {
    let writer = log.writer().ok_or(MendError::ReadOnly)?;
    let outcome = writer.append(vec![draft.record.clone()]).await.into_iter().next();
    let open = match outcome {
        Some(Appended::InLog(_)) => None,
        Some(Appended::Refused(why)) => return Err(MendError::Refused(why)),
        Some(Appended::Ambiguous(why)) => Some(why),
        None => Some("no answer".to_owned()),
    };
    let first = first_behind(log, head, at).await?;
    match (first, open) {
        (Some(first), _) if first == draft.folded.head.hash => Ok(()),
        (Some(_), _) => Err(MendError::Overtaken),
        (None, why) => {
            Err(MendError::Unknown(why.unwrap_or_else(|| "it cannot be read back".into())))
        }
    }
}

/// The hash of the record that continues the chain behind `head`, if the log holds one.
async fn first_behind(log: &dyn Log, head: &Head, at: Position) -> Result<Option<Hash>, MendError> {
    let mut reader = log.reader().await?;
    reader.seek(Seek::At(at)).await?;
    loop {
        let batch = reader.read(READ_WAIT, READ_BYTES).await?;
        let follows = |bytes: &[u8]| Frozen::read(bytes).is_ok_and(|frozen| accept(head, &frozen));
        if let Some(first) = batch.records.iter().find(|record| follows(&record.bytes)) {
            return Ok(Some(Hash::of(&first.bytes)));
        }
        if batch.at_end {
            return Ok(None);
        }
    }
}

/// Whether a namespace is a user's.
fn is_users(namespace: &str) -> bool {
    !namespace.starts_with('_')
}
