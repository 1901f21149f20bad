//! Founding a new stream from a state, after the log of the old one is lost, or to move it elsewhere.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_log::{Appended, Log};
use headwater_replica::{Replayed, View, replay};
use headwater_schemas::{
    Change, EntryRef, FORMAT, Genesis, Head, Key, Namespace, Point, StreamId, Word, commit_schema,
    encode_genesis,
};

use super::{Hand, MendError, drafted, is_users};
use crate::genesis::{Looked, look};

/// The most changes of one commit: what a publisher allows by default.
const MAX_CHANGES: usize = 1_000;
/// About how many bytes one commit carries; a publisher allows 512 KiB by default.
const COMMIT_BYTES: usize = 384 * 1024;
/// About what a change costs beside its key and value.
const CHANGE_BYTES: usize = 64;
/// How many commits are handed to the log at once.
const AT_ONCE: usize = 16;

/// A stream that was founded from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The state it was founded from.
    pub supersedes: Point,
    /// Its head: the state is whole there.
    pub head: Head,
    /// How many entries it carried over.
    pub entries: u64,
}

/// Founds a new stream in an empty log from a state: a genesis that names it, and as many commits as carry its entries.
/// Replicas that have been at that state follow by themselves once all of it is there. Versions begin anew at 1, and the
/// old history stays with the old log.
///
/// One that was interrupted goes on when it is run again.
///
/// # Errors
/// [`MendError`].
pub async fn rebuild(log: &dyn Log, from: &View, hand: &Hand) -> Result<Rebuilt, MendError> {
    let parts = parts(from);
    let supersedes = Point::from(from.head());
    if parts.is_empty() {
        let at = supersedes.revision;
        return Err(MendError::NotSo(format!(
            "the state of revision {at} holds no entry to carry over"
        )));
    }
    // Behind everything that the old stream says of itself, whatever this machine's clock shows.
    let hand = &Hand { now_ms: hand.now_ms.max(from.head().at_ms), ..hand.clone() };
    found(log, (supersedes, parts.len() as u64), hand).await?;
    let mut replayed = begun(log, (supersedes, parts.len() as u64)).await?;
    while let Some(left @ [_, ..]) = parts.get(place(&replayed)..) {
        let before = *replayed.view.head();
        carry(log, &replayed, left, hand).await?;
        replayed.go_on(log).await?;
        if *replayed.view.head() == before {
            return Err(MendError::Overtaken);
        }
    }
    alike(from, &replayed.view)?;
    let (head, entries) = (*replayed.view.head(), users(from).count() as u64);
    Ok(Rebuilt { supersedes, head, entries })
}

/// How many of the parts are there.
fn place(replayed: &Replayed) -> usize {
    usize::try_from(replayed.view.revision()).unwrap_or(usize::MAX)
}

/// Every entry of a user.
fn users(view: &View) -> impl Iterator<Item = (&str, &str, EntryRef<'_>)> {
    view.iter().filter(|(namespace, ..)| is_users(namespace))
}

/// The entries as changes, a commit's worth each.
fn parts(view: &View) -> Vec<Vec<Change>> {
    let mut parts: Vec<Vec<Change>> = Vec::new();
    let mut bytes = usize::MAX;
    for (namespace, key, entry) in users(view) {
        let cost = CHANGE_BYTES + namespace.len() + key.len() + entry.value.len();
        let full = parts.last().is_none_or(|part| part.len() >= MAX_CHANGES);
        if full || bytes.saturating_add(cost) > COMMIT_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += cost;
        let change = put(namespace, key, entry);
        if let (Some(part), Some(change)) = (parts.last_mut(), change) {
            part.push(change);
        }
    }
    parts
}

fn put(namespace: &str, key: &str, entry: EntryRef<'_>) -> Option<Change> {
    Some(Change::Put {
        namespace: Namespace::parse(namespace).ok()?,
        key: Key::parse(key).ok()?,
        content_type: entry.content_type.into(),
        value: Bytes::copy_from_slice(entry.value),
        version: 1,
    })
}

/// Appends the genesis, unless an earlier run has.
async fn found(log: &dyn Log, supersedes: (Point, u64), hand: &Hand) -> Result<(), MendError> {
    if let Looked::Genesis { .. } = look(log).await? {
        return Ok(());
    }
    let writer = log.writer().ok_or(MendError::ReadOnly)?;
    let record = encode_genesis(&Genesis {
        stream_id: StreamId(rand::random()),
        format: FORMAT,
        created_at_ms: hand.now_ms,
        schema: commit_schema().into(),
        cluster_id: log.identity().cluster_id.clone(),
        supersedes: Some(supersedes),
    });
    match writer.append(vec![record]).await.into_iter().next() {
        Some(Appended::InLog(_)) => Ok(()),
        Some(Appended::Refused(why)) => Err(MendError::Refused(why)),
        Some(Appended::Ambiguous(why)) => Err(MendError::Unknown(why)),
        None => Err(MendError::Unknown("no answer".into())),
    }
}

/// What is there of the new stream.
async fn begun(log: &dyn Log, supersedes: (Point, u64)) -> Result<Replayed, MendError> {
    let replayed = replay(log, |_| false).await?;
    let word = replayed.view.succession().map(|succession| succession.word);
    match word {
        Some(Word::Supersedes(point, commits)) if (point, commits) == supersedes => Ok(replayed),
        _ => Err(MendError::NotSo(format!(
            "the log {} holds another stream, {}: found the new one in an empty log, under another --stream or on a \
             topic that was made anew",
            log.identity().place,
            replayed.view.head().stream_id
        ))),
    }
}

/// Appends some of what is left.
async fn carry(
    log: &dyn Log,
    replayed: &Replayed,
    left: &[Vec<Change>],
    hand: &Hand,
) -> Result<(), MendError> {
    let writer = log.writer().ok_or(MendError::ReadOnly)?;
    let (mut view, mut records) = (replayed.view.clone(), Vec::new());
    for part in left.iter().take(AT_ONCE) {
        let draft = drafted(part.clone(), &view, view.head(), hand)?;
        view = view.apply(&draft.folded, view.position());
        records.push(draft.record);
    }
    for outcome in writer.append(records).await {
        match outcome {
            Appended::InLog(_) => {}
            Appended::Refused(why) => return Err(MendError::Refused(why)),
            Appended::Ambiguous(why) => return Err(MendError::Unknown(why)),
        }
    }
    Ok(())
}

/// Whether both hold the same entries of users, by type and bytes.
fn alike(old: &View, new: &View) -> Result<(), MendError> {
    let mut theirs: BTreeMap<(&str, &str), EntryRef<'_>> =
        users(new).map(|(namespace, key, entry)| ((namespace, key), entry)).collect();
    for (namespace, key, ours) in users(old) {
        let same = theirs
            .remove(&(namespace, key))
            .is_some_and(|it| (it.content_type, it.value) == (ours.content_type, ours.value));
        if !same {
            return Err(MendError::Unlike(format!("{namespace}/{key} is missing or another")));
        }
    }
    match theirs.first_key_value() {
        None => Ok(()),
        Some(((namespace, key), _)) => {
            Err(MendError::Unlike(format!("{namespace}/{key} was not there")))
        }
    }
}
