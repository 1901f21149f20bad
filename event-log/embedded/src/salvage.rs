//! What a damaged log still holds: every record that is whole by its own checksum, read past RocksDB.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_schemas::Record;

use crate::ring::{Budget, Ring};
use crate::{table, wal};

/// The records of a directory's tables and write-ahead logs.
pub(crate) struct Salvage {
    tables: Vec<Table>,
    /// Of the write-ahead logs, up to the first damage.
    recent: Ring,
    /// The table that was read last: most reads are of the same one.
    held: Mutex<Option<(PathBuf, Arc<Vec<Record>>)>>,
}

/// Which records a table begins with.
struct Table {
    path: PathBuf,
    first: u64,
    /// Behind the last one that is whole.
    end: u64,
}

impl fmt::Debug for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salvage").field("end", &self.end()).finish_non_exhaustive()
    }
}

impl Salvage {
    /// Reads every file once, to know what is in it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let mut tables = Vec::new();
        for file in fs::read_dir(dir)? {
            let path = file?.path();
            if path.extension().is_some_and(|end| end == "sst")
                && let [first, .., last] | [first @ last] = load(&path).as_slice()
            {
                tables.push(Table { first: first.position.0, end: last.position.0 + 1, path });
            }
        }
        let mut recent = Ring::new(usize::MAX);
        wal::sound(dir)?.into_iter().for_each(|record| recent.push(record));
        Ok(Self { tables, recent, held: Mutex::default() })
    }

    /// Behind the last record of all.
    pub(crate) fn end(&self) -> u64 {
        let ends = self.tables.iter().map(|table| table.end);
        ends.max().unwrap_or(0).max(self.recent.end())
    }

    /// The records from `position` on, about `max_bytes`; none where that one is lost.
    pub(crate) fn take(&self, position: u64, max_bytes: usize) -> Option<Vec<Record>> {
        let holds = |table: &&Table| (table.first..table.end).contains(&position);
        let Some(table) = self.tables.iter().find(holds) else {
            return self.recent.from(position, max_bytes);
        };
        let records = self.hold(&table.path);
        let behind = records.iter().skip_while(|record| record.position.0 < position);
        let mut budget = Budget::new(max_bytes);
        let taken = behind.take_while(|record| budget.takes(record.bytes.len())).cloned();
        Some(taken.collect::<Vec<_>>()).filter(|taken| !taken.is_empty())
    }

    fn hold(&self, path: &Path) -> Arc<Vec<Record>> {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, records)) = held().as_ref().filter(|(of, _)| of == path) {
            return Arc::clone(records);
        }
        let records = Arc::new(load(path));
        *held() = Some((path.to_owned(), Arc::clone(&records)));
        records
    }
}

/// The records of one table; none where not even the file can be read.
fn load(path: &Path) -> Vec<Record> {
    fs::read(path).map(|bytes| table::records(&bytes.into())).unwrap_or_default()
}
