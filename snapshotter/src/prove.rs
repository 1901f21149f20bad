//! A new image proves itself: the one before it, and every commit between them folded again, must lead to it.

use std::collections::{BTreeMap, BTreeSet};

use headwater_image::{ImageError, WireImage};
use headwater_replica::{Chain, Step};
use headwater_schemas::{
    Change, Codec, Entry, Head, Key, Namespace, Record, SCHEMAS_NAMESPACE, Totals,
};

use crate::shelf::Shelved;
use crate::store::{Rows, StoreError};

/// Why an image is not proved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    /// The rows cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process stops; nothing is known.
    #[error("the process is stopping")]
    Stopped,
    /// The replay leads elsewhere: announce nothing.
    #[error("the image of revision {revision} does not prove itself: {detail}")]
    Unproved { revision: u64, detail: String },
}

type Name = (Namespace, Key);

/// Where a replay begins: a chain, and the entries there that the commits behind it touch.
struct Start {
    chain: Chain,
    entries: BTreeMap<Name, Entry>,
}

/// Proves the image at `head` with `totals` (which the file's own entries were added up to when it was written).
/// `before` are older images, the newest first: the first that can be read is the start, else the genesis. Gives up
/// when `stopped` says so.
pub(crate) fn prove(
    rows: &Rows<'_>,
    before: &[Shelved],
    head: &Head,
    totals: &Totals,
    stopped: &dyn Fn() -> bool,
) -> Result<(), ProofError> {
    let unproved = |detail: String| ProofError::Unproved { revision: head.revision, detail };
    let codec = rows.chain()?.map(|chain| chain.codec().clone()).unwrap_or_default();
    let mut start = None;
    for image in before.iter().filter(|image| image.revision < head.revision) {
        match from_image(rows, &codec, image, head.revision) {
            Ok(found) => start = found,
            Err(FromImage::Store(error)) => return Err(error.into()),
            Err(FromImage::Image(error)) => {
                tracing::warn!(path = %image.path.display(), %error, "an image is passed over");
            }
        }
        if start.is_some() {
            break;
        }
    }
    let start = match start {
        Some(start) => start,
        None => from_genesis(rows).map_err(|error| match error {
            Some(error) => ProofError::Store(error),
            None => unproved("the genesis is missing from the rows".into()),
        })?,
    };
    let end = replay(rows, start, head.revision, stopped)?;
    if end.head() != head {
        return Err(unproved(format!("the replay ends at {:?} instead of {head:?}", end.head())));
    }
    if end.totals() != totals {
        let (ours, theirs) = (end.totals().digest(), totals.digest());
        return Err(unproved(format!("the replay leads to digest {ours}, the image has {theirs}")));
    }
    Ok(())
}

enum FromImage {
    Store(StoreError),
    Image(ImageError),
}

impl From<StoreError> for FromImage {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ImageError> for FromImage {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

/// A start at an older image; none when it is not of this chain.
fn from_image(
    rows: &Rows<'_>,
    codec: &Codec,
    image: &Shelved,
    upto: u64,
) -> Result<Option<Start>, FromImage> {
    let ours = rows.record(image.revision)?.is_some_and(|(hash, _)| hash == image.hash);
    if !ours {
        return Ok(None);
    }
    let wire = WireImage::open(&image.path)?;
    if wire.head().hash != image.hash {
        return Ok(None);
    }
    let touched = touched(rows, codec, image.revision, upto)?;
    let mut entries = BTreeMap::new();
    let mut schemas = Vec::new();
    // Names are compared as text first: most entries of an image are touched by nobody.
    let mut wanted = touched.iter().peekable();
    wire.for_each(&mut |namespace, key, entry| {
        if namespace == SCHEMAS_NAMESPACE {
            schemas.push((key.to_owned(), entry.to_entry()));
        }
        let at = (namespace, key);
        while wanted.next_if(|(n, k)| (n.as_str(), k.as_str()) < at).is_some() {}
        if let Some(name) = wanted.next_if(|(n, k)| (n.as_str(), k.as_str()) == at) {
            entries.insert(name.clone(), entry.to_entry());
        }
        Ok(())
    })?;
    let known = schemas.iter().map(|(key, entry)| (key.as_str(), entry.as_ref()));
    let chain = Chain::at(*wire.head(), wire.totals().clone(), known);
    Ok(Some(Start { chain: chain.map_err(ImageError::source)?, entries }))
}

/// Every key that a fold of the commits after `after` up to `upto` looks up.
fn touched(
    rows: &Rows<'_>,
    codec: &Codec,
    after: u64,
    upto: u64,
) -> Result<BTreeSet<Name>, FromImage> {
    let mut names = BTreeSet::new();
    for row in rows.records(after, upto)? {
        let (_, _, record) = row?;
        // One that cannot be read was skipped, and touches nothing.
        let Ok(commit) = codec.decode(&record.bytes) else { continue };
        let expected =
            commit.expects.iter().map(|expect| (expect.namespace.clone(), expect.key.clone()));
        names.extend(expected);
        let name = |change: &Change| (change.namespace().clone(), change.key().clone());
        names.extend(commit.changes.iter().map(name));
    }
    Ok(names)
}

/// The start of all; no error inside when the genesis is missing.
fn from_genesis(rows: &Rows<'_>) -> Result<Start, Option<StoreError>> {
    let (_, record) = rows.record(0)?.ok_or(None)?;
    let (chain, _, folded) = Chain::found(&record.bytes).ok_or(None)?;
    let put =
        |effect: headwater_schemas::Effect| Some(((effect.namespace, effect.key), effect.after?));
    let entries = folded.effects.into_iter().filter_map(put).collect();
    Ok(Start { chain, entries })
}

/// Accepts, decodes and folds every commit again. What diverged when it was applied diverges again: it is the end
/// that must be equal.
fn replay(
    rows: &Rows<'_>,
    start: Start,
    upto: u64,
    stopped: &dyn Fn() -> bool,
) -> Result<Chain, ProofError> {
    let Start { mut chain, mut entries } = start;
    for row in rows.records(chain.head().revision, upto)? {
        let (revision, _, record) = row?;
        if stopped() {
            return Err(ProofError::Stopped);
        }
        let stepped = step(&mut chain, &record, &entries);
        let effects = stepped.map_err(|detail| ProofError::Unproved {
            revision: upto,
            detail: format!("at revision {revision}: {detail}"),
        })?;
        for effect in effects {
            let name = (effect.namespace, effect.key);
            match effect.after {
                Some(entry) => entries.insert(name, entry),
                None => entries.remove(&name),
            };
        }
    }
    Ok(chain)
}

fn step(
    chain: &mut Chain,
    record: &Record,
    entries: &BTreeMap<Name, Entry>,
) -> Result<Vec<headwater_schemas::Effect>, String> {
    let lookup =
        |namespace: &Namespace, key: &Key| entries.get(&(namespace.clone(), key.clone())).cloned();
    match chain.step(record, lookup) {
        Ok(Step::Accepted(step)) => Ok(step.1.effects),
        // The rows hold it because an operator had it skipped, which the next one says.
        Err(_) if chain.blocked().is_some() => Ok(Vec::new()),
        Ok(Step::Resumed(resumed)) => Ok(resumed.next.1.effects),
        Ok(_) => Err("the stored record does not continue the chain".into()),
        Err(stop) => Err(stop.to_string()),
    }
}

#[cfg(test)]
#[path = "prove_tests.rs"]
mod tests;
