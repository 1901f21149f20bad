//! Bytes ↔ commits: Avro single-object encoding, decoded by the writer's schema.
//!
//! The `.avsc` files are the source. A stream carries its own schemas (genesis holds the first, later ones
//! are committed to `_schemas/<fingerprint>`), so an old reader reads a newer commit, and any reader an
//! old one.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::schema::{Interned, MAX_RECORD_BYTES, intern};
use crate::{
    Change, Commit, Digest, Entry, Fingerprint, Frozen, FrozenError, Genesis, Hash, Namespace,
    Point, SCHEMAS_NAMESPACE, SchemaError, Totals, Word, fold, understood,
};

const COMMIT_SCHEMA: &str = include_str!("../avro/commit.avsc");
const GENESIS_SCHEMA: &str = include_str!("../avro/genesis.avsc");
const SUCCESSOR_SCHEMA: &str = include_str!("../avro/genesis-2.avsc");

/// What a marker record begins with: no commit, never accepted, never counted.
pub const MARKER_MAGIC: &[u8; 2] = b"HM";

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

#[expect(clippy::expect_used, reason = "the schemas on file are checked by every test")]
static COMMIT: LazyLock<&'static Interned> =
    LazyLock::new(|| intern(COMMIT_SCHEMA, None).expect("commit.avsc is a schema"));
#[expect(clippy::expect_used, reason = "the schemas on file are checked by every test")]
static GENESIS: LazyLock<&'static Interned> =
    LazyLock::new(|| intern(GENESIS_SCHEMA, None).expect("genesis.avsc is a schema"));
/// Of a genesis that supersedes another stream; all others keep the bytes they always had.
#[expect(clippy::expect_used, reason = "the schemas on file are checked by every test")]
static SUCCESSOR: LazyLock<&'static Interned> =
    LazyLock::new(|| intern(SUCCESSOR_SCHEMA, None).expect("genesis-2.avsc is a schema"));

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
    let wire = WireGenesis::from(genesis);
    match WireSupersedes::of(genesis) {
        None => encode(*GENESIS, &wire),
        Some(supersedes) => encode(*SUCCESSOR, &WireSuccessor::of(wire, supersedes)),
    }
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

/// The same with what it supersedes.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Genesis")]
struct WireSuccessor {
    stream_id: crate::StreamId,
    format: i32,
    revision: i64,
    parent: Hash,
    created_at: i64,
    schema: String,
    cluster_id: Option<String>,
    supersedes: WireSupersedes,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename = "Supersedes")]
struct WireSupersedes {
    stream_id: crate::StreamId,
    revision: i64,
    hash: Hash,
    commits: i64,
}

impl WireSupersedes {
    fn of(genesis: &Genesis) -> Option<Self> {
        let (point, commits) = genesis.supersedes?;
        let Point { stream_id, revision, hash } = point;
        // No revision is beyond a long: whoever read one has checked that.
        let long = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Some(Self { stream_id, revision: long(revision), hash, commits: long(commits) })
    }

    fn read(&self) -> Result<(Point, u64), DecodeError> {
        let number = |long: i64| u64::try_from(long).map_err(|_| DecodeError::Header);
        let (stream_id, revision, hash) = (self.stream_id, number(self.revision)?, self.hash);
        Ok((Point { stream_id, revision, hash }, number(self.commits)?))
    }
}

impl WireSuccessor {
    fn of(genesis: WireGenesis, supersedes: WireSupersedes) -> Self {
        let WireGenesis { stream_id, format, revision, parent, created_at, schema, cluster_id } =
            genesis;
        Self { stream_id, format, revision, parent, created_at, schema, cluster_id, supersedes }
    }

    fn split(self) -> (WireGenesis, WireSupersedes) {
        let Self { stream_id, format, revision, parent, created_at, schema, cluster_id, .. } = self;
        let genesis =
            WireGenesis { stream_id, format, revision, parent, created_at, schema, cluster_id };
        (genesis, self.supersedes)
    }
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
        let written_in = Frozen::read(record)?.fingerprint;
        let (wire, supersedes): (WireGenesis, _) = if written_in == SUCCESSOR.fingerprint {
            let (wire, supersedes) = body::<WireSuccessor>(*SUCCESSOR, record)?.split();
            (wire, Some(supersedes.read()?))
        } else if written_in == GENESIS.fingerprint {
            (body(*GENESIS, record)?, None)
        } else {
            return Err(DecodeError::UnknownSchema(written_in));
        };
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
            supersedes,
        })
    }

    /// The genesis as the commit it stands for: revision 0, which puts the first schema into
    /// [`SCHEMAS_NAMESPACE`], and what it supersedes into [`crate::STREAM_NAMESPACE`]. So everything that holds a state treats it like any other commit.
    ///
    /// # Errors
    /// [`SchemaError`] when the schema it carries cannot be used.
    pub fn commit(&self) -> Result<Commit, SchemaError> {
        let fingerprint = intern(&self.schema, None)?.fingerprint;
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
        let word = self.supersedes.map(|(point, commits)| Word::Supersedes(point, commits));
        commit.changes.extend(word.map(|word| word.change(None)));
        commit.digest = fold(&commit, Hash::default(), &Totals::default(), |_, _| None::<Entry>)
            .totals
            .digest();
        Ok(commit)
    }
}

/// What a record that is written in `schema` says.
fn body<T: serde::de::DeserializeOwned>(
    schema: &Interned,
    record: &[u8],
) -> Result<T, DecodeError> {
    if record.len() > MAX_RECORD_BYTES {
        return Err(DecodeError::TooLarge(record.len()));
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
/// then whatever is put under [`SCHEMAS_NAMESPACE`]; one that starts from an image learns those in it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Codec {
    known: Arc<HashMap<Fingerprint, &'static Interned>>,
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
        let schema = intern(text, Some(filed))?;
        if !self.known.contains_key(&filed) {
            Arc::make_mut(&mut self.known).insert(filed, schema);
        }
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
        let commit: Commit = body(schema, record)?;
        let same = commit.stream_id == frozen.stream_id
            && commit.format == frozen.format
            && commit.revision == frozen.revision
            && commit.parent == frozen.parent;
        if same { Ok(commit) } else { Err(DecodeError::Header) }
    }
}
