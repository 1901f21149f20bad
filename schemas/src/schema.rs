//! Avro schemas: named by fingerprint, vetted before use, interned.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, Once, PoisonError};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::Key;
use crate::head::hex_traits;
use crate::vet::{skippable, vet};

/// The largest record a reader decodes, in bytes: well above what any writer may append.
pub const MAX_RECORD_BYTES: usize = 2 * 1024 * 1024;
/// The largest schema a log may carry, in bytes of JSON: parsing takes some 80 times that in memory.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// The most schemas a process keeps: each stays for its life.
const MAX_SCHEMAS: usize = 256;
/// The CRC-64-AVRO fingerprint of a schema's canonical form, little-endian, as single-object encoding has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fingerprint(pub [u8; 8]);
hex_traits!(Fingerprint, 8);

impl Fingerprint {
    /// Where the log carries the schema of this fingerprint, in [`crate::SCHEMAS_NAMESPACE`].
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

/// A schema ready for use. Interned for the life of the process, because the codec borrows from it.
pub(crate) struct Interned {
    pub(crate) reader: GenericDatumReader<'static>,
    pub(crate) writer: GenericDatumWriter<'static>,
    pub(crate) fingerprint: Fingerprint,
}

/// Makes a schema usable: parsed, vetted, and kept. One that is not what `filed` says is not kept.
pub(crate) fn intern(
    json: &str,
    filed: Option<Fingerprint>,
) -> Result<&'static Interned, SchemaError> {
    static ALL: LazyLock<Mutex<HashMap<Fingerprint, &'static Interned>>> =
        LazyLock::new(Mutex::default);
    limit_allocations();
    let (schema, fingerprint) = parse(json)?;
    if let Some(filed) = filed
        && filed != fingerprint
    {
        return Err(SchemaError::Misfiled { filed, actual: fingerprint });
    }
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(&fingerprint) {
        return Ok(known);
    }
    if all.len() >= MAX_SCHEMAS {
        return Err(SchemaError::TooMany);
    }
    let schema: &'static Schema = Box::leak(Box::new(schema));
    let read: &'static Schema = Box::leak(Box::new(skippable(schema).map_err(unusable)?));
    let reader =
        GenericDatumReader::builder(read).human_readable(false).build().map_err(unusable)?;
    let writer =
        GenericDatumWriter::builder(schema).human_readable(false).build().map_err(unusable)?;
    let interned: &'static Interned = Box::leak(Box::new(Interned { reader, writer, fingerprint }));
    all.insert(fingerprint, interned);
    Ok(interned)
}

/// A string can be no longer than the record it stands in, and avro allocates before it reads.
pub(crate) fn limit_allocations() {
    static LIMIT: Once = Once::new();
    LIMIT.call_once(|| {
        apache_avro::util::max_allocation_bytes(MAX_RECORD_BYTES);
    });
}

fn unusable(error: apache_avro::Error) -> SchemaError {
    SchemaError::Unusable(error.to_string())
}

fn parse(json: &str) -> Result<(Schema, Fingerprint), SchemaError> {
    if json.len() > MAX_SCHEMA_BYTES {
        let length = json.len();
        return Err(SchemaError::Unusable(format!(
            "{length} bytes of JSON; the most is {MAX_SCHEMA_BYTES}"
        )));
    }
    let schema = Schema::parse_str(json).map_err(unusable)?;
    vet(&schema).map_err(|reason| SchemaError::Unusable(reason.into()))?;
    let fingerprint = schema.fingerprint::<Rabin>();
    let fingerprint = <[u8; 8]>::try_from(fingerprint.bytes.as_slice())
        .map_err(|_| SchemaError::Unusable("no 8-byte fingerprint".into()))?;
    Ok((schema, Fingerprint(fingerprint)))
}
