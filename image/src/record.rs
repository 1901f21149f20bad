//! One entry as both forms hold it, ready to use.
//!
//! ```text
//!  0 value length u32 │ 4 namespace u32 │ 8 content type u32 │ 12 actor u32
//! 16 version u64 │ 24 create_revision u64 │ 32 mod_revision u64 │ 40 updated_at_ms i64
//! 48 key length u16 │ 50 key │ value │ zeros up to a multiple of 8
//! ```
//!
//! All little-endian. Namespace, content type and actor are numbers of rows in the tables of the file.

use headwater_schemas::{EntryRef, MAX_KEY_BYTES};

use crate::ImageError;

/// The largest record: a key, its value and 50 bytes.
pub const MAX_RECORD_BYTES: usize = 8 << 20;

const FIXED: usize = 50;

/// The rows of the tables that a record points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) namespace: u32,
    pub(crate) content_type: u32,
    pub(crate) actor: u32,
}

/// A record where it lies.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    fixed: &'a [u8; FIXED],
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record that begins where `bytes` begin; none when they end too early.
    #[inline]
    pub(crate) fn first_of(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<FIXED>()?;
        let key_len = u16::from_le_bytes([fixed[48], fixed[49]]);
        let (key, rest) = rest.split_at_checked(usize::from(key_len))?;
        let value = rest.get(..u32_at(fixed, 0) as usize)?;
        Some(Self { fixed, key, value })
    }

    /// How many bytes it takes, padding included.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        size(self.key.len(), self.value.len())
    }

    #[inline]
    pub(crate) fn rows(&self) -> Rows {
        Rows {
            namespace: u32_at(self.fixed, 4),
            content_type: u32_at(self.fixed, 8),
            actor: u32_at(self.fixed, 12),
        }
    }

    #[inline]
    pub(crate) fn entry(&self, content_type: &'a str, actor: &'a str) -> EntryRef<'a> {
        EntryRef {
            content_type,
            value: self.value,
            version: u64_at(self.fixed, 16),
            create_revision: u64_at(self.fixed, 24),
            mod_revision: u64_at(self.fixed, 32),
            updated_at_ms: u64_at(self.fixed, 40).cast_signed(),
            actor,
        }
    }

    /// The key as text; none only when the bytes were changed behind our back.
    #[inline]
    pub(crate) fn key(&self) -> Option<&'a str> {
        std::str::from_utf8(self.key).ok()
    }
}

#[inline]
fn u32_at(fixed: &[u8; FIXED], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&fixed[at..at + 4]);
    u32::from_le_bytes(bytes)
}

#[inline]
fn u64_at(fixed: &[u8; FIXED], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&fixed[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// The bytes a record takes. Lengths are at most a u16 and a u32: no overflow.
#[inline]
pub(crate) fn size(key: usize, value: usize) -> usize {
    (FIXED + key + value).next_multiple_of(8)
}

/// Whether an image can hold this entry at `revision`.
///
/// # Errors
/// [`ImageError::TooLarge`], or [`ImageError::Damaged`] for numbers that no chain of commits leads to.
pub(crate) fn check(
    namespace: &str,
    key: &str,
    entry: &EntryRef<'_>,
    revision: u64,
) -> Result<(), ImageError> {
    let name = || format!("{namespace}/{key}");
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(ImageError::damaged(format!("{}: a key has 1 to 512 bytes", name())));
    }
    let actual = FIXED.saturating_add(key.len()).saturating_add(entry.value.len());
    if actual > MAX_RECORD_BYTES {
        let (actual, limit) = (actual as u64, MAX_RECORD_BYTES as u64);
        return Err(ImageError::TooLarge { what: name(), actual, limit });
    }
    let created_before = entry.create_revision <= entry.mod_revision;
    if !created_before || entry.mod_revision > revision {
        return Err(ImageError::damaged(format!(
            "{}: created at {}, changed at {}, in an image of revision {revision}",
            name(),
            entry.create_revision,
            entry.mod_revision
        )));
    }
    if entry.version == 0 || i64::try_from(entry.version).is_err() {
        return Err(ImageError::damaged(format!("{}: version {}", name(), entry.version)));
    }
    Ok(())
}

/// Points the record that begins where `bytes` begin to other rows.
pub(crate) fn set_rows(bytes: &mut [u8], rows: Rows) {
    let numbers = [rows.namespace, rows.content_type, rows.actor];
    for (at, number) in bytes.iter_mut().skip(4).zip(numbers.map(u32::to_le_bytes).as_flattened()) {
        *at = *number;
    }
}

/// Appends a record. The caller checked the entry.
pub(crate) fn encode(out: &mut Vec<u8>, rows: Rows, key: &str, entry: &EntryRef<'_>) {
    let start = out.len();
    let value_len = u32::try_from(entry.value.len()).unwrap_or(u32::MAX);
    let key_len = u16::try_from(key.len()).unwrap_or(u16::MAX);
    let mut fixed = [0; FIXED];
    let numbers = [value_len, rows.namespace, rows.content_type, rows.actor];
    for (at, number) in fixed.chunks_exact_mut(4).zip(numbers) {
        at.copy_from_slice(&number.to_le_bytes());
    }
    let updated_at = entry.updated_at_ms.cast_unsigned();
    let numbers = [entry.version, entry.create_revision, entry.mod_revision, updated_at];
    for (at, number) in fixed[16..].chunks_exact_mut(8).zip(numbers) {
        at.copy_from_slice(&number.to_le_bytes());
    }
    fixed[48..].copy_from_slice(&key_len.to_le_bytes());
    out.extend_from_slice(&fixed);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(entry.value);
    out.resize(start + size(key.len(), entry.value.len()), 0);
}
