//! What a reader needs to know of a block to take it in as it lies: found on the core that decompressed it.

use std::ops::Range;

use super::block::walk;
use super::header::Header;
use crate::record::size;
use crate::{ImageError, hash};

/// A block whose records were all found sound and in order.
pub(crate) struct Survey {
    pub(crate) records: Vec<u8>,
    pub(crate) places: Vec<Place>,
    pub(crate) runs: Vec<Run>,
}

/// One record: the hash of its key, and where it begins in the block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) hash: u64,
    pub(crate) at: usize,
}

/// The records of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The row of the namespace.
    pub(crate) namespace: u32,
    /// Where they lie in the block.
    pub(crate) records: Range<usize>,
    pub(crate) places: Range<usize>,
    /// How many bytes their values have together.
    pub(crate) value_bytes: u64,
    /// The latest revision that changed any of them.
    pub(crate) newest: u64,
}

impl Survey {
    pub(crate) fn of(header: &Header, records: Vec<u8>) -> Result<Self, ImageError> {
        let (mut places, mut runs) = (Vec::new(), Vec::<Run>::new());
        let mut at = 0;
        let mut last = "";
        walk(header, &records, |row| {
            let namespace = row.rows.namespace;
            let same = runs.last().is_some_and(|run| run.namespace == namespace);
            let follows = if same {
                row.key > last
            } else {
                runs.last().is_none_or(|run| run.namespace < namespace)
            };
            if !follows {
                let (namespace, key) = (row.namespace.into(), row.key.into());
                return Err(ImageError::Unsorted { namespace, key });
            }
            if !same {
                let (records, places) = (at..at, places.len()..places.len());
                runs.push(Run { namespace, records, places, value_bytes: 0, newest: 0 });
            }
            places.push(Place { hash: hash::of_key(row.namespace, row.key), at });
            at += size(row.key.len(), row.entry.value.len());
            last = row.key;
            if let Some(run) = runs.last_mut() {
                run.records.end = at;
                run.places.end += 1;
                run.value_bytes = run.value_bytes.saturating_add(row.entry.value.len() as u64);
                run.newest = run.newest.max(row.entry.mod_revision);
            }
            Ok(())
        })?;
        Ok(Self { records, places, runs })
    }
}
