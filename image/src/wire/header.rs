//! The header of the wire form.

use headwater_schemas::{Digest, Head, Namespace};

use super::MAX_META_BYTES;
use crate::bytes::{Scan, put_head, put_text};
use crate::strings::SortedTexts;
use crate::{HASH_SEED, ImageError};

const MAGIC: [u8; 8] = *b"HWIMAGE\0";
const FORMAT: u32 = 1;

/// What the header says: whose state it is, and the texts that records share.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) head: Head,
    pub(crate) entries: u64,
    pub(crate) digest: Digest,
    /// Every namespace ever written, in order of name.
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) content_types: SortedTexts,
    pub(crate) actors: SortedTexts,
}

impl Header {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ImageError> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        put_head(&mut out, &self.head);
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&self.digest.0);
        out.extend_from_slice(&HASH_SEED.to_le_bytes());
        let count = u32::try_from(self.namespaces.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        self.namespaces.iter().for_each(|name| put_text(&mut out, name.as_str()));
        self.content_types.put(&mut out);
        self.actors.put(&mut out);
        let (actual, limit) = (out.len() as u64, MAX_META_BYTES);
        if actual > limit {
            let what = "the table of actors, content types and namespaces".into();
            return Err(ImageError::TooLarge { what, actual, limit });
        }
        let len = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out[12..16].copy_from_slice(&len.to_le_bytes());
        Ok(out)
    }

    /// The length that a header which begins with `bytes` claims; none when too few are there.
    pub(crate) fn claimed_len(bytes: &[u8]) -> Option<u64> {
        let len = bytes.get(12..16)?.first_chunk::<4>()?;
        Some(u64::from(u32::from_le_bytes(*len)))
    }

    /// Reads a header that takes all of `bytes`.
    pub(crate) fn scan(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut scan = Scan::new(bytes, "header");
        scan.magic(MAGIC, FORMAT)?;
        if u64::from(scan.u32()?) != bytes.len() as u64 {
            return Err(scan.wrong("claims another length than it has"));
        }
        let head = scan.head()?;
        let (entries, digest) = (scan.u64()?, scan.digest()?);
        // Nothing in this form is laid out by hash: a build with another seed reads it all the same.
        let _seed = scan.u64()?;
        let namespaces = namespaces(&mut scan)?;
        let content_types = SortedTexts::scan(&mut scan)?;
        let actors = SortedTexts::scan(&mut scan)?;
        scan.end()?;
        Ok(Self { head, entries, digest, namespaces, content_types, actors })
    }
}

fn namespaces(scan: &mut Scan<'_>) -> Result<Vec<Namespace>, ImageError> {
    let mut names = Vec::new();
    for _ in 0..scan.u32()? {
        let name =
            Namespace::parse(scan.text()?).map_err(|error| scan.wrong(&error.to_string()))?;
        if names.last().is_some_and(|last| *last >= name) {
            return Err(scan.wrong("has namespaces out of order"));
        }
        names.push(name);
    }
    Ok(names)
}
