//! An older reader reads a newer commit, a newer reader an older one, and neither guesses.
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

mod support;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use headwater_schemas::{
    Change, Codec, Commit, DecodeError, Digest, Fingerprint, Hash, SchemaError, commit_schema,
    encode_commit,
};
use serde_json::{Value as Json, json};
use support::{codec, founded, full_commit, next, put};

/// The schema of this build, changed.
fn changed(change: impl FnOnce(&mut Vec<Json>)) -> String {
    let mut schema: Json = serde_json::from_str(commit_schema()).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    schema.to_string()
}

fn fingerprint(schema: &str) -> Fingerprint {
    let schema = Schema::parse_str(schema).unwrap();
    Fingerprint(schema.fingerprint::<Rabin>().bytes.try_into().unwrap())
}

fn learn(schema: &str) -> Result<Codec, SchemaError> {
    let mut codec = codec();
    codec.learn(&fingerprint(schema).to_string(), schema.as_bytes())?;
    Ok(codec)
}

/// Where a record's fields go on after the frozen four.
fn behind_the_frozen_four(record: &[u8]) -> usize {
    let varint = |at: usize| record[at..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let format = 2 + 8 + 16;
    let revision = format + varint(format);
    revision + varint(revision) + 32
}

/// `record` as a writer with `schema` wrote it, whose new fields have these bytes behind the frozen four
/// and at the end.
fn newer(record: &[u8], schema: &str, behind_the_four: &[u8], at_the_end: &[u8]) -> Vec<u8> {
    let at = behind_the_frozen_four(record);
    let head = [&record[..2], &fingerprint(schema).0, &record[10..at]].concat();
    [&head, behind_the_four, &record[at..], at_the_end].concat()
}

fn with_new_fields() -> String {
    changed(|fields| {
        fields.insert(4, json!({"name": "region", "type": "string", "default": "eu"}));
        fields.insert(
            5,
            json!({"name": "weights", "type": {"type": "array", "items": "double"}, "default": []}),
        );
        fields.push(json!({"name": "approval", "default": null, "type": ["null", {
        "type": "record", "name": "Approval", "fields": [
            {"name": "by", "type": "string"},
            {"name": "of", "type": "Hash"},
            {"name": "votes", "type": {"type": "map", "values": "boolean"}},
        ]}]}));
    })
}

#[test]
fn an_older_reader_reads_a_newer_commit_and_skips_what_it_does_not_know() {
    let commit = full_commit();
    let schema = with_new_fields();
    let region_and_weights = [b"\x04us\x02".as_slice(), &1.5f64.to_le_bytes(), b"\0"].concat();
    let approval = [b"\x02\x06bob".as_slice(), &[9; 32], b"\x02\x02x\x01\0"].concat();
    for (behind, end) in [(&region_and_weights[..], &approval[..]), (b"\0\0", b"\0")] {
        let record = newer(&encode_commit(&commit), &schema, behind, end);
        assert_eq!(learn(&schema).unwrap().decode(&record).unwrap(), commit);
    }
}

#[test]
fn the_log_carries_the_newer_schema_before_its_first_commit() {
    let schema = with_new_fields();
    let mut state = founded();
    let mut reader = codec();
    let name = fingerprint(&schema);
    let carrier = next(&state, 0, vec![put("_schemas", &name.to_string(), schema.as_bytes())]);
    let carried = encode_commit(&carrier);
    state.apply(&carrier, Hash::of(&carried));

    let commit = next(&state, 1, vec![put("a", "k", b"1")]);
    let record = newer(&encode_commit(&commit), &schema, b"\0\0", b"\0");
    assert!(matches!(reader.decode(&record), Err(DecodeError::UnknownSchema(it)) if it == name));
    reader.learn_from(&reader.clone().decode(&carried).unwrap()).unwrap();
    assert!(reader.knows(name));
    assert_eq!(reader.decode(&record).unwrap(), commit);
    // And the older commits stay readable.
    assert_eq!(reader.decode(&carried).unwrap(), carrier);
}

fn write(schema: &str, value: Value) -> Vec<u8> {
    let parsed = Schema::parse_str(schema).unwrap();
    let mut record = [&[0xC3, 0x01], fingerprint(schema).0.as_slice()].concat();
    let writer = GenericDatumWriter::builder(&parsed).build().unwrap();
    writer.write_value(&mut record, value).unwrap();
    record
}

fn the_least(changes: Vec<Value>) -> Vec<(String, Value)> {
    let fixed = |byte: u8, size: usize| Value::Fixed(size, vec![byte; size]);
    vec![
        ("stream_id".into(), fixed(7, 16)),
        ("format".into(), Value::Int(1)),
        ("revision".into(), Value::Long(3)),
        ("parent".into(), fixed(1, 32)),
        ("commit_id".into(), fixed(2, 16)),
        ("at".into(), Value::Long(44)),
        ("actor".into(), Value::String("alice".into())),
        ("changes".into(), Value::Array(changes)),
        ("digest".into(), fixed(3, 32)),
    ]
}

fn put_value(more: Vec<(String, Value)>) -> Value {
    let text = |text: &str| Value::String(text.into());
    let mut fields = vec![
        ("namespace".into(), text("a")),
        ("key".into(), text("k")),
        ("content_type".into(), text("text/plain")),
        ("value".into(), Value::Bytes(b"v".into())),
        ("version".into(), Value::Long(1)),
    ];
    fields.extend(more);
    Value::Union(0, Box::new(Value::Record(fields)))
}

#[test]
fn a_newer_reader_reads_an_older_commit_and_fills_in_the_defaults() {
    let optional = ["reason", "idempotency", "expects", "attributes"];
    let schema = changed(|fields| {
        fields.retain(|field| !optional.contains(&field["name"].as_str().unwrap()));
    });
    let record = write(&schema, Value::Record(the_least(vec![put_value(vec![])])));
    let commit = learn(&schema).unwrap().decode(&record).unwrap();
    let expected = Commit {
        stream_id: headwater_schemas::StreamId([7; 16]),
        format: 1,
        revision: 3,
        parent: Hash([1; 32]),
        commit_id: uuid::Uuid::from_bytes([2; 16]),
        at_ms: 44,
        actor: "alice".into(),
        reason: None,
        idempotency: None,
        expects: vec![],
        changes: vec![Change::Put {
            namespace: "a".parse().unwrap(),
            key: "k".parse().unwrap(),
            content_type: "text/plain".into(),
            value: "v".into(),
            version: 1,
        }],
        digest: Digest([3; 32]),
        attributes: [].into(),
    };
    assert_eq!(commit, expected);
}

/// The schema with more in its `changes`, and without what is optional.
fn with_change(change: impl FnOnce(&mut Vec<Json>)) -> String {
    changed(|fields| {
        fields.retain(|field| field.get("default").is_none() || field["name"] == "changes");
        let changes = fields.iter_mut().find(|field| field["name"] == "changes").unwrap();
        change(changes["type"]["items"].as_array_mut().unwrap());
    })
}

#[test]
fn a_new_field_of_a_change_is_skipped() {
    let schema = with_change(|kinds| {
        let field = json!({"name": "expires_at", "type": ["null", "long"], "default": null});
        kinds[0]["fields"].as_array_mut().unwrap().push(field);
    });
    let expires = Value::Union(1, Box::new(Value::Long(99)));
    let change = put_value(vec![("expires_at".into(), expires)]);
    let record = write(&schema, Value::Record(the_least(vec![change])));
    assert_eq!(learn(&schema).unwrap().decode(&record).unwrap().changes.len(), 1);
}

#[test]
fn a_kind_of_change_that_a_reader_does_not_know_stops_it() {
    let schema = with_change(|kinds| {
        kinds.push(json!({"type": "record", "name": "Touch", "fields": [
            {"name": "namespace", "type": "string"}, {"name": "key", "type": "string"}]}));
    });
    let text = |text: &str| Value::String(text.into());
    let touch = Value::Record(vec![("namespace".into(), text("a")), ("key".into(), text("k"))]);
    let touch = Value::Union(2, Box::new(touch));
    let record = write(&schema, Value::Record(the_least(vec![touch])));
    let stopped = learn(&schema).unwrap().decode(&record);
    assert!(matches!(stopped, Err(DecodeError::Body(_))), "{stopped:?}");
}

#[test]
fn a_schema_that_moves_the_frozen_four_is_refused() {
    for (one, other) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        let schema = changed(|fields| fields.swap(one, other));
        assert!(learn(&schema).unwrap_err().to_string().contains("first four"), "{one}");
    }
    let wide = changed(|fields| fields[1]["type"] = json!("long"));
    assert!(learn(&wide).unwrap_err().to_string().contains("first four"));
}

