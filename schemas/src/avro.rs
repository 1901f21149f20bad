//! Bytes ↔ commits: Avro single-object encoding, decoded by the writer's schema.
//!
//! The `.avsc` files are the source. A stream carries its own schemas (genesis holds the first, later ones
//! are committed to `_schemas/<fingerprint>`), so an old reader reads a newer commit, and any reader an
//! old one.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{LazyLock, Mutex, Once, PoisonError};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;

use crate::head::hex_traits;
use crate::{
    Change, Commit, Digest, Entry, Frozen, FrozenError, Genesis, Hash, Key, Namespace,
    SCHEMAS_NAMESPACE, Totals, fold, understood,
};

const COMMIT_SCHEMA: &str = include_str!("../avro/commit.avsc");
const GENESIS_SCHEMA: &str = include_str!("../avro/genesis.avsc");

/// What a marker record begins with: no commit, never accepted, never counted.
pub const MARKER_MAGIC: &[u8; 2] = b"HM";

/// The most one decode may allocate, in bytes.
const MAX_ALLOCATION_BYTES: usize = 8 * 1024 * 1024;
/// The largest record a reader decodes, in bytes: well above what any writer may append.
const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// The largest schema a log may carry, in bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;
/// The most schemas a process keeps: each stays for its life.
const MAX_SCHEMAS: usize = 256;

/// The CRC-64-AVRO fingerprint of a schema's canonical form, little-endian, as single-object encoding has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fingerprint(pub [u8; 8]);
hex_traits!(Fingerprint, 8);

impl Fingerprint {
    /// Where the log carries the schema of this fingerprint, in [`SCHEMAS_NAMESPACE`].
    #[expect(clippy::expect_used, reason = "hex is always a key")]
    pub fn key(&self) -> Key {
        Key::parse(&self.to_string()).expect("hex is a key")
    }
}

/// Why a schema cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SchemaError {
    /// It is not an Avro schema of a record.
    #[error("not a usable Avro schema: {0}")]
    Unusable(String),
    /// It is filed under a fingerprint that is not its own.
    #[error("the schema filed under {filed} has the fingerprint {actual}")]
    Misfiled {
        /// Where it stands.
        filed: Fingerprint,
        /// What it is.
        actual: Fingerprint,
    },
    /// This process holds too many schemas already.
    #[error("more than {MAX_SCHEMAS} schemas")]
    TooMany,
}

/// Why a record that continues the chain cannot be applied: the reader keeps its last good state.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// It has no frozen header.
    #[error(transparent)]
    Frozen(#[from] FrozenError),
    /// The log has not carried the schema it is written in.
    #[error("written in schema {0}, which the log does not carry")]
    UnknownSchema(Fingerprint),
    /// Its body does not fit its schema.
    #[error("the body cannot be decoded: {0}")]
    Body(String),
    /// Its format must be understood and is not.
    #[error("format {0:#x} must be understood and this build does not: use a newer one")]
    Format(u32),
    /// It is larger than any commit may be.
    #[error("a record of {0} bytes; the most is {MAX_RECORD_BYTES}")]
    TooLarge(usize),
    /// Its body disagrees with its frozen header.
    #[error("the body disagrees with the frozen header")]
    Header,
}

/// A schema ready for use. Interned for the life of the process, because the codec borrows from it.
struct Interned {
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
    fingerprint: Fingerprint,
}

fn intern(json: &str) -> Result<&'static Interned, SchemaError> {
    static ALL: LazyLock<Mutex<HashMap<Fingerprint, &'static Interned>>> =
        LazyLock::new(Mutex::default);
    static LIMIT: Once = Once::new();
    LIMIT.call_once(|| {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION_BYTES);
    });
    if json.len() > MAX_SCHEMA_BYTES {
        return Err(SchemaError::Unusable(format!("{} bytes of JSON", json.len())));
    }
    let unusable = |error: apache_avro::Error| SchemaError::Unusable(error.to_string());
    let schema = Schema::parse_str(json).map_err(unusable)?;
    let fingerprint = schema.fingerprint::<Rabin>();
    let fingerprint = <[u8; 8]>::try_from(fingerprint.bytes.as_slice())
        .map_err(|_| SchemaError::Unusable("no 8-byte fingerprint".into()))?;
    let fingerprint = Fingerprint(fingerprint);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(&fingerprint) {
        return Ok(known);
    }
    if all.len() >= MAX_SCHEMAS {
        return Err(SchemaError::TooMany);
    }
    if !matches!(schema, Schema::Record(_)) {
        return Err(SchemaError::Unusable("not a record".into()));
    }
    if is_recursive(&schema, &mut Vec::new()) {
        return Err(SchemaError::Unusable("recursive".into()));
    }
    let schema: &'static Schema = Box::leak(Box::new(schema));
    let reader =
        GenericDatumReader::builder(schema).human_readable(false).build().map_err(unusable)?;
    let writer =
        GenericDatumWriter::builder(schema).human_readable(false).build().map_err(unusable)?;
    let interned: &'static Interned = Box::leak(Box::new(Interned { reader, writer, fingerprint }));
    all.insert(fingerprint, interned);
    Ok(interned)
}

