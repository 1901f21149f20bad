//! The frozen header of a record, proven against the record's hash without the record.
//!
//! BLAKE3 is a Merkle tree over chunks of 1 KiB. The frozen header stands in the first chunk, so that chunk and the
//! values beside its way up to the root are enough to compute the hash of the whole record:
//!
//! ```text
//!             root = hash
//!            /           \
//!       parent         sibling 1      kept: chunk 0, sibling 0, sibling 1
//!      /      \
//!  chunk 0  sibling 0
//! ```

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use headwater_schemas::{Frozen, FrozenError, Hash};

/// The size of a chunk of BLAKE3, in bytes.
pub(crate) const CHUNK_BYTES: usize = 1_024;
/// The most values beside the way up: records of 64 MiB, far above any.
pub(crate) const MAX_SIBLINGS: usize = 16;

/// What proves the header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderProof {
    /// The whole record, at most a chunk long.
    Whole(Vec<u8>),
    /// Its first chunk, and the values beside the way from it up to the root, the lowest first.
    First {
        /// The first chunk.
        chunk: Box<[u8; CHUNK_BYTES]>,
        /// The values beside the way up; at least one.
        siblings: Vec<ChainingValue>,
    },
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It has no way up, or a longer one than any record has.
    #[error("a way of {0} values leads to no record's hash")]
    Way(usize),
    /// What stands first is no header.
    #[error(transparent)]
    Header(#[from] FrozenError),
}

impl HeaderProof {
    /// The proof of a record's header.
    pub(crate) fn of(record: &[u8]) -> Self {
        let Some((chunk, rest)) =
            record.split_first_chunk::<CHUNK_BYTES>().filter(|(_, rest)| !rest.is_empty())
        else {
            return Self::Whole(record.to_vec());
        };
        debug_assert!(!rest.is_empty());
        let mut siblings = Vec::new();
        let mut left = record;
        while left.len() > CHUNK_BYTES {
            let middle = left_subtree_len(left.len() as u64);
            let (first, second) = left.split_at(usize::try_from(middle).unwrap_or(usize::MAX));
            siblings.push(subtree(second, middle));
            left = first;
        }
        siblings.reverse();
        Self::First { chunk: Box::new(*chunk), siblings }
    }

    /// The hash of the record, and its header.
    ///
    /// # Errors
    /// [`TreeError`].
    pub(crate) fn prove(&self) -> Result<(Hash, Frozen), TreeError> {
        match self {
            Self::Whole(record) => Ok((Hash::of(record), Frozen::read(record)?)),
            Self::First { chunk, siblings } => {
                let (highest, lower) = match siblings.split_last() {
                    Some(split) if siblings.len() <= MAX_SIBLINGS => split,
                    _ => return Err(TreeError::Way(siblings.len())),
                };
                let first = subtree(chunk.as_slice(), 0);
                let way = |below: ChainingValue, beside: &ChainingValue| {
                    merge_subtrees_non_root(&below, beside, Mode::Hash)
                };
                let left = lower.iter().fold(first, way);
                let root = merge_subtrees_root(&left, highest, Mode::Hash);
                Ok((Hash(*root.as_bytes()), Frozen::read(chunk.as_slice())?))
            }
        }
    }
}

/// The value of a part of a record that begins at `offset` and is no root.
fn subtree(part: &[u8], offset: u64) -> ChainingValue {
    blake3::Hasher::new().set_input_offset(offset).update(part).finalize_non_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_chunk_and_its_way_up_give_the_hash_of_records_of_any_size() {
        let record: Vec<u8> = (0..70_000_u32).map(|i| i.to_le_bytes()[0] ^ 0x5A).collect();
        let edges = [1_025, 2_047, 2_048, 2_049, 3_072, 3_073, 4_096, 4_097, 65_536, 70_000];
        for length in edges.into_iter().chain((1_026..20_000).step_by(997)) {
            let HeaderProof::First { chunk, siblings } = HeaderProof::of(&record[..length]) else {
                panic!("{length} bytes are more than a chunk")
            };
            let (highest, lower) = siblings.split_last().unwrap();
            let left = lower.iter().fold(subtree(chunk.as_slice(), 0), |below, beside| {
                merge_subtrees_non_root(&below, beside, Mode::Hash)
            });
            let root = merge_subtrees_root(&left, highest, Mode::Hash);
            assert_eq!(root, blake3::hash(&record[..length]), "{length}");
        }
        for length in [0, 1, 1_023, 1_024] {
            assert_eq!(
                HeaderProof::of(&record[..length]),
                HeaderProof::Whole(record[..length].to_vec())
            );
        }
    }

    #[test]
    fn a_way_that_no_record_has_is_refused() {
        let chunk = Box::new([0; CHUNK_BYTES]);
        for siblings in [vec![], vec![[7; 32]; MAX_SIBLINGS + 1]] {
            let count = siblings.len();
            let proof = HeaderProof::First { chunk: chunk.clone(), siblings };
            assert_eq!(proof.prove(), Err(TreeError::Way(count)));
        }
    }
}
