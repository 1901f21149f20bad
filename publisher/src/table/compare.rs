//! Where a table is not the state.

use std::fmt;

use bytes::Bytes;
use headwater_replica::View;
use headwater_schemas::{EntryRef, Framing, TableFold, entry_digest, table_key};

/// How a row is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The state has the key, the table does not.
    Missing,
    /// The table has an older entry, of this revision.
    Stale(u64),
    /// The table has a key that the state has not.
    Extra,
    /// The table has something else under the key, or nothing that can be read.
    Wrong,
    /// The row is right, and framed in another way than the table's writer frames.
    Framing,
}

/// A row that is not the state's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key of its record, as stored.
    pub key: Bytes,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = String::from_utf8_lossy(&self.key);
        match self.fault {
            Fault::Missing => write!(f, "missing  {key}"),
            Fault::Stale(revision) => write!(f, "stale    {key} (of revision {revision})"),
            Fault::Extra => write!(f, "extra    {key}"),
            Fault::Wrong => write!(f, "wrong    {key}"),
            Fault::Framing => write!(f, "framing  {key}"),
        }
    }
}

/// The rows in which a table differs from a state, in order of key; with `framing`, also those framed otherwise.
pub(super) fn differences(
    table: TableFold,
    view: &View,
    framing: Option<Framing>,
) -> Vec<Difference> {
    let mut rows = table.into_rows();
    let mut found = Vec::new();
    for (namespace, name, entry) in view.iter() {
        let key = table_key(namespace, name);
        let fault = match rows.remove(&key) {
            None => Some(Fault::Missing),
            Some(held) => match held.entry {
                None => Some(Fault::Wrong),
                Some((digest, _)) if digest == entry_digest(namespace, name, entry) => {
                    let other = framing.is_some() && held.framing != framing;
                    other.then_some(Fault::Framing)
                }
                Some((_, revision)) if revision < entry.mod_revision => {
                    Some(Fault::Stale(revision))
                }
                Some(_) => Some(Fault::Wrong),
            },
        };
        found.extend(fault.map(|fault| Difference { key, fault }));
    }
    found.extend(rows.into_keys().map(|key| Difference { key, fault: Fault::Extra }));
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

/// The entry that a row should be.
pub(super) fn entry_of<'a>(
    view: &'a View,
    key: &'a [u8],
) -> Option<(&'a str, &'a str, EntryRef<'a>)> {
    let (namespace, name) = std::str::from_utf8(key).ok()?.split_once('/')?;
    Some((namespace, name, view.get(namespace, name)?))
}
