//! The rows: current entries, every version, every commit, and the place in the chain they all stand at.
//!
//! ```text
//!  entries   namespace, key            → the current entry
//!  versions  namespace, key, revision  → the entry then; empty when that commit deleted it; keys in byte order
//!  commits   revision                  → position, append time, hash, record as stored
//!  actors    hash of actor, revision   → nothing: an index
//!  touched   namespace, revision       → nothing: an index of the commits that name the namespace
//!  meta      head, totals by namespace, layout
//! ```
//! One `WriteBatch` changes all of them, so a crash leaves a state that once was, and its place.

mod batch;
mod history;
mod keys;
mod past;
mod read;
mod rows;

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Options,
};

pub(crate) use batch::Batch;
pub(crate) use history::RowHistory;
pub(crate) use read::Rows;
pub(crate) use rows::Place;

const ENTRIES: &str = "entries";
const VERSIONS: &str = "versions";
const COMMITS: &str = "commits";
const ACTORS: &str = "actors";
const TOUCHED: &str = "touched";
const META: &str = "meta";
const FAMILIES: [&str; 6] = [ENTRIES, VERSIONS, COMMITS, ACTORS, TOUCHED, META];

/// The layout this build reads and writes. A store of an older one is thrown away: the log has everything.
const LAYOUT: u32 = 2;

/// Memory for blocks read, in bytes, shared by all column families.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// Memory of one memtable, in bytes.
const MEMTABLE_BYTES: usize = 16 * 1024 * 1024;
/// The write-ahead log at most, in bytes: what a start after a crash replays.
const WAL_BYTES: u64 = 128 * 1024 * 1024;

/// Why the store cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{0} is in use by another process: stop it, or give this one a directory of its own")]
    Locked(String),
    /// It was written by a newer build.
    #[error("the store has layout {found}, this build knows {LAYOUT}: use a newer build")]
    Newer {
        /// The layout found.
        found: u32,
    },
    /// A row cannot be read.
    #[error("{0}: move the directory away, and it is rebuilt from the log")]
    Damaged(String),
    /// RocksDB, or the disk under it, failed.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl From<rocksdb::Error> for StoreError {
    fn from(error: rocksdb::Error) -> Self {
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::Damaged(error.into_string()),
            _ => Self::Failed(error.into_string()),
        }
    }
}

impl From<rows::Damaged> for StoreError {
    fn from(error: rows::Damaged) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    db: DB,
}

fn families(cache: &Cache) -> impl Iterator<Item = ColumnFamilyDescriptor> {
    FAMILIES.into_iter().map(move |name| {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Zstd);
        options.set_write_buffer_size(MEMTABLE_BYTES);
        ColumnFamilyDescriptor::new(name, options)
    })
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * 1024 * 1024);
    options
}

impl Store {
    /// Opens the store, creating it when there is none. One of an older build's layout begins anew, empty.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let store = Self::open_any(dir)?;
        match store.layout()? {
            LAYOUT => Ok(store),
            found if found > LAYOUT => Err(StoreError::Newer { found }),
            found => {
                tracing::info!(
                    found,
                    wanted = LAYOUT,
                    "the store is of an older layout: it is rebuilt from the log"
                );
                drop(store);
                Self::destroy(dir)?;
                let store = Self::open_any(dir)?;
                store.layout()?;
                Ok(store)
            }
        }
    }

    fn open_any(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)
            .map_err(|error| StoreError::Failed(format!("{}: {error}", dir.display())))?;
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let db = DB::open_cf_descriptors(&options(), dir, families(&cache)).map_err(|error| {
            let text = error.to_string();
            if text.contains("lock hold by") || text.contains("While lock file") {
                StoreError::Locked(dir.display().to_string())
            } else {
                error.into()
            }
        })?;
        Ok(Self { db })
    }

    /// Removes a store: moved away first, so that a crash in between leaves none rather than half of one.
    pub(crate) fn destroy(dir: &Path) -> Result<(), StoreError> {
        let left = dir.with_added_extension("left");
        let removed = match std::fs::remove_dir_all(&left) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        let moved = removed.and_then(|()| std::fs::rename(dir, &left));
        let gone = moved.and_then(|()| std::fs::remove_dir_all(&left));
        gone.map_err(|error| StoreError::Failed(format!("{}: {error}", dir.display())))
    }

    /// The layout of the rows; a new store's is this build's.
    fn layout(&self) -> Result<u32, StoreError> {
        let meta = self.family(META)?;
        let Some(row) = self.db.get_cf(meta, keys::LAYOUT)? else {
            self.db.put_cf(meta, keys::LAYOUT, LAYOUT.to_le_bytes())?;
            return Ok(LAYOUT);
        };
        let found = <[u8; 4]>::try_from(row).map(u32::from_le_bytes);
        found.map_err(|_| StoreError::Damaged("a damaged layout row".into()))
    }

    fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        let missing = || StoreError::Damaged(format!("the column family {name} is missing"));
        self.db.cf_handle(name).ok_or_else(missing)
    }

    /// How many bytes it uses, by kind: in tables on disk, in memtables, in the cache of blocks. What RocksDB cannot say
    /// counts nothing.
    pub(crate) fn sizes(&self) -> [(&'static str, u64); 3] {
        let of = |family: &ColumnFamily, name| {
            self.db.property_int_value_cf(family, name).ok().flatten().unwrap_or(0)
        };
        let all = |name| {
            let families = FAMILIES.into_iter().filter_map(|family| self.db.cf_handle(family));
            families.map(|family| of(family, name)).sum()
        };
        // One cache serves all families.
        let cache = self.db.cf_handle(META).map_or(0, |meta| of(meta, "rocksdb.block-cache-usage"));
        [
            ("tables", all("rocksdb.total-sst-files-size")),
            ("memtables", all("rocksdb.cur-size-all-mem-tables")),
            ("cache", cache),
        ]
    }

    /// All rows as they are now, whatever is written meanwhile.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_that_the_store_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked(_))));
    }

    #[test]
    fn a_store_of_a_newer_build_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let meta = store.family(META).unwrap();
        store.db.put_cf(meta, keys::LAYOUT, 9u32.to_le_bytes()).unwrap();
        drop(store);
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Newer { found: 9 })));
    }

    #[test]
    fn a_store_of_an_older_layout_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let meta = store.family(META).unwrap();
        store.db.put_cf(meta, keys::LAYOUT, 1u32.to_le_bytes()).unwrap();
        store.db.put_cf(meta, keys::HEAD, b"what an older build wrote").unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.layout().unwrap(), LAYOUT);
        assert_eq!(store.rows().place().unwrap(), None);
    }
}
