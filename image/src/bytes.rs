//! Reading little-endian numbers and texts out of bytes that nobody vouches for.

use headwater_schemas::{Digest, Hash, Head, NamespaceTotals, StreamId};

use crate::ImageError;

/// What is left to read of one part of a file. Running out is damage, never a panic.
pub(crate) struct Scan<'a> {
    rest: &'a [u8],
    /// What is being read, for the message.
    what: &'static str,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(crate) fn wrong(&self, detail: &str) -> ImageError {
        ImageError::damaged(format!("the {}: {detail}", self.what))
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], ImageError> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or_else(|| self.wrong("ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| self.wrong("ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ImageError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ImageError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, ImageError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn hash(&mut self) -> Result<Hash, ImageError> {
        Ok(Hash(self.array()?))
    }

    pub(crate) fn digest(&mut self) -> Result<Digest, ImageError> {
        Ok(Digest(self.array()?))
    }

    /// A text behind its length (u32).
    pub(crate) fn text(&mut self) -> Result<&'a str, ImageError> {
        let len = self.u32()? as usize;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong("has a text that is not UTF-8"))
    }

    /// The magic and the format, which begin every file.
    pub(crate) fn magic(&mut self, magic: [u8; 8], format: u32) -> Result<(), ImageError> {
        if self.array::<8>()? != magic {
            return Err(self.wrong("does not begin like one"));
        }
        match self.u32()? {
            found if found == format => Ok(()),
            found => Err(ImageError::Format { found, known: format }),
        }
    }

    /// A head: stream id, revision, hash, time.
    pub(crate) fn head(&mut self) -> Result<Head, ImageError> {
        let stream_id = StreamId(self.array()?);
        let revision = self.u64()?;
        if i64::try_from(revision).is_err() {
            return Err(self.wrong("has an impossible revision"));
        }
        Ok(Head { stream_id, revision, hash: self.hash()?, at_ms: self.i64()? })
    }

    /// The totals of one namespace.
    pub(crate) fn namespace_totals(&mut self) -> Result<NamespaceTotals, ImageError> {
        Ok(NamespaceTotals {
            entries: self.u64()?,
            bytes: self.u64()?,
            mod_revision: self.u64()?,
            digest: self.digest()?,
        })
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), ImageError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("has bytes behind its end")) }
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    // Texts come from commits, which are far smaller than 4 GiB; the files they stand in are bounded as a whole.
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_head(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(&head.stream_id.0);
    out.extend_from_slice(&head.revision.to_le_bytes());
    out.extend_from_slice(&head.hash.0);
    out.extend_from_slice(&head.at_ms.to_le_bytes());
}

pub(crate) fn put_namespace_totals(out: &mut Vec<u8>, totals: &NamespaceTotals) {
    out.extend_from_slice(&totals.entries.to_le_bytes());
    out.extend_from_slice(&totals.bytes.to_le_bytes());
    out.extend_from_slice(&totals.mod_revision.to_le_bytes());
    out.extend_from_slice(&totals.digest.0);
}