#[test]
fn a_schema_in_which_a_put_would_read_as_a_delete_is_refused() {
    let swapped = with_change(|kinds| kinds.swap(0, 1));
    assert!(learn(&swapped).unwrap_err().to_string().contains("Put and Delete"));
    let renamed = with_change(|kinds| kinds[0]["name"] = json!("Set"));
    assert!(learn(&renamed).unwrap_err().to_string().contains("Put and Delete"));
}

/// Every way in which an unknown field may be built: each must be skipped to the byte.
#[test]
fn unknown_fields_of_every_type_are_skipped() {
    let text = |text: &str| Value::String(text.into());
    let pair = json!({"type": "record", "name": "Pair", "fields": [
        {"name": "x", "type": "int"}, {"name": "y", "type": "string"}]});
    let one = json!({"type": "record", "name": "One", "org.apache.avro.rust.tuple": true,
        "fields": [{"name": "x", "type": "int"}]});
    let wrapped = json!({"type": "record", "name": "One", "org.apache.avro.rust.union_of_records": true,
        "fields": [{"name": "x", "type": "int"}]});
    let none = json!({"type": "record", "name": "None", "fields": []});
    let color = json!({"type": "enum", "name": "Color", "symbols": ["RED", "GREEN"]});
    let record = |fields: &[(&str, Value)]| {
        Value::Record(fields.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect())
    };
    let two = record(&[("x", Value::Int(1)), ("y", text("two"))]);
    let single = record(&[("x", Value::Int(-5))]);
    let union = |at, value| Value::Union(at, Box::new(value));
    for (schema, value) in [
        (json!("boolean"), Value::Boolean(true)),
        (json!("float"), Value::Float(1.5)),
        (json!("bytes"), Value::Bytes(b"\0\xff".into())),
        (json!({"type": "int", "logicalType": "date"}), Value::Date(9)),
        (json!({"type": "fixed", "name": "F", "size": 3}), Value::Fixed(3, vec![1; 3])),
        (pair.clone(), two.clone()),
        (one, single.clone()),
        (wrapped, single),
        (none, record(&[])),
        (color.clone(), Value::Enum(1, "GREEN".into())),
        (json!(["null", color]), union(1, Value::Enum(0, "RED".into()))),
        (json!(["null", pair]), union(1, two.clone())),
        (json!(["int", pair, "string"]), union(2, text("s"))),
        (json!({"type": "array", "items": pair}), Value::Array(vec![two.clone(), two.clone()])),
        (json!({"type": "map", "values": pair}), Value::Map([("k".to_owned(), two)].into())),
        (json!("Put"), put_value(vec![]).unwrapped()),
    ] {
        let schema = changed(|fields| {
            fields.retain(|it| it.get("default").is_none() || it["name"] == "changes");
            fields.push(json!({"name": "extra", "type": schema}));
            fields.push(json!({"name": "last", "type": "string"}));
        });
        let mut fields = the_least(vec![put_value(vec![])]);
        fields.extend([("extra".to_owned(), value.clone()), ("last".to_owned(), text("end"))]);
        let record = write(&schema, Value::Record(fields));
        let commit = learn(&schema).unwrap().decode(&record);
        assert_eq!(commit.unwrap().digest, Digest([3; 32]), "{value:?}");
    }
}

