//! Reading: everything at one moment.

use headwater_image::Lineage;
use headwater_replica::Chain;
use headwater_schemas::{
    Codec, Entry, EntryRef, Hash, Namespace, Record, SCHEMAS_NAMESPACE, STREAM_NAMESPACE, Totals,
    Word,
};
use rocksdb::{Direction, IteratorMode, ReadOptions, Snapshot};

use super::{COMMITS, ENTRIES, META, Place, Store, StoreError, keys, rows};

type Row = (Box<[u8]>, Box<[u8]>);

/// All rows at one moment.
pub(crate) struct Rows<'a> {
    pub(super) store: &'a Store,
    pub(super) snapshot: Snapshot<'a>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, snapshot: store.db.snapshot() }
    }

    fn get(&self, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.snapshot.get_cf(self.store.family(family)?, key)?)
    }

    /// The rows from `from` (inclusive) to `to` (exclusive; none = the end of the family).
    fn range(
        &self,
        family: &'static str,
        from: Vec<u8>,
        to: Option<Vec<u8>>,
        direction: Direction,
    ) -> Result<impl Iterator<Item = Result<Row, StoreError>>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let mode = match direction {
            Direction::Forward => IteratorMode::Start,
            Direction::Reverse => IteratorMode::End,
        };
        let rows = self.snapshot.iterator_cf_opt(self.store.family(family)?, options, mode);
        Ok(rows.map(|row| row.map_err(StoreError::from)))
    }

    fn prefix(
        &self,
        family: &'static str,
        prefix: Vec<u8>,
    ) -> Result<impl Iterator<Item = Result<Row, StoreError>>, StoreError> {
        let above = keys::above(&prefix);
        self.range(family, prefix, above, Direction::Forward)
    }

    /// Where in the chain these rows stand; none in an empty store.
    pub(crate) fn place(&self) -> Result<Option<Place>, StoreError> {
        let row = self.get(META, keys::HEAD)?;
        Ok(row.map(|row| rows::decode_place(&row)).transpose()?)
    }

    /// Totals and digests.
    pub(crate) fn totals(&self) -> Result<Totals, StoreError> {
        let mut parts = Vec::new();
        for row in self.prefix(META, keys::TOTALS.to_vec())? {
            let (key, value) = row?;
            let name =
                key.get(keys::TOTALS.len()..).and_then(|name| std::str::from_utf8(name).ok());
            let namespace = name.and_then(|name| Namespace::parse(name).ok());
            parts.push((namespace.ok_or(rows::Damaged("totals"))?, rows::decode_totals(&value)?));
        }
        Ok(Totals::from_namespaces(parts))
    }

    /// The chain at these rows; none in an empty store.
    pub(crate) fn chain(&self) -> Result<Option<Chain>, StoreError> {
        let Some(place) = self.place()? else { return Ok(None) };
        let mut schemas = Vec::new();
        self.each(SCHEMAS_NAMESPACE, |key, entry| {
            schemas.push((key.to_owned(), entry.to_entry()));
            Ok::<_, StoreError>(())
        })?;
        let known = schemas.iter().map(|(key, entry)| (key.as_str(), entry.as_ref()));
        Chain::at(place.head, self.totals()?, known)
            .map(Some)
            .map_err(|error| StoreError::Damaged(format!("a damaged schema row: {error}")))
    }

    /// Every schema the stream has carried, gone ones among them, so that each commit is read by its own.
    pub(crate) fn codec(&self) -> Result<Codec, StoreError> {
        let mut codec = Codec::default();
        let mut keys = self.keys(SCHEMAS_NAMESPACE, "", None)?;
        while let Some(key) = keys.next()? {
            for change in self.changes(SCHEMAS_NAMESPACE, &key, u64::MAX)? {
                let Some(entry) = change?.entry else { continue };
                let damaged = |error| StoreError::Damaged(format!("a damaged schema row: {error}"));
                codec.learn(&key, &entry.value).map_err(damaged)?;
            }
        }
        Ok(codec)
    }

    /// How the chain came about, where an operator led the stream to it.
    pub(crate) fn succession(&self) -> Result<Option<Lineage>, StoreError> {
        let mut words = Vec::new();
        self.each(STREAM_NAMESPACE, |key, entry| {
            words.push((key.to_owned(), entry.to_entry()));
            Ok::<_, StoreError>(())
        })?;
        let words = words.iter().map(|(key, entry)| (key.as_str(), entry.as_ref()));
        Ok(Word::succession(words).map(Lineage::from))
    }

    /// The revision at which the state is whole: of a stream founded from another one's state. 0 for any other.
    pub(crate) fn whole_at(&self) -> Result<u64, StoreError> {
        let entry = self.entry(STREAM_NAMESPACE, "supersedes")?;
        let word = entry.and_then(|entry| Word::of_entry("supersedes", entry.as_ref()));
        Ok(match word {
            Some(Word::Supersedes(_, commits)) => commits,
            _ => 0,
        })
    }

    /// The current entry of a key.
    pub(crate) fn entry(&self, namespace: &str, key: &str) -> Result<Option<Entry>, StoreError> {
        let row = self.get(ENTRIES, &keys::entry(namespace, key))?;
        let entry = row.map(|row| rows::decode_entry(&row).map(|entry| entry.to_entry()));
        Ok(entry.transpose()?)
    }

    /// Gives every current entry of a namespace, in byte order of keys.
    pub(crate) fn each<E: From<StoreError>>(
        &self,
        namespace: &str,
        mut give: impl FnMut(&str, EntryRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for row in self.prefix(ENTRIES, keys::namespace(namespace))? {
            let (key, value) = row?;
            let key =
                keys::key_of(&key, namespace).ok_or(StoreError::from(rows::Damaged("entry")))?;
            give(&key, rows::decode_entry(&value).map_err(StoreError::from)?)?;
        }
        Ok(())
    }

    /// The record of one revision.
    pub(crate) fn record(&self, revision: u64) -> Result<Option<(Hash, Record)>, StoreError> {
        let row = self.get(COMMITS, &keys::commit(revision))?;
        Ok(row.map(|row| rows::decode_record(&row)).transpose()?)
    }

    /// The records after `after` up to `upto` (inclusive), ascending.
    pub(crate) fn records(
        &self,
        after: u64,
        upto: u64,
    ) -> Result<impl Iterator<Item = Result<(u64, Hash, Record), StoreError>>, StoreError> {
        let from = keys::commit(after.saturating_add(1)).to_vec();
        let to = keys::commit(upto.saturating_add(1)).to_vec();
        let rows = self.range(COMMITS, from, Some(to), Direction::Forward)?;
        Ok(rows.map(|row| {
            let (key, value) = row?;
            let revision = keys::revision_of(&key).ok_or(rows::Damaged("commit"))?;
            let (hash, record) = rows::decode_record(&value)?;
            Ok((revision, hash, record))
        }))
    }
}
