//! The footer and trailer of the wire form.

use std::ops::Range;

use headwater_schemas::{Hash, Namespace, Totals};

use super::block::BLOCK_BYTES;
use super::header::Header;
use super::{MAX_BLOCK_BYTES, MAX_BLOCK_WIRE_BYTES};
use crate::bytes::{Scan, put_namespace_totals, put_text};
use crate::{ImageError, ManifestBlock, Subscription};

pub(crate) const TRAILER_BYTES: usize = 56;
const MAGIC: [u8; 8] = *b"HWIMGEND";

/// Where a block lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    /// Its size in the file.
    pub(crate) wire_bytes: u32,
    /// Its size uncompressed.
    pub(crate) bytes: u32,
    pub(crate) entries: u32,
    /// BLAKE3 of it uncompressed.
    pub(crate) hash: Hash,
    /// XXH3-64 of it compressed.
    pub(crate) checksum: u64,
    /// The row of the first record's namespace.
    pub(crate) namespace: u32,
    pub(crate) first_key: Box<str>,
}

impl Block {
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.wire_bytes))
    }

    /// The block as a manifest lists it.
    pub(crate) fn listed(&self, header: &Header) -> ManifestBlock {
        let namespace = header.namespaces.get(self.namespace as usize);
        ManifestBlock {
            offset: self.offset,
            bytes: u64::from(self.wire_bytes),
            blake3: self.hash,
            first_key: format!("{}/{}", namespace.map_or("", Namespace::as_str), self.first_key),
        }
    }
}

/// What the footer says: the blocks, and what every namespace holds.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) blocks: Vec<Block>,
    pub(crate) totals: Totals,
}

impl Footer {
    /// Footer and trailer, which follow the blocks and end the file.
    pub(crate) fn encode(&self, header: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&u32::try_from(self.blocks.len()).unwrap_or(u32::MAX).to_le_bytes());
        for block in &self.blocks {
            out.extend_from_slice(&block.offset.to_le_bytes());
            for number in [block.wire_bytes, block.bytes, block.entries, block.namespace] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&block.hash.0);
            out.extend_from_slice(&block.checksum.to_le_bytes());
            put_text(&mut out, &block.first_key);
        }
        // In the order of the header's table of namespaces, which is that of names.
        for (_, part) in self.totals.namespaces() {
            put_namespace_totals(&mut out, part);
        }
        let offset = self.blocks.last().map_or(header.len() as u64, |block| block.range().end);
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..8].copy_from_slice(&offset.to_le_bytes());
        trailer[8..16].copy_from_slice(&(out.len() as u64).to_le_bytes());
        let hash = seal(header, &out, &trailer[..16]);
        trailer[16..48].copy_from_slice(&hash.0);
        trailer[48..].copy_from_slice(&MAGIC);
        out.extend_from_slice(&trailer);
        out
    }

    /// Where the footer begins and how long it is, of a file of `file_len` bytes that ends with `trailer`.
    pub(crate) fn place(trailer: &[u8], file_len: u64) -> Result<(u64, u64), ImageError> {
        let mut scan = Scan::new(trailer, "trailer");
        let (offset, len) = (scan.u64()?, scan.u64()?);
        scan.hash()?;
        let end = offset.checked_add(len).and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        if scan.take(8)? != MAGIC || end != Some(file_len) {
            return Err(scan.wrong("is not one: the file was cut, or is none"));
        }
        Ok((offset, len))
    }

    /// Reads footer and trailer: `bytes` are the end of a file of `file_len` bytes that began with `header`.
    pub(crate) fn scan(
        bytes: &[u8],
        header: &Header,
        header_bytes: &[u8],
        file_len: u64,
    ) -> Result<Self, ImageError> {
        let at = bytes.len().checked_sub(TRAILER_BYTES);
        let Some((footer, trailer)) = at.and_then(|at| bytes.split_at_checked(at)) else {
            return Err(ImageError::damaged("the trailer is missing: the file was cut"));
        };
        let (offset, len) = Self::place(trailer, file_len)?;
        let mut scan = Scan::new(footer, "footer");
        if len != footer.len() as u64 {
            return Err(scan.wrong("is not where the trailer says"));
        }
        let sealed = trailer.get(16..48).unwrap_or_default();
        if seal(header_bytes, footer, &trailer[..16]).0 != sealed {
            return Err(ImageError::damaged("header and footer do not match their hash"));
        }
        let blocks = scan_blocks(&mut scan, header, header_bytes.len() as u64, offset)?;
        let mut parts = Vec::new();
        for name in &header.namespaces {
            parts.push((name.clone(), scan.namespace_totals()?));
        }
        scan.end()?;
        let totals = Totals::from_namespaces(parts);
        check_sums(&scan, header, &blocks, &totals)?;
        Ok(Self { blocks, totals })
    }

    /// The blocks that hold anything of `subscription`, by number.
    pub(crate) fn needed(&self, subscription: &Subscription) -> Vec<usize> {
        let mut end = 0u64;
        let wanted: Vec<Range<u64>> = self
            .totals
            .namespaces()
            .filter_map(|(name, part)| {
                let start = end;
                end = end.saturating_add(part.entries);
                (part.entries > 0 && subscription.contains(name.as_str())).then_some(start..end)
            })
            .collect();
        let mut first = 0u64;
        let overlaps = |block: &Block| {
            let start = first;
            first = first.saturating_add(u64::from(block.entries));
            wanted.iter().any(|wanted| wanted.start < first && start < wanted.end)
        };
        let hits: Vec<bool> = self.blocks.iter().map(overlaps).collect();
        hits.iter().enumerate().filter_map(|(block, hit)| hit.then_some(block)).collect()
    }
}

/// The hash of all that is not blocks.
pub(crate) fn seal(header: &[u8], footer: &[u8], place: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header).update(footer).update(place);
    Hash(*hasher.finalize().as_bytes())
}

/// Reads the table of blocks, which must lie from `start` to `end` without gaps.
fn scan_blocks(
    scan: &mut Scan<'_>,
    header: &Header,
    start: u64,
    end: u64,
) -> Result<Vec<Block>, ImageError> {
    let mut blocks = Vec::new();
    let mut next = start;
    for _ in 0..scan.u32()? {
        let block = Block {
            offset: scan.u64()?,
            wire_bytes: scan.u32()?,
            bytes: scan.u32()?,
            entries: scan.u32()?,
            namespace: scan.u32()?,
            hash: scan.hash()?,
            checksum: scan.u64()?,
            first_key: scan.text()?.into(),
        };
        let sizes = u64::from(block.wire_bytes) <= MAX_BLOCK_WIRE_BYTES
            && block.bytes as usize <= MAX_BLOCK_BYTES
            && (block.bytes as usize <= BLOCK_BYTES || block.entries == 1);
        let named = (block.namespace as usize) < header.namespaces.len();
        if block.offset != next || !sizes || !named || block.entries == 0 {
            return Err(scan.wrong("lists an impossible block"));
        }
        next = block.range().end;
        blocks.push(block);
    }
    if next == end { Ok(blocks) } else { Err(scan.wrong("lists blocks that leave a gap")) }
}

fn check_sums(
    scan: &Scan<'_>,
    header: &Header,
    blocks: &[Block],
    totals: &Totals,
) -> Result<(), ImageError> {
    let listed: u64 = blocks.iter().map(|block| u64::from(block.entries)).sum();
    let same = listed == header.entries
        && totals.entries() == header.entries
        && totals.digest() == header.digest;
    if same {
        Ok(())
    } else {
        Err(scan.wrong("does not add up to the header's entries and digest"))
    }
}