trait Unwrapped {
    fn unwrapped(self) -> Value;
}

impl Unwrapped for Value {
    fn unwrapped(self) -> Value {
        if let Value::Union(_, value) = self { *value } else { self }
    }
}

#[test]
fn a_misfiled_schema_is_refused() {
    let mut codec = Codec::default();
    let schema = with_new_fields();
    let filed = fingerprint(commit_schema());
    let refused = codec.learn(&filed.to_string(), schema.as_bytes()).unwrap_err();
    let SchemaError::Misfiled { filed: said, actual } = refused else { panic!("{refused:?}") };
    assert_eq!((said, actual), (filed, fingerprint(&schema)));
    assert!(!codec.knows(filed) && !codec.knows(actual));
    for filed in ["", "zz", "0123456789abcdeg", "0123456789abcdef00"] {
        let refused = codec.learn(filed, schema.as_bytes());
        assert!(matches!(refused, Err(SchemaError::Unusable(_))), "{filed:?}");
    }
}

/// What a schema with one more field is refused for.
fn refusal(field: &Json) -> String {
    let schema = changed(|fields| fields.push(json!({"name": "extra", "type": field.clone()})));
    learn(&schema).unwrap_err().to_string()
}

#[test]
fn a_schema_that_could_loop_nest_or_allocate_without_end_is_refused() {
    let recursive = json!({"type": "record", "name": "Node", "fields": [
        {"name": "next", "type": ["null", "Node"]}]});
    assert!(refusal(&recursive).contains("recursive"));
    let through_others = json!({"type": "record", "name": "A", "fields": [
        {"name": "b", "type": {"type": "record", "name": "B", "fields": [
            {"name": "a", "type": {"type": "array", "items": "A"}}]}}]});
    assert!(refusal(&through_others).contains("recursive"));
    let weightless = json!({"type": "array", "items": "null"});
    assert!(refusal(&weightless).contains("without bytes"));
    let weightless = json!({"type": "array", "items": {"type": "record", "name": "Empty", "fields": [
        {"name": "none", "type": "null"}]}});
    assert!(refusal(&weightless).contains("without bytes"));
    let huge = json!({"type": "fixed", "name": "Huge", "size": 1u64 << 40});
    assert!(refusal(&huge).contains("larger than any record"));
}

