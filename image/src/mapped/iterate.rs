//! The mapped form in order: records lie sorted, and every 16th has its place in the sparse table.

use std::cmp::Ordering;

use headwater_schemas::{EntryRef, Namespace};

use super::Mapped;
use super::layout::{HEADER_BYTES, STRIDE};
use crate::record::Record;

/// Every entry of an image, in order of (namespace, key).
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    image: &'a Mapped,
    /// Where the next record begins.
    at: usize,
}

impl<'a> Entries<'a> {
    /// The next record and its namespace's row.
    fn record(&mut self) -> Option<Record<'a>> {
        let records = self.image.bytes().get(..self.image.layout().records.end)?;
        let record = Record::first_of(records.get(self.at..)?)?;
        self.at += record.size();
        Some(record)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, &'a str, EntryRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.record()?;
        let namespace = self.image.tables().occupied.get(record.rows().namespace as usize)?;
        Some((namespace.as_str(), record.key()?, self.image.entry(&record)?))
    }
}

/// The entries of one namespace whose keys begin with a prefix, in byte order.
#[derive(Debug, Clone)]
pub struct Prefix<'a> {
    entries: Entries<'a>,
    /// The row of the namespace; none when it has no entries.
    row: Option<u32>,
    prefix: &'a str,
}

impl<'a> Iterator for Prefix<'a> {
    type Item = (&'a str, EntryRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.row?;
        let record = self.entries.record()?;
        if record.rows().namespace != row || !record.key.starts_with(self.prefix.as_bytes()) {
            self.row = None;
            return None;
        }
        Some((record.key()?, self.entries.image.entry(&record)?))
    }
}

impl Mapped {
    /// Every entry, in order of (namespace, key).
    pub fn iter(&self) -> Entries<'_> {
        Entries { image: self, at: HEADER_BYTES }
    }

    /// The entries of `namespace` whose keys begin with `prefix` and, if given, come after `after`, in byte order.
    pub fn prefix<'a>(
        &'a self,
        namespace: &str,
        prefix: &'a str,
        after: Option<&str>,
    ) -> Prefix<'a> {
        let row = self.tables().occupied.binary_search_by(|name| compare(name, namespace));
        let row = row.ok().and_then(|row| u32::try_from(row).ok());
        let at = row.map_or(self.layout().records.end, |row| match after {
            Some(after) if after >= prefix => {
                self.seek(|record| (record.rows().namespace, record.key) <= (row, after.as_bytes()))
            }
            _ => {
                self.seek(|record| (record.rows().namespace, record.key) < (row, prefix.as_bytes()))
            }
        });
        Prefix { entries: Entries { image: self, at }, row, prefix }
    }

    /// Where the first record lies of which `before` does not hold.
    fn seek(&self, before: impl Fn(&Record<'_>) -> bool) -> usize {
        let end = self.layout().records.end;
        let records = self.part(&(0..end));
        let holds = |at: usize| {
            records.get(at..).and_then(Record::first_of).filter(&before).map(|record| record.size())
        };
        let (places, _) = self.part(&self.layout().sparse).as_chunks::<8>();
        let place = |bytes: &[u8; 8]| usize::try_from(u64::from_le_bytes(*bytes)).unwrap_or(end);
        let behind = places.partition_point(|bytes| holds(place(bytes)).is_some());
        let mut at = match behind.checked_sub(1) {
            Some(row) => places.get(row).map_or(end, place),
            None => return HEADER_BYTES,
        };
        for _ in 0..STRIDE {
            match holds(at) {
                Some(size) => at += size,
                None => break,
            }
        }
        at
    }
}

fn compare(name: &Namespace, other: &str) -> Ordering {
    name.as_str().cmp(other)
}

impl<'a> IntoIterator for &'a Mapped {
    type Item = (&'a str, &'a str, EntryRef<'a>);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}
