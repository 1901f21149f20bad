//! The last 80 bytes of a mapped file: what its bytes must hash to.

use std::num::NonZero;

use headwater_schemas::Hash;

use super::layout::{HEADER_BYTES, Layout};
use crate::ImageError;
use crate::bytes::Scan;

pub(crate) const TRAILER_BYTES: usize = 80;
const MAGIC: [u8; 8] = *b"HWMAPEND";
/// What is hashed at once, so that several cores can.
const CHUNK_BYTES: usize = 1 << 20;

/// The hashes of a file.
pub(crate) struct Trailer {
    /// The hash of everything before it.
    content: Hash,
    /// The hash of header and tables: what opening needs, and quick to check.
    meta: Hash,
    len: u64,
}

impl Trailer {
    pub(crate) fn of(body: &[u8], layout: &Layout) -> Self {
        Self { content: hash_content(body), meta: hash_meta(body, layout), len: body.len() as u64 }
    }

    pub(crate) fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut out = [0; TRAILER_BYTES];
        out[..32].copy_from_slice(&self.content.0);
        out[32..64].copy_from_slice(&self.meta.0);
        out[64..72].copy_from_slice(&self.len.to_le_bytes());
        out[72..].copy_from_slice(&MAGIC);
        out
    }

    /// Splits a file into body and trailer.
    pub(crate) fn split(file: &[u8]) -> Result<(&[u8], Self), ImageError> {
        let at = file.len().checked_sub(TRAILER_BYTES);
        let Some((body, trailer)) = at.and_then(|at| file.split_at_checked(at)) else {
            return Err(ImageError::damaged("the mapped image is shorter than its trailer"));
        };
        let mut scan = Scan::new(trailer, "trailer of the mapped image");
        let trailer = Self { content: scan.hash()?, meta: scan.hash()?, len: scan.u64()? };
        if scan.take(8)? != MAGIC || trailer.len != body.len() as u64 {
            return Err(scan.wrong("is not where it should be: the file was cut"));
        }
        Ok((body, trailer))
    }

    /// Compares what opening relies on: quick.
    pub(crate) fn check_meta(&self, body: &[u8], layout: &Layout) -> Result<(), ImageError> {
        if hash_meta(body, layout) == self.meta {
            return Ok(());
        }
        Err(ImageError::damaged("header and tables of the mapped image do not match their hash"))
    }

    /// Compares every byte: as fast as BLAKE3 on all cores.
    pub(crate) fn check_content(&self, body: &[u8]) -> Result<(), ImageError> {
        if hash_content(body) == self.content {
            return Ok(());
        }
        Err(ImageError::damaged("the mapped image does not match its hash"))
    }
}

fn hash_meta(body: &[u8], layout: &Layout) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(body.get(..HEADER_BYTES).unwrap_or_default());
    hasher.update(body.get(layout.tables.clone()).unwrap_or_default());
    Hash(*hasher.finalize().as_bytes())
}

/// BLAKE3 of the BLAKE3s of the chunks.
fn hash_content(body: &[u8]) -> Hash {
    let chunks: Vec<&[u8]> = body.chunks(CHUNK_BYTES).collect();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get).min(8);
    let share = chunks.len().div_ceil(cores).max(1);
    let mut hashes = vec![Hash::default(); chunks.len()];
    std::thread::scope(|scope| {
        let mut work = chunks.chunks(share).zip(hashes.chunks_mut(share));
        let own = work.next();
        for (chunks, hashes) in work {
            scope.spawn(move || hash_chunks(chunks, hashes));
        }
        if let Some((chunks, hashes)) = own {
            hash_chunks(chunks, hashes);
        }
    });
    let mut all = blake3::Hasher::new();
    for hash in hashes {
        all.update(&hash.0);
    }
    Hash(*all.finalize().as_bytes())
}

fn hash_chunks(chunks: &[&[u8]], hashes: &mut [Hash]) {
    for (chunk, hash) in chunks.iter().zip(hashes) {
        *hash = Hash::of(chunk);
    }
}
