//! The table as its reader has it: the last record of each key, and whether that is what a checkpoint says.

use std::collections::HashMap;

use bytes::Bytes;

use crate::table::{CHECKPOINT_KEY, Framing, TableRow, decode_table_row};
use crate::{Checkpoint, Digest, entry_digest};

/// The last record of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableHeld {
    /// The hash and the revision of the entry; none for a record that is nobody's.
    pub entry: Option<(Digest, u64)>,
    /// What stands before its value.
    pub framing: Option<Framing>,
    /// The value as stored, where values are kept.
    pub value: Option<Bytes>,
}

/// What was read of a table, from its beginning. Values are kept where the reader wants the state, and only their
/// hashes where it compares.
#[derive(Debug, Clone, Default)]
pub struct TableFold {
    keep_values: bool,
    rows: HashMap<Bytes, TableHeld>,
    digest: Digest,
    entries: u64,
    checkpoint: Option<Checkpoint>,
    framing: Option<Framing>,
    /// Whether nothing came after the checkpoint.
    at_checkpoint: bool,
}

impl TableFold {
    /// A table of which the values are kept.
    pub fn with_values() -> Self {
        Self { keep_values: true, ..Self::default() }
    }

    /// Takes the next record; no value means that the key was deleted.
    pub fn take(&mut self, key: &Bytes, value: Option<&Bytes>) {
        if key.as_ref() == CHECKPOINT_KEY.as_bytes() {
            return self.take_checkpoint(key, value);
        }
        self.at_checkpoint = false;
        let held = value.map(|value| self.held(key, value));
        let before = match held {
            Some(held) => {
                self.count(&held, Digest::plus, u64::saturating_add);
                self.rows.insert(key.clone(), held)
            }
            None => self.rows.remove(key),
        };
        if let Some(before) = before {
            self.count(&before, Digest::minus, u64::saturating_sub);
        }
    }

    fn take_checkpoint(&mut self, key: &Bytes, value: Option<&Bytes>) {
        let row = value.and_then(|value| decode_table_row(key, value).ok());
        self.checkpoint = match row {
            Some(TableRow::Checkpoint(checkpoint)) => Some(checkpoint),
            _ => None,
        };
        self.at_checkpoint = self.checkpoint.is_some();
        self.framing = value.and_then(|value| Framing::of(value));
    }

    fn held(&self, key: &Bytes, value: &Bytes) -> TableHeld {
        let entry = match decode_table_row(key, value) {
            Ok(TableRow::Entry { namespace, key, entry, .. }) => {
                let digest = entry_digest(namespace.as_str(), key.as_str(), entry.as_ref());
                Some((digest, entry.mod_revision))
            }
            _ => None,
        };
        let framing = Framing::of(value);
        TableHeld { entry, framing, value: self.keep_values.then(|| value.clone()) }
    }

    fn count(
        &mut self,
        held: &TableHeld,
        digest: fn(Digest, Digest) -> Digest,
        entries: fn(u64, u64) -> u64,
    ) {
        // What is nobody's counts as a row that no state has, so that the table equals none.
        self.entries = entries(self.entries, 1);
        if let Some((hash, _)) = held.entry {
            self.digest = digest(self.digest, hash);
        }
    }

    /// The last checkpoint read.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// Whether nothing has come after the last checkpoint: no batch is half read.
    pub fn is_settled(&self) -> bool {
        self.at_checkpoint || (self.checkpoint.is_none() && self.rows.is_empty())
    }

    /// The last checkpoint, if the table is exactly what it says: nothing came after it, and count and digest agree.
    pub fn complete(&self) -> Option<&Checkpoint> {
        let agrees = |checkpoint: &&Checkpoint| {
            self.at_checkpoint
                && checkpoint.entries == self.entries
                && checkpoint.digest == self.digest
        };
        self.checkpoint.as_ref().filter(agrees)
    }

    /// What stands before the value of the last checkpoint read: how the table's writer frames.
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every key and its last record, in no order.
    pub fn rows(&self) -> impl Iterator<Item = (&Bytes, &TableHeld)> {
        self.rows.iter()
    }

    /// Every key and its last record, in no order.
    pub fn into_rows(self) -> HashMap<Bytes, TableHeld> {
        self.rows
    }
}
