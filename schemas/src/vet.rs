//! What a schema may look like, before anything is decoded by it: it comes from a log.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{
    InnerDecimalSchema, Name, RecordField, RecordSchema, UnionSchema, UuidSchema,
};

use crate::MAX_RECORD_BYTES;

/// The most fields and types a schema may have with every reference followed.
const MAX_NODES: u64 = 4096;
/// How deep its types may nest with every reference followed: decoding recurses.
const MAX_DEPTH: u32 = 64;

/// Says why a schema must not be used, if so.
pub(crate) fn vet(schema: &Schema) -> Result<(), &'static str> {
    let Schema::Record(record) = schema else { return Err("not a record") };
    if !begins_with_the_frozen_four(record) {
        return Err("its first four fields are not stream_id, format, revision and parent");
    }
    if !knows_changes_by_place(record) {
        return Err("the first kinds of change are not Put and Delete");
    }
    Shape::of(schema, &mut HashMap::new()).map(|_| ())
}

fn begins_with_the_frozen_four(record: &RecordSchema) -> bool {
    let fixed = |schema: &Schema, size| matches!(schema, Schema::Fixed(it) if it.size == size);
    let [stream_id, format, revision, parent, ..] = record.fields.as_slice() else { return false };
    stream_id.name == "stream_id"
        && fixed(&stream_id.schema, 16)
        && format.name == "format"
        && format.schema == Schema::Int
        && revision.name == "revision"
        && revision.schema == Schema::Long
        && parent.name == "parent"
        && fixed(&parent.schema, 32)
}

/// The decoder takes a kind of change by its place in the union, not by its name: in another order a put
/// would read as a delete.
fn knows_changes_by_place(record: &RecordSchema) -> bool {
    let Some(changes) = record.fields.iter().find(|field| field.name == "changes") else {
        return true;
    };
    let Schema::Array(array) = &changes.schema else { return false };
    let Schema::Union(union) = array.items.as_ref() else { return false };
    ["Put", "Delete"].iter().zip(union.variants()).all(|(wanted, variant)| match variant {
        Schema::Record(record) => record.name.name() == *wanted,
        _ => false,
    })
}

/// The same encoding, in a form whose unknown fields can be skipped. The decoder skips a record only as a
/// tuple of at least two, and an enum not at all; and it obeys attributes that a schema from a log must not
/// bring (`org.apache.avro.rust.tuple` on a record of one field makes it recurse for ever).
pub(crate) fn skippable(schema: &Schema) -> Result<Schema, apache_avro::Error> {
    Ok(match schema {
        Schema::Array(array) => {
            let mut array = array.clone();
            array.items = Box::new(skippable(&array.items)?);
            Schema::Array(array)
        }
        Schema::Map(map) => {
            let mut map = map.clone();
            map.types = Box::new(skippable(&map.types)?);
            Schema::Map(map)
        }
        Schema::Union(union) => {
            let variants = union.variants().iter().map(skippable).collect::<Result<_, _>>()?;
            Schema::Union(UnionSchema::new(variants)?)
        }
        Schema::Record(record) => {
            let fields = record.fields.iter().map(|field| {
                let mut field = field.clone();
                field.schema = skippable(&field.schema)?;
                Ok(field)
            });
            tuple(record.name.clone(), fields.collect::<Result<_, apache_avro::Error>>()?)
        }
        Schema::Enum(one) => tuple(one.name.clone(), vec![field("ordinal", Schema::Int)]),
        other => other.clone(),
    })
}

fn tuple(name: Name, mut fields: Vec<RecordField>) -> Schema {
    // Nulls have no bytes, and no field of a schema is called like this.
    while fields.len() < 2 {
        fields.push(field(&" ".repeat(fields.len()), Schema::Null));
    }
    let attribute = ("org.apache.avro.rust.tuple".to_owned(), true.into());
    let record = RecordSchema::builder().name(name).fields(fields);
    Schema::Record(record.attributes([attribute].into()).build())
}

fn field(name: &str, schema: Schema) -> RecordField {
    RecordField::builder().name(name).schema(schema).build()
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
                Self::fixed(&fixed.name, fixed.size, named)
            }
            Schema::Uuid(UuidSchema::Fixed(fixed)) => Self::fixed(&fixed.name, fixed.size, named),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Fixed(fixed) => Self::fixed(&fixed.name, fixed.size, named),
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

    fn fixed(name: &Name, size: usize, named: &mut HashMap<String, Self>) -> Self {
        let shape = Self::scalar(size as u64);
        named.insert(name.to_string(), shape);
        shape
    }
}
