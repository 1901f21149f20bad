//! Avro schemas: named by fingerprint, vetted before use, interned.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, Once, PoisonError};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{InnerDecimalSchema, UuidSchema};
use apache_avro::writer::datum::GenericDatumWriter;

use crate::Key;
use crate::head::hex_traits;

/// The largest record a reader decodes, in bytes: well above what any writer may append.
pub const MAX_RECORD_BYTES: usize = 2 * 1024 * 1024;
/// The largest schema a log may carry, in bytes of JSON: parsing takes some 80 times that in memory.
const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// The most schemas a process keeps: each stays for its life.
const MAX_SCHEMAS: usize = 256;
/// The most fields and types a schema may have with every reference followed.
const MAX_NODES: u64 = 4096;
/// How deep its types may nest with every reference followed: decoding recurses.
const MAX_DEPTH: u32 = 64;

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
    static LIMIT: Once = Once::new();
    // A string can be no longer than the record it stands in, and avro allocates before it reads.
    LIMIT.call_once(|| {
        apache_avro::util::max_allocation_bytes(MAX_RECORD_BYTES);
    });
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
    let reader =
        GenericDatumReader::builder(schema).human_readable(false).build().map_err(unusable)?;
    let writer =
        GenericDatumWriter::builder(schema).human_readable(false).build().map_err(unusable)?;
    let interned: &'static Interned = Box::leak(Box::new(Interned { reader, writer, fingerprint }));
    all.insert(fingerprint, interned);
    Ok(interned)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err wants")]
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
    if !matches!(schema, Schema::Record(_)) {
        return Err(SchemaError::Unusable("not a record".into()));
    }
    Shape::of(&schema, &mut HashMap::new())
        .map_err(|reason| SchemaError::Unusable(reason.into()))?;
    let fingerprint = schema.fingerprint::<Rabin>();
    let fingerprint = <[u8; 8]>::try_from(fingerprint.bytes.as_slice())
        .map_err(|_| SchemaError::Unusable("no 8-byte fingerprint".into()))?;
    Ok((schema, Fingerprint(fingerprint)))
}

/// What decoding a type can cost. A schema comes from a log, so it must not be able to make its reader
/// loop, nest or allocate beyond what the bytes of a record pay for.
#[derive(Clone, Copy)]
struct Shape {
    /// The fewest bytes a value takes.
    min_bytes: u64,
    /// Types and fields with every reference followed.
    nodes: u64,
    /// Nesting with every reference followed.
    depth: u32,
}

impl Shape {
    fn scalar(min_bytes: u64) -> Self {
        Self { min_bytes, nodes: 1, depth: 1 }
    }

    fn around(self, min_bytes: u64) -> Self {
        Self { min_bytes, nodes: self.nodes.saturating_add(1), depth: self.depth + 1 }
    }

    /// `named` holds the types that are complete: a reference to any other is to one that is still open,
    /// which would make the type contain itself.
    fn of(schema: &Schema, named: &mut HashMap<String, Self>) -> Result<Self, &'static str> {
        let shape = match schema {
            Schema::Null => Self::scalar(0),
            Schema::Float => Self::scalar(4),
            Schema::Double => Self::scalar(8),
            Schema::Ref { name } => *named.get(&name.to_string()).ok_or("recursive")?,
            Schema::Array(array) => match Self::of(&array.items, named)? {
                Self { min_bytes: 0, .. } => return Err("an array of items without bytes"),
                items => items.around(1),
            },
            Schema::Map(map) => Self::of(&map.types, named)?.around(1),
            Schema::Union(union) => {
                let mut sum = Self { min_bytes: u64::MAX, nodes: 1, depth: 1 };
                for variant in union.variants() {
                    let one = Self::of(variant, named)?;
                    sum.min_bytes = sum.min_bytes.min(one.min_bytes);
                    sum.nodes = sum.nodes.saturating_add(one.nodes);
                    sum.depth = sum.depth.max(one.depth + 1);
                }
                Self { min_bytes: sum.min_bytes.saturating_add(1), ..sum }
            }
            Schema::Record(record) => {
                let mut sum = Self { min_bytes: 0, nodes: 1, depth: 1 };
                for field in &record.fields {
                    let one = Self::of(&field.schema, named)?;
                    sum.min_bytes = sum.min_bytes.saturating_add(one.min_bytes);
                    sum.nodes = sum.nodes.saturating_add(one.nodes);
                    sum.depth = sum.depth.max(one.depth + 1);
                }
                named.insert(record.name.to_string(), sum);
                sum
            }
            Schema::Enum(one) => {
                named.insert(one.name.to_string(), Self::scalar(1));
                Self::scalar(1)
            }
            Schema::Fixed(fixed) | Schema::Duration(fixed) => {
                Self::fixed(&fixed.name.to_string(), fixed.size, named)
            }
            Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                Self::fixed(&fixed.name.to_string(), fixed.size, named)
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Fixed(fixed) => {
                    Self::fixed(&fixed.name.to_string(), fixed.size, named)
                }
                InnerDecimalSchema::Bytes => Self::scalar(1),
            },
            _ => Self::scalar(1),
        };
        match shape {
            Self { min_bytes, .. } if min_bytes > MAX_RECORD_BYTES as u64 => {
                Err("a type larger than any record")
            }
            Self { nodes, .. } if nodes > MAX_NODES => Err("too many fields"),
            Self { depth, .. } if depth > MAX_DEPTH => Err("nested too deep"),
            shape => Ok(shape),
        }
    }

    fn fixed(name: &str, size: usize, named: &mut HashMap<String, Self>) -> Self {
        let shape = Self::scalar(size as u64);
        named.insert(name.to_owned(), shape);
        shape
    }
}
