//! One block: records of a sorted run, compressed by themselves.

use headwater_schemas::{EntryRef, Hash};

use super::MAX_BLOCK_BYTES;
use super::header::Header;
use crate::ImageError;
use crate::record::{self, Record, Rows};

/// A block ends before the record that would make it larger.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
/// From this size on a block ends where a namespace does: smaller ones would compress badly and crowd the footer.
pub(crate) const EARLY_BYTES: usize = 64 << 10;
pub(crate) const ZSTD_LEVEL: i32 = 3;

/// Decompresses blocks, one after the other, without an allocation for each.
pub(crate) struct Unpacker(zstd::bulk::Decompressor<'static>);

impl Unpacker {
    pub(crate) fn new() -> Result<Self, ImageError> {
        zstd::bulk::Decompressor::new().map(Self).map_err(ImageError::source)
    }

    /// Decompresses a block into `out` and compares its hash. Allocates what the frame claims only up to the limit of
    /// a block.
    pub(crate) fn unpack(
        &mut self,
        compressed: &[u8],
        expected: Hash,
        out: &mut Vec<u8>,
    ) -> Result<(), ImageError> {
        let claimed = zstd::zstd_safe::get_frame_content_size(compressed).ok().flatten();
        let len = claimed.and_then(|len| usize::try_from(len).ok());
        let Some(len) = len.filter(|len| *len <= MAX_BLOCK_BYTES) else {
            return Err(ImageError::damaged("a block claims an impossible size"));
        };
        out.clear();
        out.reserve(len);
        self.0.decompress_to_buffer(compressed, out).map_err(|error| {
            ImageError::damaged(format!("a block cannot be decompressed: {error}"))
        })?;
        if out.len() != len || Hash::of(out) != expected {
            return Err(ImageError::damaged("a block does not match its hash"));
        }
        Ok(())
    }
}

/// One record of a block, its texts looked up.
pub(crate) struct Row<'a> {
    pub(crate) rows: Rows,
    pub(crate) namespace: &'a str,
    pub(crate) key: &'a str,
    pub(crate) entry: EntryRef<'a>,
}

/// Walks a block and gives each record that is sound. Says how many there were.
pub(crate) fn walk<'a>(
    header: &'a Header,
    mut block: &'a [u8],
    mut visit: impl FnMut(Row<'a>) -> Result<(), ImageError>,
) -> Result<u32, ImageError> {
    let mut count = 0u32;
    while !block.is_empty() {
        let wrong = || ImageError::damaged("a block has a record that is none");
        let record = Record::first_of(block).ok_or_else(wrong)?;
        block = block.get(record.size()..).ok_or_else(wrong)?;
        let row = look_up(header, &record).ok_or_else(wrong)?;
        record::check(row.namespace, row.key, &row.entry, header.head.revision)?;
        visit(row)?;
        count = count.saturating_add(1);
    }
    Ok(count)
}

fn look_up<'a>(header: &'a Header, record: &Record<'a>) -> Option<Row<'a>> {
    let rows = record.rows();
    Some(Row {
        rows,
        namespace: header.namespaces.get(rows.namespace as usize)?.as_str(),
        key: record.key()?,
        entry: record
            .entry(header.content_types.get(rows.content_type)?, header.actors.get(rows.actor)?),
    })
}
