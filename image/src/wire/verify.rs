//! Proving a wire image: that it is whole, sorted, and what its totals count.

use headwater_schemas::{NamespaceTotals, entry_digest};

use super::block::{Row, walk};
use super::file::WireImage;
use crate::ImageError;
use crate::mapped::check_parts;

/// What was counted so far.
#[derive(Default)]
struct Count {
    parts: Vec<NamespaceTotals>,
    last: Option<(u32, String)>,
}

impl WireImage {
    /// Reads everything: hashes, order, sizes and counts of the blocks, and every namespace's totals computed anew.
    ///
    /// # Errors
    /// [`ImageError::Damaged`], [`ImageError::Unsorted`] or [`ImageError::Totals`] with the first thing that is wrong;
    /// [`ImageError::Io`].
    pub fn verify(&self) -> Result<(), ImageError> {
        let mut count = Count::default();
        count.parts.resize(self.header().namespaces.len(), NamespaceTotals::default());
        let mut blocks = self.footer().blocks.iter();
        self.blocks(|records| {
            let wrong = || ImageError::damaged("a block is not what the footer says of it");
            let block = blocks.next().ok_or_else(wrong)?;
            let mut first = true;
            let entries = walk(self.header(), records, |row| {
                let named = (row.rows.namespace, row.key) == (block.namespace, &*block.first_key);
                if std::mem::take(&mut first) && !named {
                    return Err(wrong());
                }
                count.add(&row)
            })?;
            let same = (entries, records.len()) == (block.entries, block.bytes as usize);
            if same { Ok(()) } else { Err(wrong()) }
        })?;
        let mut parts = Vec::new();
        for (name, part) in self.header().namespaces.iter().zip(count.parts) {
            // Deletions leave no entry behind: the last change may be later than any entry's, never earlier.
            let mod_revision = self.totals().of(name.as_str()).mod_revision;
            if part.mod_revision > mod_revision {
                let detail = format!("{name} has an entry later than its last change");
                return Err(ImageError::totals(detail));
            }
            parts.push((name.as_str(), NamespaceTotals { mod_revision, ..part }));
        }
        check_parts(self.totals(), &parts)
    }
}

impl Count {
    fn add(&mut self, row: &Row<'_>) -> Result<(), ImageError> {
        let name = (row.rows.namespace, row.key);
        if self.last.as_ref().is_some_and(|(namespace, key)| (*namespace, key.as_str()) >= name) {
            let (namespace, key) = (row.namespace.into(), row.key.into());
            return Err(ImageError::Unsorted { namespace, key });
        }
        self.last = Some((row.rows.namespace, row.key.into()));
        if let Some(part) = self.parts.get_mut(row.rows.namespace as usize) {
            part.entries += 1;
            part.bytes = part.bytes.saturating_add(row.entry.value.len() as u64);
            part.mod_revision = part.mod_revision.max(row.entry.mod_revision);
            part.digest = part.digest.plus(entry_digest(row.namespace, row.key, row.entry));
        }
        Ok(())
    }
}