/// Whether a type contains itself: data of such a type could nest without bound.
fn is_recursive(schema: &Schema, enclosing: &mut Vec<String>) -> bool {
    match schema {
        Schema::Ref { name } => enclosing.contains(&name.to_string()),
        Schema::Array(array) => is_recursive(&array.items, enclosing),
        Schema::Map(map) => is_recursive(&map.types, enclosing),
        Schema::Union(union) => {
            union.variants().iter().any(|variant| is_recursive(variant, enclosing))
        }
        Schema::Record(record) => {
            enclosing.push(record.name.to_string());
            let found = record.fields.iter().any(|field| is_recursive(&field.schema, enclosing));
            enclosing.pop();
            found
        }
        _ => false,
    }
}

#[expect(clippy::expect_used, reason = "the schemas on file are checked by every test")]
static COMMIT: LazyLock<&'static Interned> =
    LazyLock::new(|| intern(COMMIT_SCHEMA).expect("commit.avsc is a schema"));
#[expect(clippy::expect_used, reason = "the schemas on file are checked by every test")]
static GENESIS: LazyLock<&'static Interned> =
    LazyLock::new(|| intern(GENESIS_SCHEMA).expect("genesis.avsc is a schema"));

/// The schema (JSON text) this build writes commits in.
pub fn commit_schema() -> &'static str {
    COMMIT_SCHEMA
}

/// The fingerprint of [`commit_schema`].
pub fn commit_fingerprint() -> Fingerprint {
    COMMIT.fingerprint
}

fn encode<T: serde::Serialize>(schema: &Interned, value: &T) -> Bytes {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&[0xC3, 0x01]);
    out.extend_from_slice(&schema.fingerprint.0);
    #[expect(
        clippy::expect_used,
        reason = "our own types fit our own schemas, and a Vec takes every write"
    )]
    schema.writer.write_ser(&mut out, value).expect("a commit fits its schema");
    out.into()
}

/// Encodes a commit as the record the log stores.
pub fn encode_commit(commit: &Commit) -> Bytes {
    encode(*COMMIT, commit)
}

/// Encodes a genesis as the record the log stores.
pub fn encode_genesis(genesis: &Genesis) -> Bytes {
    encode(*GENESIS, &WireGenesis::from(genesis))
}

/// Encodes a marker: two magic bytes and a nonce.
pub fn encode_marker(nonce: u128) -> Bytes {
    Bytes::from([MARKER_MAGIC.as_slice(), &nonce.to_le_bytes()].concat())
}

/// The nonce of a marker record; none when the record is not a marker.
pub fn marker_nonce(record: &[u8]) -> Option<u128> {
    let nonce = record.strip_prefix(MARKER_MAGIC)?;
    Some(u128::from_le_bytes(nonce.try_into().ok()?))
}

/// Genesis as its schema has it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Genesis")]
struct WireGenesis {
    stream_id: crate::StreamId,
    format: i32,
    revision: i64,
    parent: Hash,
    created_at: i64,
    schema: String,
    #[serde(default)]
    cluster_id: Option<String>,
}

impl From<&Genesis> for WireGenesis {
    fn from(genesis: &Genesis) -> Self {
        Self {
            stream_id: genesis.stream_id,
            format: genesis.format.cast_signed(),
            revision: 0,
            parent: Hash::default(),
            created_at: genesis.created_at_ms,
            schema: genesis.schema.clone(),
            cluster_id: genesis.cluster_id.clone(),
        }
    }
}

impl Genesis {
    /// Decodes a genesis record.
    ///
    /// # Errors
    /// [`DecodeError`] when the record is not a genesis this build can read. As long as no genesis was
    /// found, such a record is ignored.
    pub fn decode(record: &[u8]) -> Result<Self, DecodeError> {
        let wire: WireGenesis = decode(*GENESIS, record)?;
        let format = wire.format.cast_unsigned();
        if wire.revision != 0 || wire.parent != Hash::default() {
            return Err(DecodeError::Header);
        }
        if !understood(format) {
            return Err(DecodeError::Format(format));
        }
        Ok(Self {
            stream_id: wire.stream_id,
            format,
            created_at_ms: wire.created_at,
            schema: wire.schema,
            cluster_id: wire.cluster_id,
        })
    }

