//! The records of the compacted topic: the configuration as a table, one record a key.
//!
//! ```text
//!   key    payments.prod/db/pool                    _checkpoint
//!   value  framing │ ConfigEntry, or none: deleted  framing │ ConfigEntry whose value says up to where the table holds
//! ```
//!
//! The `.avsc` file is the source. A checkpoint is a row of the same schema, so that one schema reads the topic.

use std::borrow::Cow;
use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use serde_bytes::ByteBuf;

use crate::schema::limit_allocations;
use crate::{
    Digest, Entry, EntryRef, Fingerprint, Hash, Head, Key, MAX_RECORD_BYTES, Namespace, Position,
    StreamId,
};

const TABLE_SCHEMA: &str = include_str!("../avro/config.avsc");

/// The key of the checkpoint: an entry's key has a `/` behind its namespace, so no entry has this one.
pub const CHECKPOINT_KEY: &str = "_checkpoint";
/// What a checkpoint's value is.
const CHECKPOINT_TYPE: &str = "application/vnd.headwater.checkpoint+json";
/// Who writes checkpoints.
const PROJECTOR: &str = "headwater";

struct Row {
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
    fingerprint: Fingerprint,
}

#[expect(clippy::expect_used, reason = "the schema on file is checked by every test")]
static ROW: LazyLock<Row> = LazyLock::new(|| {
    limit_allocations();
    let schema = Schema::parse_str(TABLE_SCHEMA).expect("config.avsc is a schema");
    let schema: &'static Schema = Box::leak(Box::new(schema));
    let fingerprint = schema.fingerprint::<Rabin>();
    let fingerprint = fingerprint.bytes.as_slice().try_into().expect("a CRC of 8 bytes");
    let reader = GenericDatumReader::builder(schema).human_readable(false).build();
    let writer = GenericDatumWriter::builder(schema).human_readable(false).build();
    Row {
        reader: reader.expect("config.avsc reads"),
        writer: writer.expect("config.avsc writes"),
        fingerprint: Fingerprint(fingerprint),
    }
});

/// The schema (JSON text) of the table's values.
pub fn table_schema() -> &'static str {
    TABLE_SCHEMA
}

/// The fingerprint of [`table_schema`].
pub fn table_fingerprint() -> Fingerprint {
    ROW.fingerprint
}

/// Whether two schemas (JSON texts) read and write the same bytes: one that a registry gives back is rarely letter
/// for letter the one it was given.
pub fn same_schema(one: &str, other: &str) -> bool {
    let canonical = |text: &str| Schema::parse_str(text).ok().map(|schema| schema.canonical_form());
    canonical(one).is_some_and(|one| Some(one) == canonical(other))
}

/// What stands before a value, and says by which schema it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Avro's single-object encoding: `C3 01` and the fingerprint.
    SingleObject,
    /// Confluent's wire format: `00` and the id of the schema in a registry, 4 bytes, big-endian.
    Registry(u32),
}

impl Framing {
    /// What stands before a value; none when it is neither.
    pub fn of(value: &[u8]) -> Option<Self> {
        match value {
            [0xC3, 0x01, ..] => Some(Self::SingleObject),
            [0, a, b, c, d, ..] => Some(Self::Registry(u32::from_be_bytes([*a, *b, *c, *d]))),
            _ => None,
        }
    }

    fn prefix(self) -> Vec<u8> {
        match self {
            Self::SingleObject => [&[0xC3, 0x01], ROW.fingerprint.0.as_slice()].concat(),
            Self::Registry(id) => [&[0], id.to_be_bytes().as_slice()].concat(),
        }
    }
}

/// An entry as its record in the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableEntry<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The key.
    pub key: &'a str,
    /// What stands there.
    pub entry: EntryRef<'a>,
    /// Why the commit that put it was made, where that is known.
    pub reason: Option<&'a str>,
    /// The hash of that commit, where it is known.
    pub commit_hash: Option<Hash>,
}

/// Up to where the table is complete: it holds exactly the entries of this revision when this record is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// The stream.
    pub stream_id: StreamId,
    /// The revision.
    pub revision: u64,
    /// The chain hash at that revision.
    pub hash: Hash,
    /// That commit's time, milliseconds since the Unix epoch.
    #[serde(rename = "at")]
    pub at_ms: i64,
    /// Where its record stands in the log: a hint where to read on.
    pub position: Position,
    /// The digest of the state.
    pub digest: Digest,
    /// How many entries it has.
    pub entries: u64,
}

impl Checkpoint {
    /// The head of the chain it stands at.
    pub fn head(&self) -> Head {
        Head {
            stream_id: self.stream_id,
            revision: self.revision,
            hash: self.hash,
            at_ms: self.at_ms,
        }
    }
}

/// A record of the table, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableRow {
    /// An entry.
    Entry {
        /// Its namespace.
        namespace: Namespace,
        /// Its key.
        key: Key,
        /// What stands there.
        entry: Entry,
        /// Why it was put, where that is known.
        reason: Option<String>,
        /// The hash of the commit that put it, where that is known.
        commit_hash: Option<Hash>,
    },
    /// Up to where the table is complete.
    Checkpoint(Checkpoint),
}

/// A record that is none of the table's: somebody else's, or of a newer build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a record of the table: {0}")]
pub struct TableRowError(String);