#[test]
fn a_schema_that_multiplies_by_reference_is_refused() {
    let level = |at: u32, of: &Json| {
        json!({"type": "record", "name": format!("L{at}"), "fields": [
            {"name": "x", "type": of}, {"name": "y", "type": format!("L{}", at - 1)}]})
    };
    let mut nested =
        json!({"type": "record", "name": "L0", "fields": [{"name": "n", "type": "null"}]});
    for at in 1..30 {
        nested = level(at, &nested);
    }
    assert!(refusal(&nested).contains("too many fields"));
}

#[test]
fn a_schema_that_nests_deeper_than_its_text_is_refused() {
    let mut schema: Json = serde_json::from_str(commit_schema()).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    let mut of = json!("int");
    for at in 0..100 {
        let name = format!("D{at}");
        fields.push(json!({"name": format!("f{at}"), "type": {"type": "record", "name": name,
            "fields": [{"name": "x", "type": of}]}}));
        of = json!(name);
    }
    let refused = learn(&schema.to_string()).unwrap_err().to_string();
    assert!(refused.contains("nested too deep"), "{refused}");
}

#[test]
fn what_is_no_schema_of_a_record_is_refused() {
    let mut codec = Codec::default();
    let filed = fingerprint(commit_schema()).to_string();
    let long = format!("{}{}", " ".repeat(70_000), commit_schema());
    for text in ["", "{", "null", "\"string\"", r#"{"type":"record"}"#, &long] {
        let refused = codec.learn(&filed, text.as_bytes());
        assert!(refused.is_err(), "{text:.20}");
    }
    assert!(matches!(codec.learn(&filed, b"\xff"), Err(SchemaError::Unusable(_))));
}