    /// The genesis as the commit it stands for: revision 0, which puts the first schema into
    /// [`SCHEMAS_NAMESPACE`]. So everything that holds a state treats it like any other commit.
    ///
    /// # Errors
    /// [`SchemaError`] when the schema it carries cannot be used.
    pub fn commit(&self) -> Result<Commit, SchemaError> {
        let fingerprint = intern(&self.schema)?.fingerprint;
        #[expect(clippy::expect_used, reason = "a constant that every test parses")]
        let namespace = Namespace::parse(SCHEMAS_NAMESPACE).expect("a namespace");
        let mut commit = Commit {
            stream_id: self.stream_id,
            format: self.format,
            revision: 0,
            parent: Hash::default(),
            commit_id: uuid::Uuid::nil(),
            at_ms: self.created_at_ms,
            actor: "headwater".into(),
            reason: None,
            idempotency: None,
            expects: Vec::new(),
            changes: vec![Change::Put {
                namespace,
                key: fingerprint.key(),
                content_type: "application/json".into(),
                value: Bytes::from(self.schema.clone()),
                version: 1,
            }],
            digest: Digest::default(),
            attributes: std::collections::BTreeMap::new(),
        };
        commit.digest = fold(&commit, Hash::default(), &Totals::default(), |_, _| None::<Entry>)
            .totals
            .digest();
        Ok(commit)
    }
}

fn decode<T: serde::de::DeserializeOwned>(
    schema: &Interned,
    record: &[u8],
) -> Result<T, DecodeError> {
    if record.len() > MAX_RECORD_BYTES {
        return Err(DecodeError::TooLarge(record.len()));
    }
    let frozen = Frozen::read(record)?;
    if frozen.fingerprint != schema.fingerprint {
        return Err(DecodeError::UnknownSchema(frozen.fingerprint));
    }
    let mut body = record.get(10..).ok_or(DecodeError::Header)?;
    let value = schema
        .reader
        .read_deser(&mut body)
        .map_err(|error| DecodeError::Body(error.to_string()))?;
    if !body.is_empty() {
        return Err(DecodeError::Body(format!("{} bytes left over", body.len())));
    }
    Ok(value)
}

/// The writer's schemas one stream has carried so far. A reader starts with none, learns genesis' first and
/// then whatever is put under [`SCHEMAS_NAMESPACE`]; one that starts from an image learns those in it.
#[derive(Clone, Default)]
pub struct Codec {
    known: HashMap<Fingerprint, &'static Interned>,
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys().collect::<BTreeSet<_>>()).finish()
    }
}

impl Codec {
    /// Takes in a schema that stands in the log under `filed`.
    ///
    /// # Errors
    /// [`SchemaError`] when it is not a usable schema, or another than its fingerprint says.
    pub fn learn(&mut self, filed: &str, json: &[u8]) -> Result<(), SchemaError> {
        let text =
            std::str::from_utf8(json).map_err(|error| SchemaError::Unusable(error.to_string()))?;
        let filed = Fingerprint::from_hex(filed).ok_or_else(|| {
            SchemaError::Unusable(format!("filed under {filed:?}, not a fingerprint"))
        })?;
        let interned = intern(text)?;
        if interned.fingerprint != filed {
            return Err(SchemaError::Misfiled { filed, actual: interned.fingerprint });
        }
        self.known.insert(filed, interned);
        Ok(())
    }

    /// Learns every schema that a commit puts under [`SCHEMAS_NAMESPACE`].
    ///
    /// # Errors
    /// As [`Codec::learn`].
    pub fn learn_from(&mut self, commit: &Commit) -> Result<(), SchemaError> {
        for change in &commit.changes {
            if let Change::Put { namespace, key, value, .. } = change
                && namespace.as_str() == SCHEMAS_NAMESPACE
            {
                self.learn(key.as_str(), value)?;
            }
        }
        Ok(())
    }

    /// Whether the stream has carried this schema.
    pub fn knows(&self, fingerprint: Fingerprint) -> bool {
        self.known.contains_key(&fingerprint)
    }

    /// Decodes a commit by its writer's schema.
    ///
    /// # Errors
    /// [`DecodeError`]: the caller keeps its last good state, and alarms.
    pub fn decode(&self, record: &[u8]) -> Result<Commit, DecodeError> {
        let frozen = Frozen::read(record)?;
        if !understood(frozen.format) {
            return Err(DecodeError::Format(frozen.format));
        }
        let schema = self
            .known
            .get(&frozen.fingerprint)
            .ok_or(DecodeError::UnknownSchema(frozen.fingerprint))?;
        let commit: Commit = decode(schema, record)?;
        let same = commit.stream_id == frozen.stream_id
            && commit.format == frozen.format
            && commit.revision == frozen.revision
            && commit.parent == frozen.parent;
        if same { Ok(commit) } else { Err(DecodeError::Header) }
    }
}
