//! The header of the mapped form: whose state it is, and where its parts begin.

use std::ops::Range;

use headwater_schemas::{Digest, Head, Position};

use crate::bytes::{Scan, put_head};
use crate::{HASH_SEED, ImageError};

pub(crate) const HEADER_BYTES: usize = 256;
const MAGIC: [u8; 8] = *b"HWMAPPED";
const FORMAT: u32 = 1;
/// How many records one row of the sparse table stands for.
pub(crate) const STRIDE: u64 = 16;

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) head: Head,
    pub(crate) position: Position,
    pub(crate) entries: u64,
    pub(crate) digest: Digest,
    /// Byte ranges of the parts, in this order and without gaps.
    pub(crate) records: Range<usize>,
    pub(crate) sparse: Range<usize>,
    pub(crate) index: Range<usize>,
    pub(crate) tables: Range<usize>,
}

impl Layout {
    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        put_head(&mut out, &self.head);
        out.extend_from_slice(&self.position.0.to_le_bytes());
        out.extend_from_slice(&HASH_SEED.to_le_bytes());
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&self.digest.0);
        for end in [self.records.end, self.sparse.end, self.index.end, self.tables.end] {
            out.extend_from_slice(&(end as u64).to_le_bytes());
        }
        let mut header = [0; HEADER_BYTES];
        header[..out.len()].copy_from_slice(&out);
        header
    }

    /// Reads the header of `bytes`, which are all of the form but the trailer.
    pub(crate) fn scan(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut scan = Scan::new(bytes, "header of the mapped image");
        let mut scan = Scan::new(scan.take(HEADER_BYTES)?, "header of the mapped image");
        scan.magic(MAGIC, FORMAT)?;
        scan.u32()?;
        let head = scan.head()?;
        let position = Position(scan.u64()?);
        if scan.u64()? != HASH_SEED {
            return Err(scan.wrong("was indexed with another hash seed"));
        }
        let (entries, digest) = (scan.u64()?, scan.digest()?);
        let mut start = HEADER_BYTES;
        let mut part = || -> Result<Range<usize>, ImageError> {
            let end = usize::try_from(scan.u64()?).unwrap_or(usize::MAX);
            if end < start || end > bytes.len() {
                return Err(scan.wrong("places a part outside of the file"));
            }
            Ok(std::mem::replace(&mut start, end)..end)
        };
        let (records, sparse, index, tables) = (part()?, part()?, part()?, part()?);
        let layout = Self { head, position, entries, digest, records, sparse, index, tables };
        layout.check(&scan, bytes.len())?;
        Ok(layout)
    }

    fn check(&self, scan: &Scan<'_>, len: usize) -> Result<(), ImageError> {
        let slots = self.index.len() / 8;
        let rows = self.entries.div_ceil(STRIDE);
        let fits = slots.is_power_of_two()
            && self.index.len() == slots * 8
            && self.sparse.len() as u64 == rows.saturating_mul(8)
            && self.entries <= slots as u64 / 2
            && self.tables.end == len;
        if fits { Ok(()) } else { Err(scan.wrong("has parts of impossible size")) }
    }
}