impl TableRowError {
    fn new(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// A row as its schema has it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "ConfigEntry")]
struct Wire<'a, V> {
    namespace: Cow<'a, str>,
    key: Cow<'a, str>,
    content_type: Cow<'a, str>,
    value: V,
    version: i64,
    create_revision: i64,
    mod_revision: i64,
    updated_at: i64,
    actor: Cow<'a, str>,
    #[serde(default)]
    reason: Option<Cow<'a, str>>,
    #[serde(default)]
    commit_hash: Option<Hash>,
}

/// The key of an entry's record.
pub fn table_key(namespace: &str, key: &str) -> Bytes {
    format!("{namespace}/{key}").into()
}

/// The value of an entry's record.
pub fn encode_table_entry(row: &TableEntry<'_>, framing: Framing) -> Bytes {
    let EntryRef { version, create_revision, mod_revision, updated_at_ms, .. } = row.entry;
    let wire = Wire {
        namespace: row.namespace.into(),
        key: row.key.into(),
        content_type: row.entry.content_type.into(),
        value: serde_bytes::Bytes::new(row.entry.value),
        version: signed(version),
        create_revision: signed(create_revision),
        mod_revision: signed(mod_revision),
        updated_at: updated_at_ms,
        actor: row.entry.actor.into(),
        reason: row.reason.map(Into::into),
        commit_hash: row.commit_hash,
    };
    encode(&wire, framing)
}

/// The value of the checkpoint's record.
pub fn encode_checkpoint(checkpoint: &Checkpoint, framing: Framing) -> Bytes {
    #[expect(clippy::expect_used, reason = "numbers and hex are always JSON")]
    let value = serde_json::to_vec(checkpoint).expect("a checkpoint is JSON");
    let revision = signed(checkpoint.revision);
    let wire = Wire {
        namespace: CHECKPOINT_KEY.into(),
        key: "".into(),
        content_type: CHECKPOINT_TYPE.into(),
        value: serde_bytes::Bytes::new(&value),
        version: 1,
        create_revision: revision,
        mod_revision: revision,
        updated_at: checkpoint.at_ms,
        actor: PROJECTOR.into(),
        reason: None,
        commit_hash: Some(checkpoint.hash),
    };
    encode(&wire, framing)
}

/// Every number of an entry came out of an Avro long.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn encode(wire: &Wire<'_, &serde_bytes::Bytes>, framing: Framing) -> Bytes {
    let mut out = framing.prefix();
    out.reserve(wire.value.len() + 256);
    #[expect(
        clippy::expect_used,
        reason = "our own type fits our own schema, and a Vec takes every write"
    )]
    ROW.writer.write_ser(&mut out, wire).expect("a row fits its schema");
    out.into()
}

/// Reads the value of a record, in either framing, and checks that it belongs under its key. The id of a registry is
/// not asked for: what does not fit the schema of this build is refused.
///
/// # Errors
/// [`TableRowError`]: the record is foreign.
pub fn decode_table_row(key: &[u8], value: &[u8]) -> Result<TableRow, TableRowError> {
    let wire = read(value)?;
    if wire.key.is_empty() {
        return checkpoint(key, &wire).map(TableRow::Checkpoint);
    }
    let (namespace, name) = (parse::<Namespace>(&wire.namespace)?, parse::<Key>(&wire.key)?);
    if key != table_key(&wire.namespace, &wire.key) {
        return Err(TableRowError::new(format!("{namespace}/{name} stands under another key")));
    }
    let unsigned = |number: i64| u64::try_from(number).map_err(TableRowError::new);
    let entry = Entry {
        content_type: wire.content_type.as_ref().into(),
        value: wire.value.into_vec().into(),
        version: unsigned(wire.version)?,
        create_revision: unsigned(wire.create_revision)?,
        mod_revision: unsigned(wire.mod_revision)?,
        updated_at_ms: wire.updated_at,
        actor: wire.actor.as_ref().into(),
    };
    let reason = wire.reason.map(Cow::into_owned);
    Ok(TableRow::Entry { namespace, key: name, entry, reason, commit_hash: wire.commit_hash })
}

fn parse<T: std::str::FromStr<Err = crate::NameError>>(name: &str) -> Result<T, TableRowError> {
    name.parse().map_err(|error| TableRowError::new(format!("{name:?}: {error}")))
}

fn read(value: &[u8]) -> Result<Wire<'static, ByteBuf>, TableRowError> {
    if value.len() > MAX_RECORD_BYTES {
        return Err(TableRowError::new(format!("a value of {} bytes", value.len())));
    }
    let mut body = match value {
        [0xC3, 0x01, rest @ ..] => rest
            .strip_prefix(&ROW.fingerprint.0)
            .ok_or_else(|| TableRowError::new("of another schema"))?,
        [0, _, _, _, _, body @ ..] => body,
        _ => return Err(TableRowError::new("neither framing")),
    };
    let wire = ROW.reader.read_deser(&mut body).map_err(TableRowError::new)?;
    if body.is_empty() { Ok(wire) } else { Err(TableRowError::new("bytes left over")) }
}

fn checkpoint(key: &[u8], wire: &Wire<'_, ByteBuf>) -> Result<Checkpoint, TableRowError> {
    if key != CHECKPOINT_KEY.as_bytes() || wire.namespace != CHECKPOINT_KEY {
        return Err(TableRowError::new("no checkpoint, and no key"));
    }
    serde_json::from_slice(wire.value.as_slice()).map_err(TableRowError::new)
}
