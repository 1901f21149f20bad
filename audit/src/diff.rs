//! What differs between the states at two points of a history.

use std::collections::BTreeMap;

use headwater_log::LogReader;
use headwater_schemas::{Entry, Key, Namespace, State};

use crate::replay::both;
use crate::{At, AuditError};

/// One key whose entry differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The namespace.
    pub namespace: Namespace,
    /// The key.
    pub key: Key,
    /// The entry at the first point, if it was there.
    pub old: Option<Entry>,
    /// The entry at the second point, if it was there.
    pub new: Option<Entry>,
}

/// The keys whose entries differ between two points, in order of namespace and key, and both states' revisions.
///
/// # Errors
/// As [`fn@crate::replay`].
pub async fn diff(
    reader: &mut dyn LogReader,
    from: At,
    to: At,
) -> Result<(u64, u64, Vec<Difference>), AuditError> {
    let [old, new] = both(reader, [from, to]).await?;
    let revisions = (old.head().revision, new.head().revision);
    Ok((revisions.0, revisions.1, between(&old, &new)))
}

fn between(old: &State, new: &State) -> Vec<Difference> {
    type Pair = (Option<Entry>, Option<Entry>);
    let mut all: BTreeMap<(Namespace, Key), Pair> = BTreeMap::new();
    for (namespace, key, entry) in old.iter() {
        // The revision of the last change tells: an entry of the same one is the same.
        let other = new.get(namespace, key);
        if other.is_none_or(|other| other.mod_revision != entry.mod_revision) {
            all.insert((namespace.clone(), key.clone()), (Some(entry.clone()), other.cloned()));
        }
    }
    for (namespace, key, entry) in new.iter() {
        if old.get(namespace, key).is_none() {
            all.insert((namespace.clone(), key.clone()), (None, Some(entry.clone())));
        }
    }
    let difference = |((namespace, key), (old, new))| Difference { namespace, key, old, new };
    all.into_iter().map(difference).collect()
}
