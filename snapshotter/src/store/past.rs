//! Reading what was: the rows of older states by seeks, never by a walk over what is not asked for.

use headwater_schemas::Entry;
use rocksdb::{DB, DBRawIteratorWithThreadMode, ReadOptions};

use super::read::Rows;
use super::{ACTORS, COMMITS, StoreError, TOUCHED, VERSIONS, keys, rows};

type Cursor<'a> = DBRawIteratorWithThreadMode<'a, DB>;

type Row<'c> = (&'c [u8], &'c [u8]);

/// The row under the cursor, if there is one.
fn row<'c>(cursor: &'c Cursor<'_>) -> Result<Option<Row<'c>>, StoreError> {
    match cursor.item() {
        Some(row) => Ok(Some(row)),
        None => cursor.status().map(|()| None).map_err(StoreError::from),
    }
}

impl Rows<'_> {
    fn cursor(
        &self,
        family: &'static str,
        from: Vec<u8>,
        to: Option<Vec<u8>>,
    ) -> Result<Cursor<'_>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        Ok(self.snapshot.raw_iterator_cf_opt(self.store.family(family)?, options))
    }

    /// Every key of a namespace that ever was, of those that begin with `prefix` and come after `after`.
    pub(crate) fn keys<'r>(
        &'r self,
        namespace: &'r str,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Keys<'r>, StoreError> {
        let from = keys::entry(namespace, prefix);
        let start = match after {
            Some(after) if after >= prefix => keys::behind_versions(namespace, after),
            _ => from.clone(),
        };
        let above = keys::above(&from);
        let mut cursor = self.cursor(VERSIONS, from, above)?;
        cursor.seek(start);
        Ok(Keys { cursor, namespace, key: None })
    }

    /// The last change of a key at or before a revision.
    pub(crate) fn change_at(
        &self,
        namespace: &str,
        key: &str,
        revision: u64,
    ) -> Result<Option<Change>, StoreError> {
        let from = keys::versions(namespace, key);
        let mut cursor =
            self.cursor(VERSIONS, from, Some(keys::behind_versions(namespace, key)))?;
        cursor.seek_for_prev(keys::version(namespace, key, revision));
        row(&cursor)?.map(|(key, value)| Change::read(key, value)).transpose()
    }

    /// The changes of a key before a revision, newest first.
    pub(crate) fn changes(
        &self,
        namespace: &str,
        key: &str,
        before: u64,
    ) -> Result<impl Iterator<Item = Result<Change, StoreError>>, StoreError> {
        let mut cursor = self.cursor(
            VERSIONS,
            keys::versions(namespace, key),
            Some(keys::version(namespace, key, before)),
        )?;
        cursor.seek_to_last();
        let mut moved = true;
        Ok(std::iter::from_fn(move || {
            if !std::mem::replace(&mut moved, false) {
                cursor.prev();
            }
            let change = row(&cursor)
                .and_then(|row| row.map(|(key, value)| Change::read(key, value)).transpose());
            change.transpose()
        }))
    }

    /// The revisions that an actor (or one whose hash begins alike) made.
    pub(crate) fn of_actor(&self, actor: &str) -> Result<Revisions<'_>, StoreError> {
        self.revisions(ACTORS, keys::actor(actor, 0)[..16].to_vec())
    }

    /// The revisions that name a namespace.
    pub(crate) fn of_namespace(&self, namespace: &str) -> Result<Revisions<'_>, StoreError> {
        self.revisions(TOUCHED, keys::namespace(namespace))
    }

    /// The revisions of each key that begins with `prefix`; none when those are more than `most`.
    pub(crate) fn of_keys(
        &self,
        namespace: &str,
        prefix: &str,
        most: usize,
    ) -> Result<Option<Vec<Revisions<'_>>>, StoreError> {
        let (mut found, mut keys) = (Vec::new(), self.keys(namespace, prefix, None)?);
        while let Some(key) = keys.next()? {
            if found.len() >= most {
                return Ok(None);
            }
            found.push(self.revisions(VERSIONS, keys::versions(namespace, &key))?);
        }
        Ok(Some(found))
    }

    /// All revisions.
    pub(crate) fn of_all(&self) -> Result<Revisions<'_>, StoreError> {
        self.revisions(COMMITS, Vec::new())
    }

    fn revisions(
        &self,
        family: &'static str,
        prefix: Vec<u8>,
    ) -> Result<Revisions<'_>, StoreError> {
        let above = keys::above(&prefix);
        Ok(Revisions { cursor: self.cursor(family, prefix.clone(), above)?, prefix })
    }
}

/// What a revision made of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    /// The entry it led to; none when it deleted the key.
    pub(crate) entry: Option<Entry>,
}

impl Change {
    fn read(key: &[u8], value: &[u8]) -> Result<Self, StoreError> {
        let revision = keys::revision_of(key).ok_or(rows::Damaged("version"))?;
        let entry = (!value.is_empty()).then(|| rows::decode_entry(value)).transpose()?;
        Ok(Self { revision, entry: entry.map(|entry| entry.to_entry()) })
    }
}

/// Walks the keys of a namespace in byte order, whatever became of them: two or three seeks a key, however many versions
/// it has.
pub(crate) struct Keys<'r> {
    cursor: Cursor<'r>,
    namespace: &'r str,
    key: Option<String>,
}

impl Keys<'_> {
    /// The next key.
    pub(crate) fn next(&mut self) -> Result<Option<String>, StoreError> {
        if let Some(key) = &self.key {
            self.cursor.seek(keys::behind_versions(self.namespace, key));
        }
        let key = row(&self.cursor)?.map(|(row, _)| {
            keys::versioned_key(row, self.namespace).ok_or(rows::Damaged("version"))
        });
        self.key = key.transpose()?;
        Ok(self.key.clone())
    }

    /// The last change of the key that [`Self::next`] gave at or before a revision.
    pub(crate) fn change_at(&mut self, revision: u64) -> Result<Option<Change>, StoreError> {
        let Some(key) = &self.key else { return Ok(None) };
        self.cursor.seek_for_prev(keys::version(self.namespace, key, revision));
        let versions = keys::versions(self.namespace, key);
        let found = row(&self.cursor)?.filter(|(row, _)| row.starts_with(&versions));
        found.map(|(row, value)| Change::read(row, value)).transpose()
    }
}

/// Revisions in an index.
pub(crate) struct Revisions<'r> {
    cursor: Cursor<'r>,
    prefix: Vec<u8>,
}

impl Revisions<'_> {
    /// The first one at or above a revision.
    pub(crate) fn at_or_above(&mut self, revision: u64) -> Result<Option<u64>, StoreError> {
        self.cursor.seek([&self.prefix[..], &revision.to_be_bytes()].concat());
        self.found()
    }

    /// The last one at or below a revision.
    pub(crate) fn at_or_below(&mut self, revision: u64) -> Result<Option<u64>, StoreError> {
        self.cursor.seek_for_prev([&self.prefix[..], &revision.to_be_bytes()].concat());
        self.found()
    }

    fn found(&self) -> Result<Option<u64>, StoreError> {
        let revision = row(&self.cursor)?
            .map(|(row, _)| keys::revision_of(row).ok_or(rows::Damaged("revision")));
        Ok(revision.transpose()?)
    }
}
