//! Tables of texts that many records share: content types and actors.

use std::collections::{BTreeSet, HashMap};

use crate::ImageError;
use crate::bytes::{Scan, put_text};

/// Gives each text a row, in the order in which they first come.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    rows: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
    /// The row of the last text: neighbours mostly have the same.
    last: usize,
}

impl Interner {
    pub(crate) fn row(&mut self, text: &str) -> Result<u32, ImageError> {
        if self.texts.get(self.last).is_some_and(|last| **last == *text) {
            return to_row(self.last);
        }
        let row = match self.rows.get(text) {
            Some(row) => *row,
            None => {
                let row = to_row(self.texts.len())?;
                self.rows.insert(text.into(), row);
                self.texts.push(text.into());
                row
            }
        };
        self.last = row as usize;
        Ok(row)
    }

    pub(crate) fn into_texts(self) -> Vec<Box<str>> {
        self.texts
    }
}

fn to_row(index: usize) -> Result<u32, ImageError> {
    u32::try_from(index).map_err(|_| ImageError::TooLarge {
        what: "the table of texts".into(),
        actual: index as u64,
        limit: u64::from(u32::MAX),
    })
}

/// A table of texts in byte order: the same for the same texts, whoever wrote it.
#[derive(Debug, Default)]
pub(crate) struct SortedTexts(Vec<Box<str>>);

impl SortedTexts {
    pub(crate) fn new(texts: BTreeSet<Box<str>>) -> Self {
        Self(texts.into_iter().collect())
    }

    pub(crate) fn row(&self, text: &str) -> Option<u32> {
        let row = self.0.binary_search_by(|probe| (**probe).cmp(text)).ok()?;
        u32::try_from(row).ok()
    }

    pub(crate) fn get(&self, row: u32) -> Option<&str> {
        self.0.get(row as usize).map(|text| &**text)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put(&self.0, out);
    }

    pub(crate) fn scan(scan: &mut Scan<'_>) -> Result<Self, ImageError> {
        let texts = scan_texts(scan)?;
        if !texts.is_sorted_by(|a, b| a < b) {
            return Err(scan.wrong("has a table of texts out of order"));
        }
        Ok(Self(texts))
    }
}

/// Writes a table: how many, then each behind its length.
pub(crate) fn put(texts: &[Box<str>], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(texts.len()).unwrap_or(u32::MAX).to_le_bytes());
    texts.iter().for_each(|text| put_text(out, text));
}

/// Reads a table. Grows with what is really there, not with what the count claims.
pub(crate) fn scan_texts(scan: &mut Scan<'_>) -> Result<Vec<Box<str>>, ImageError> {
    (0..scan.u32()?).map(|_| scan.text().map(Into::into)).collect()
}
