//! Writing the wire form.

use std::collections::BTreeSet;
use std::path::Path;

use headwater_schemas::{EntryRef, Hash, Head, Namespace, Position, SCHEMAS_NAMESPACE, Totals};

use super::block::{BLOCK_BYTES, EARLY_BYTES, ZSTD_LEVEL};
use super::file::WireImage;
use super::footer::{Block, Footer};
use super::header::Header;
use crate::publish::{Output, publish};
use crate::record::{self, Rows};
use crate::strings::SortedTexts;
use crate::{ImageError, Manifest, hash, wire_name};

/// Takes one entry: namespace, key and what it holds.
pub type Visitor<'v> = dyn FnMut(&str, &str, EntryRef<'_>) -> Result<(), ImageError> + 'v;

impl WireImage {
    /// Writes the state at `head` into `dir` under [`wire_name`], reads it back, verifies every byte, count and digest,
    /// and only then gives it its name. `entries` hands every entry to the visitor, in order of (namespace, key); it is
    /// called twice and must give the same both times (read a snapshot). What fails in it goes into
    /// [`ImageError::source`]. `position` (of the head's record in the log) and `created_at_ms` go into the manifest.
    ///
    /// # Errors
    /// [`ImageError::Unsorted`], [`ImageError::TooLarge`] or [`ImageError::Totals`] for entries that are not those of
    /// one state, [`ImageError::Io`], [`ImageError::Damaged`] when the disk gives back other bytes. The directory is then
    /// as before.
    pub fn write(
        dir: &Path,
        head: &Head,
        totals: &Totals,
        position: Position,
        created_at_ms: i64,
        entries: impl Fn(&mut Visitor<'_>) -> Result<(), ImageError>,
    ) -> Result<Manifest, ImageError> {
        let header = survey(head, totals, &entries)?;
        let name = wire_name(head);
        publish(
            dir,
            &name,
            |out| write_all(out, &header, totals, &entries),
            |path, ()| {
                let image = Self::open(path)?;
                image.verify()?;
                image.manifest(position, created_at_ms)
            },
        )
    }
}

/// The first pass: which texts there are.
fn survey(
    head: &Head,
    totals: &Totals,
    entries: impl Fn(&mut Visitor<'_>) -> Result<(), ImageError>,
) -> Result<Header, ImageError> {
    let (mut content_types, mut actors) =
        (BTreeSet::<Box<str>>::new(), BTreeSet::<Box<str>>::new());
    let add = |set: &mut BTreeSet<Box<str>>, text: &str| {
        if !set.contains(text) {
            set.insert(text.into());
        }
    };
    entries(&mut |_, _, entry| {
        add(&mut content_types, entry.content_type);
        add(&mut actors, entry.actor);
        Ok(())
    })?;
    Ok(Header {
        head: *head,
        entries: totals.entries(),
        digest: totals.digest(),
        namespaces: totals.namespaces().map(|(name, _)| name.clone()).collect(),
        content_types: SortedTexts::new(content_types),
        actors: SortedTexts::new(actors),
    })
}

/// The second pass.
fn write_all(
    out: &mut Output<'_>,
    header: &Header,
    totals: &Totals,
    entries: impl Fn(&mut Visitor<'_>) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let header_bytes = header.encode()?;
    out.write(&header_bytes)?;
    let mut packer = Packer::new(out, header, header_bytes.len() as u64)?;
    entries(&mut |namespace, key, entry| packer.push(namespace, key, &entry))?;
    let blocks = packer.finish()?;
    out.write(&Footer { blocks, totals: totals.clone() }.encode(&header_bytes))
}

/// Fills one block after the other.
struct Packer<'p, 'f> {
    out: &'p mut Output<'f>,
    header: &'p Header,
    compressor: zstd::bulk::Compressor<'static>,
    blocks: Vec<Block>,
    /// Where the block that is being filled will lie.
    offset: u64,
    records: Vec<u8>,
    count: u32,
    /// The name of the first record in it.
    first: (u32, Box<str>),
    /// The name of the last record, in whichever block.
    last: Option<(u32, String)>,
}

impl<'p, 'f> Packer<'p, 'f> {
    fn new(out: &'p mut Output<'f>, header: &'p Header, offset: u64) -> Result<Self, ImageError> {
        Ok(Self {
            out,
            header,
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(ImageError::source)?,
            blocks: Vec::new(),
            offset,
            records: Vec::with_capacity(BLOCK_BYTES),
            count: 0,
            first: (0, Box::default()),
            last: None,
        })
    }

    fn push(&mut self, namespace: &str, key: &str, entry: &EntryRef<'_>) -> Result<(), ImageError> {
        record::check(namespace, key, entry, self.header.head.revision)?;
        let rows = self.rows(namespace, entry)?;
        let boundary = self.advance(rows.namespace, namespace, key)?;
        let size = record::size(key.len(), entry.value.len());
        let full = self.records.len().saturating_add(size) > BLOCK_BYTES;
        if full || boundary && (self.records.len() >= EARLY_BYTES || self.is_apart(namespace)) {
            self.flush()?;
        }
        if self.count == 0 {
            self.first = (rows.namespace, key.into());
        }
        record::encode(&mut self.records, rows, key, entry);
        self.count += 1;
        Ok(())
    }

    /// Whether a block ends between the namespace of its first record and this one, however small it is: every
    /// subscription holds `_schemas`, and is not to fetch its neighbours with it.
    fn is_apart(&self, namespace: &str) -> bool {
        let first = self.header.namespaces.get(self.first.0 as usize);
        [first.map_or("", Namespace::as_str), namespace].contains(&SCHEMAS_NAMESPACE)
    }

    fn rows(&self, namespace: &str, entry: &EntryRef<'_>) -> Result<Rows, ImageError> {
        let same = self.last.as_ref().and_then(|(row, _)| {
            let name = self.header.namespaces.get(*row as usize)?;
            (name.as_str() == namespace).then_some(*row)
        });
        let found = || {
            let probe = |name: &Namespace| name.as_str().cmp(namespace);
            self.header.namespaces.binary_search_by(probe).ok().and_then(|row| row.try_into().ok())
        };
        let namespace = same.or_else(found).ok_or_else(|| {
            ImageError::totals(format!("{namespace} has entries, but was not counted"))
        })?;
        let changed = || ImageError::totals("the entries changed between the two passes over them");
        Ok(Rows {
            namespace,
            content_type: self.header.content_types.row(entry.content_type).ok_or_else(changed)?,
            actor: self.header.actors.row(entry.actor).ok_or_else(changed)?,
        })
    }

    /// Checks that this name follows the last, and says whether its namespace is another.
    fn advance(&mut self, row: u32, namespace: &str, key: &str) -> Result<bool, ImageError> {
        let Some((last_row, last_key)) = &mut self.last else {
            self.last = Some((row, key.into()));
            return Ok(false);
        };
        if (*last_row, last_key.as_str()) >= (row, key) {
            return Err(ImageError::Unsorted { namespace: namespace.into(), key: key.into() });
        }
        let other = *last_row != row;
        *last_row = row;
        last_key.clear();
        last_key.push_str(key);
        Ok(other)
    }

    fn flush(&mut self) -> Result<(), ImageError> {
        if self.count == 0 {
            return Ok(());
        }
        let compressed = self.compressor.compress(&self.records).map_err(ImageError::source)?;
        self.out.write(&compressed)?;
        let (namespace, first_key) = std::mem::take(&mut self.first);
        let block = Block {
            offset: self.offset,
            wire_bytes: u32::try_from(compressed.len()).unwrap_or(u32::MAX),
            bytes: u32::try_from(self.records.len()).unwrap_or(u32::MAX),
            entries: std::mem::take(&mut self.count),
            hash: Hash::of(&self.records),
            checksum: hash::checksum(&compressed),
            namespace,
            first_key,
        };
        self.offset = block.range().end;
        self.blocks.push(block);
        self.records.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Block>, ImageError> {
        self.flush()?;
        Ok(self.blocks)
    }
}
