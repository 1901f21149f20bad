//! The language of Headwater: names, commits, the one rule that decides which
//! records count, the fold that says what a commit does, digests, and Avro.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no async.
//!
//! ```text
//! record bytes ── Frozen::read ── accept(head, frozen)? ── Codec::decode ── fold ── effects + new head
//! ```

mod avro;
mod commit;
mod digest;
mod fold;
mod head;
mod name;
mod schema;
mod state;
mod succession;
mod table;
mod table_fold;
mod vet;

pub use avro::{
    Codec, DecodeError, MARKER_MAGIC, commit_fingerprint, commit_schema, encode_commit,
    encode_genesis, encode_marker, marker_nonce,
};
pub use commit::{
    Change, Commit, CommitId, Entry, EntryRef, Expect, Genesis, Idempotency, MAX_ITEMS,
    SCHEMAS_NAMESPACE,
};
pub use digest::{Digest, NamespaceTotals, Totals, entry_digest};
pub use fold::{Divergence, Effect, Folded, fold};
pub use head::{
    FORMAT, Frozen, FrozenError, Hash, Head, MUST_UNDERSTAND, Position, Record, StreamId, accept,
    understood,
};
pub use name::{Key, MAX_KEY_BYTES, MAX_NAMESPACE_BYTES, NameError, Namespace, StreamName};
pub use schema::{Fingerprint, MAX_RECORD_BYTES, SchemaError};
pub use state::State;
pub use succession::{Point, STREAM_NAMESPACE, Succession, Word, unread};
pub use table::{
    CHECKPOINT_KEY, Checkpoint, Framing, TableEntry, TableRow, TableRowError, decode_table_row,
    encode_checkpoint, encode_table_entry, same_schema, table_fingerprint, table_key, table_schema,
};
pub use table_fold::{TableFold, TableHeld};
