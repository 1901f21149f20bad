//! The hash of a key: XXH3-64, which is stable for ever.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The seed of every key hash. It stands in the files, so that a build with another one takes no index for its own.
pub const HASH_SEED: u64 = 0x4865_6164_7761_7465;

/// The hash of one key: the key's, seeded with its namespace's.
#[inline]
pub(crate) fn of_key(namespace: &str, key: &str) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), of_namespace(namespace))
}

#[inline]
fn of_namespace(namespace: &str) -> u64 {
    xxh3_64_with_seed(namespace.as_bytes(), HASH_SEED)
}

/// A cheap checksum of bytes that are verified by BLAKE3 only after decompression: some bits of a zstd frame
/// mean nothing, and yet a changed one must be found.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}
