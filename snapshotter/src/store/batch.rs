//! Writing: many commits, their place and their totals, whole or not at all.

use std::collections::BTreeSet;

use headwater_schemas::{Change, Commit, Effect, Namespace, Record, Totals};
use rocksdb::{ColumnFamily, WriteBatch};

use super::{
    ACTORS, COMMITS, ENTRIES, META, Place, Store, StoreError, TOUCHED, VERSIONS, keys, rows,
};

/// What is about to be written.
pub(crate) struct Batch<'a> {
    store: &'a Store,
    entries: &'a ColumnFamily,
    versions: &'a ColumnFamily,
    commits: &'a ColumnFamily,
    actors: &'a ColumnFamily,
    touched: &'a ColumnFamily,
    meta: &'a ColumnFamily,
    rows: WriteBatch,
    namespaces: BTreeSet<Namespace>,
    len: u64,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(store: &'a Store) -> Result<Self, StoreError> {
        Ok(Self {
            store,
            entries: store.family(ENTRIES)?,
            versions: store.family(VERSIONS)?,
            commits: store.family(COMMITS)?,
            actors: store.family(ACTORS)?,
            touched: store.family(TOUCHED)?,
            meta: store.family(META)?,
            rows: WriteBatch::default(),
            namespaces: BTreeSet::new(),
            len: 0,
        })
    }

    /// How many commits it holds.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Takes in one commit of the chain and what it did.
    pub(crate) fn push(&mut self, record: &Record, commit: &Commit, effects: &[Effect]) {
        let revision = commit.revision;
        for effect in effects {
            let (namespace, key) = (effect.namespace.as_str(), effect.key.as_str());
            let entry = keys::entry(namespace, key);
            let row = effect.after.as_ref().map(rows::encode_entry);
            match &row {
                Some(row) => self.rows.put_cf(self.entries, entry, row),
                None => self.rows.delete_cf(self.entries, entry),
            }
            let version = keys::version(namespace, key, revision);
            self.rows.put_cf(self.versions, version, row.unwrap_or_default());
            self.namespaces.insert(effect.namespace.clone());
        }
        let row = rows::encode_record(record.position, record.appended_at_ms, &record.bytes);
        self.rows.put_cf(self.commits, keys::commit(revision), row);
        self.rows.put_cf(self.actors, keys::actor(&commit.actor, revision), []);
        let named: BTreeSet<_> = commit.changes.iter().map(Change::namespace).collect();
        for namespace in named {
            self.rows.put_cf(self.touched, keys::touched(namespace.as_str(), revision), []);
        }
        self.len += 1;
    }

    /// Writes it all, with the place and the totals it leads to. Not synced: a batch is in the write-ahead log
    /// whole or not at all, and after a power cut the log supplies what is missing.
    pub(crate) fn write(mut self, place: &Place, totals: &Totals) -> Result<(), StoreError> {
        for namespace in &self.namespaces {
            let name = namespace.as_str();
            let row = rows::encode_totals(&totals.of(name));
            self.rows.put_cf(self.meta, keys::totals(name), row);
        }
        self.rows.put_cf(self.meta, keys::HEAD, rows::encode_place(place));
        Ok(self.store.db.write(self.rows)?)
    }
}
