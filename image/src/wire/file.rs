//! The wire form on disk.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use headwater_schemas::{Hash, Head, Position, Totals};

use super::block::{Unpacker, walk};
use super::footer::{Footer, TRAILER_BYTES};
use super::header::Header;
use super::write::Visitor;
use super::{Assembler, MAX_META_BYTES};
use crate::{ImageError, Manifest, Mapped, Subscription, hash, wire_name};

/// An image in its wire form in a file: header and footer in memory, blocks read as they are wanted.
#[derive(Debug)]
pub struct WireImage {
    path: PathBuf,
    file: File,
    bytes: u64,
    header: Header,
    footer: Footer,
}

impl WireImage {
    /// Opens a file and reads header and footer, whose hash must match. Blocks are verified as they are read.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Damaged`] or [`ImageError::Format`].
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let file = File::open(path).map_err(ImageError::io("open", path))?;
        let bytes = file.metadata().map_err(ImageError::io("read", path))?.len();
        let read = |range| read_at(&file, path, bytes, range);
        let parse = || {
            let begin = read(0..16)?;
            let header_len = Header::claimed_len(&begin).unwrap_or(0);
            let header_bytes = read(0..header_len)?;
            let header = Header::scan(&header_bytes)?;
            let trailer = read(bytes.saturating_sub(TRAILER_BYTES as u64)..bytes)?;
            let (footer_at, _) = Footer::place(&trailer, bytes)?;
            let footer = Footer::scan(&read(footer_at..bytes)?, &header, &header_bytes, bytes)?;
            Ok((header, footer))
        };
        let (header, footer) = parse().map_err(|error: ImageError| error.in_file(path))?;
        Ok(Self { path: path.to_path_buf(), file, bytes, header, footer })
    }

    /// The head of the chain at this state.
    pub fn head(&self) -> &Head {
        &self.header.head
    }

    /// Totals and digests by namespace.
    pub fn totals(&self) -> &Totals {
        &self.footer.totals
    }

    /// The size of the file in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.bytes
    }

    /// The BLAKE3s of the uncompressed blocks: two machines with the same state have the same.
    pub fn block_hashes(&self) -> impl Iterator<Item = Hash> {
        self.footer.blocks.iter().map(|block| block.hash)
    }

    /// Hands every entry to `visit`, in order of (namespace, key), each block verified before its first entry is given.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Damaged`], and what `visit` errs with.
    pub fn for_each(&self, visit: &mut Visitor<'_>) -> Result<(), ImageError> {
        self.blocks(|block| {
            walk(&self.header, block, |row| visit(row.namespace, row.key, row.entry)).map(drop)
        })
    }

    /// Reads, verifies and hands over the blocks, uncompressed, in order.
    pub(crate) fn blocks(
        &self,
        mut visit: impl FnMut(&[u8]) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let mut unpacker = Unpacker::new()?;
        let mut records = Vec::new();
        for block in &self.footer.blocks {
            let compressed = self.read(block.range())?;
            let same = hash::checksum(&compressed) == block.checksum;
            let result = if same {
                let unpacked = unpacker.unpack(&compressed, block.hash, &mut records);
                unpacked.and_then(|()| visit(&records))
            } else {
                Err(ImageError::damaged("a block does not match its checksum"))
            };
            result.map_err(|error| error.in_file(&self.path))?;
        }
        Ok(())
    }

    /// The manifest of this file. Reads all of it for its hash.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn manifest(&self, position: Position, created_at_ms: i64) -> Result<Manifest, ImageError> {
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        while at < self.bytes {
            let end = at.saturating_add(1 << 20).min(self.bytes);
            hasher.update(&self.read(at..end)?);
            at = end;
        }
        let head = &self.header.head;
        Ok(Manifest {
            name: wire_name(head),
            stream_id: head.stream_id,
            revision: head.revision,
            hash: head.hash,
            digest: self.header.digest,
            entries: self.header.entries,
            bytes: self.bytes,
            blake3: Hash(*hasher.finalize().as_bytes()),
            created_at_ms,
            log_position: position,
            blocks: self.footer.blocks.iter().map(|block| block.listed(&self.header)).collect(),
            succession: None,
        })
    }

    /// Makes the mapped form of a file on this machine, or of the part that `subscription` covers, in memory.
    /// `manifest` is the one announced with it.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Damaged`].
    pub fn assemble(
        path: &Path,
        manifest: Manifest,
        subscription: Option<Subscription>,
    ) -> Result<Mapped, ImageError> {
        let file = File::open(path).map_err(ImageError::io("open", path))?;
        let bytes = file.metadata().map_err(ImageError::io("read", path))?.len();
        let mut assembler = Assembler::new(manifest, subscription)?;
        let mut assemble = || {
            while let Some(range) = assembler.needs() {
                let end = range.end.min(range.start.saturating_add(1 << 20));
                let piece = read_at(&file, path, bytes, range.start..end)?;
                assembler.feed(range.start, &piece)?;
            }
            Ok(())
        };
        assemble().map_err(|error: ImageError| error.in_file(path))?;
        assembler.finish().map_err(|error| error.in_file(path))
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn footer(&self) -> &Footer {
        &self.footer
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ImageError> {
        read_at(&self.file, &self.path, self.bytes, range)
    }
}

/// Reads a range of a file that has `bytes`: one beyond its end, or of impossible size, is damage.
fn read_at(
    mut file: &File,
    path: &Path,
    bytes: u64,
    range: Range<u64>,
) -> Result<Vec<u8>, ImageError> {
    let len = range.end.saturating_sub(range.start);
    if range.end > bytes || len > MAX_META_BYTES {
        return Err(ImageError::damaged("the file is shorter than it says"));
    }
    file.seek(SeekFrom::Start(range.start)).map_err(ImageError::io("read", path))?;
    let mut out = Vec::new();
    let read = file.take(len).read_to_end(&mut out).map_err(ImageError::io("read", path))?;
    if read as u64 == len {
        Ok(out)
    } else {
        Err(ImageError::damaged("the file was cut meanwhile"))
    }
}
