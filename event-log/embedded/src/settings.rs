//! What a log on disk can be told.

use std::path::PathBuf;

/// Appends waiting for the disk at most, in records. Fewer: writers are refused in bursts the disk could have
/// taken; more: they wait for longer than their callers do.
const QUEUE_RECORDS: usize = 16 * 1024;
/// The same in bytes: what the queue may cost in memory.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// The largest record, in bytes: what every reader is able to decode.
const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// The latest records, kept in memory for readers at the tail, in bytes. Less: a reader that stalls for a moment
/// must go to the disk.
const RING_BYTES: usize = 8 * 1024 * 1024;
/// A log up to this size is read whole before it opens (about half a second). More: a slower start; less: damage
/// in an old part is found only some time after it.
const VERIFY_ON_OPEN_BYTES: u64 = 256 * 1024 * 1024;
/// RocksDB's buffer in memory before it writes a table, in bytes; three at most.
const MEMTABLE_BYTES: usize = 16 * 1024 * 1024;

/// Settings of an [`crate::EmbeddedLog`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedSettings {
    /// The log's own directory; made (for the owner only) when absent.
    pub dir: PathBuf,
    /// Appends waiting for the disk at most, in records; more are refused. Default 16,384.
    pub queue_records: usize,
    /// Appends waiting for the disk at most, in bytes; more are refused. Default 64 MiB.
    pub queue_bytes: usize,
    /// The largest record, in bytes; a larger one is refused. Default 4 MiB.
    pub max_record_bytes: usize,
    /// The latest records kept in memory, in bytes. Default 8 MiB.
    pub ring_bytes: usize,
    /// A log of at most this many bytes is verified whole before it opens; of a larger one the tail, and the
    /// rest in the background. Default 256 MiB.
    pub verify_on_open_bytes: u64,
    /// RocksDB's write buffer, in bytes. Default 16 MiB.
    pub memtable_bytes: usize,
}

impl EmbeddedSettings {
    /// The defaults for a log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            queue_records: QUEUE_RECORDS,
            queue_bytes: QUEUE_BYTES,
            max_record_bytes: MAX_RECORD_BYTES,
            ring_bytes: RING_BYTES,
            verify_on_open_bytes: VERIFY_ON_OPEN_BYTES,
            memtable_bytes: MEMTABLE_BYTES,
        }
    }
}
