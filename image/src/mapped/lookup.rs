//! The mapped form in use: who it is, and one key at a time.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use headwater_schemas::{EntryRef, Head, Position, Totals};
use memmap2::Mmap;

use super::index;
use super::layout::Layout;
use super::tables::Tables;
use crate::buffer::Buffer;
use crate::record::Record;
use crate::{Subscription, hash};

/// Where the bytes are.
pub(crate) enum Memory {
    /// In this process.
    Owned(Buffer),
    /// In a file, trailer included, shared with every process that maps it.
    Mapped { map: Mmap, path: PathBuf },
    /// In this process, as they stand in a file.
    Copied { bytes: Vec<u8>, path: PathBuf },
}

impl Memory {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Copied { bytes, .. } => bytes,
            Self::Mapped { map, .. } => map,
        }
    }
}

/// One immutable state, or of a subscription the part that it covers: lookups go straight to the bytes.
/// Share it with [`std::sync::Arc`].
pub struct Mapped {
    memory: Memory,
    layout: Layout,
    tables: Tables,
}

impl Mapped {
    pub(crate) fn new(memory: Memory, layout: Layout, tables: Tables) -> Self {
        Self { memory, layout, tables }
    }

    /// The hash of a key, as [`Self::get_hashed`] wants it: the same in every image.
    #[inline]
    pub fn hash(namespace: &str, key: &str) -> u64 {
        hash::of_key(namespace, key)
    }

    /// The head of the chain at this state.
    pub fn head(&self) -> &Head {
        &self.layout.head
    }

    /// Totals and digests of the namespaces held.
    pub fn totals(&self) -> &Totals {
        &self.tables.totals
    }

    /// Where the record of the head stands in the log: a hint where to read on.
    pub fn log_position(&self) -> Position {
        self.layout.position
    }

    /// The namespaces held; none = all.
    pub fn subscription(&self) -> Option<&Subscription> {
        self.tables.subscription.as_ref()
    }

    /// How many entries it holds.
    pub fn len(&self) -> u64 {
        self.layout.entries
    }

    /// Whether it holds no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The file it lies in, if it lies in one.
    pub fn path(&self) -> Option<&Path> {
        match &self.memory {
            Memory::Owned(_) => None,
            Memory::Mapped { path, .. } | Memory::Copied { path, .. } => Some(path),
        }
    }

    /// How many bytes it takes, in memory or in its file.
    pub fn size_bytes(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// The entry of one key.
    #[inline]
    pub fn get(&self, namespace: &str, key: &str) -> Option<EntryRef<'_>> {
        self.get_hashed(Self::hash(namespace, key), namespace, key)
    }

    /// The entry of one key whose [`Self::hash`] is known: a miss is mostly one read of memory, a hit two.
    #[inline]
    pub fn get_hashed(&self, hash: u64, namespace: &str, key: &str) -> Option<EntryRef<'_>> {
        let bytes = self.bytes();
        let records = bytes.get(..self.layout.records.end)?;
        let index = bytes.get(self.layout.index.clone())?;
        index::candidates(index, hash).find_map(|place| {
            let record = Record::first_of(records.get(place..)?)?;
            let hit = record.key == key.as_bytes()
                && self.tables.occupied.get(record.rows().namespace as usize)?.as_str()
                    == namespace;
            if hit { self.entry(&record) } else { None }
        })
    }

    #[inline]
    pub(crate) fn entry<'a>(&'a self, record: &Record<'a>) -> Option<EntryRef<'a>> {
        let rows = record.rows();
        let content_type = self.tables.content_types.get(rows.content_type as usize)?;
        let actor = self.tables.actors.get(rows.actor as usize)?;
        Some(record.entry(content_type, actor))
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// One part of the bytes; empty only when the file was changed behind our back.
    pub(crate) fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes().get(range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped")
            .field("head", &self.layout.head)
            .field("entries", &self.layout.entries)
            .field("subscription", &self.tables.subscription)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
