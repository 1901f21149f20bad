//! Bytes ↔ commits.
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

mod support;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use headwater_schemas::{
    Change, Codec, DecodeError, FORMAT, Frozen, Genesis, Hash, MAX_ITEMS, MAX_RECORD_BYTES,
    MUST_UNDERSTAND, Point, commit_fingerprint, commit_schema, encode_commit, encode_genesis,
    encode_marker, marker_nonce, understood,
};
use proptest::prelude::*;
use support::{any_commit, codec, delete, full_commit, full_record, genesis};

proptest! {
    #[test]
    fn every_commit_round_trips(commit in any_commit()) {
        let record = encode_commit(&commit);
        let frozen = Frozen::read(&record).unwrap();
        prop_assert_eq!(frozen.fingerprint, commit_fingerprint());
        prop_assert_eq!(frozen.stream_id, commit.stream_id);
        prop_assert_eq!(frozen.format, commit.format);
        prop_assert_eq!(frozen.revision, commit.revision);
        prop_assert_eq!(frozen.parent, commit.parent);
        prop_assert_eq!(codec().decode(&record).unwrap(), commit);
    }

    #[test]
    fn the_same_commit_has_the_same_bytes(commit in any_commit()) {
        prop_assert_eq!(encode_commit(&commit), encode_commit(&commit.clone()));
    }

    #[test]
    fn every_genesis_round_trips(
        stream_id: [u8; 16], created_at_ms: i64, schema: String, cluster_id: Option<String>,
        supersedes: Option<([u8; 16], u32, [u8; 32], u32)>,
    ) {
        let supersedes = supersedes.map(|(stream_id, revision, hash, commits)| {
            let stream_id = headwater_schemas::StreamId(stream_id);
            (Point { stream_id, revision: revision.into(), hash: Hash(hash) }, commits.into())
        });
        let genesis = Genesis {
            stream_id: headwater_schemas::StreamId(stream_id),
            format: FORMAT,
            created_at_ms,
            schema,
            cluster_id,
            supersedes,
        };
        prop_assert_eq!(Genesis::decode(&encode_genesis(&genesis)).unwrap(), genesis);
    }

    #[test]
    fn a_marker_carries_its_nonce_and_is_no_commit(nonce: u128) {
        let record = encode_marker(nonce);
        prop_assert_eq!(marker_nonce(&record), Some(nonce));
        prop_assert!(Frozen::read(&record).is_err());
    }
}

#[test]
fn a_commit_is_no_marker_and_no_genesis() {
    assert_eq!(marker_nonce(&full_record()), None);
    assert!(matches!(Genesis::decode(&full_record()), Err(DecodeError::UnknownSchema(_))));
    assert!(matches!(
        codec().decode(&encode_genesis(&genesis())),
        Err(DecodeError::UnknownSchema(_))
    ));
}

#[test]
fn bytes_left_over_are_refused() {
    let record = [&full_record()[..], b"\0"].concat();
    assert!(matches!(codec().decode(&record), Err(DecodeError::Body(_))));
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let record = full_record();
    for length in 0..record.len() {
        assert!(codec().decode(&record[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_schema_the_log_did_not_carry_is_named() {
    let error = Codec::default().decode(&full_record()).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownSchema(it) if it == commit_fingerprint()));
}

#[test]
fn a_format_that_must_be_understood_stops_before_the_body() {
    assert!(understood(FORMAT) && understood(FORMAT + 1));
    let mut commit = full_commit();
    commit.format = MUST_UNDERSTAND | 2;
    let record = encode_commit(&commit);
    let stopped = Codec::default().decode(&record).unwrap_err();
    assert!(matches!(stopped, DecodeError::Format(format) if format == MUST_UNDERSTAND | 2));
    let genesis = Genesis { format: MUST_UNDERSTAND | 2, ..genesis() };
    let stopped = Genesis::decode(&encode_genesis(&genesis)).unwrap_err();
    assert!(matches!(stopped, DecodeError::Format(_)));
}

/// A record in this build's schema of `value`, which no correct writer would write.
fn record_of(value: Value) -> Vec<u8> {
    let schema = Schema::parse_str(commit_schema()).unwrap();
    let mut record = [&[0xC3, 0x01], commit_fingerprint().0.as_slice()].concat();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value(&mut record, value).unwrap();
    record
}

fn commit_value(format: i32, revision: i64, mod_revision: i64) -> Value {
    let fixed = |bytes: Vec<u8>| Value::Fixed(bytes.len(), bytes);
    let text = |text: &str| Value::String(text.into());
    let null = || Value::Union(0, Box::new(Value::Null));
    let expect = Value::Record(vec![
        ("namespace".into(), text("a")),
        ("key".into(), text("k")),
        ("mod_revision".into(), Value::Long(mod_revision)),
    ]);
    Value::Record(vec![
        ("stream_id".into(), fixed(vec![7; 16])),
        ("format".into(), Value::Int(format)),
        ("revision".into(), Value::Long(revision)),
        ("parent".into(), fixed(vec![0; 32])),
        ("commit_id".into(), fixed(vec![0; 16])),
        ("at".into(), Value::Long(0)),
        ("actor".into(), text("a")),
        ("reason".into(), null()),
        ("idempotency".into(), null()),
        ("expects".into(), Value::Array(vec![expect])),
        ("changes".into(), Value::Array(vec![])),
        ("digest".into(), fixed(vec![0; 32])),
        ("attributes".into(), Value::Map([].into())),
    ])
}

#[test]
fn numbers_out_of_range_are_refused_never_wrapped() {
    assert!(codec().decode(&record_of(commit_value(1, 5, 3))).is_ok());
    let refused = codec().decode(&record_of(commit_value(1, 5, -1)));
    assert!(matches!(refused, Err(DecodeError::Body(_))), "{refused:?}");
    for (format, revision) in [(-1, 5), (1, -5), (1, i64::MIN)] {
        let refused = codec().decode(&record_of(commit_value(format, revision, 3)));
        assert!(matches!(refused, Err(DecodeError::Frozen(_))), "{refused:?}");
    }
}

#[test]
fn a_long_where_an_int_stands_is_refused_never_narrowed() {
    let record = record_of(commit_value(1, 5, 3));
    let at = 2 + 8 + 16;
    assert_eq!(record[at], 2, "the format as a varint");
    // 2^32 + 1: narrowed to 32 bits it would be 1 again.
    let wide = [&record[..at], &[0x82, 0x80, 0x80, 0x80, 0x20], &record[at + 1..]].concat();
    assert!(codec().decode(&wide).is_err());
    // 2^31 + 1 fits an unsigned int and no Avro int.
    let wide = [&record[..at], &[0x82, 0x80, 0x80, 0x80, 0x10], &record[at + 1..]].concat();
    assert!(codec().decode(&wide).is_err());
}

#[test]
fn names_in_a_record_are_parsed_like_all_others() {
    let mut commit = full_commit();
    commit.actor = "X".into();
    let record = encode_commit(&commit).to_vec();
    let at = record.windows(13).position(|bytes| bytes == b"payments.prod").unwrap();
    let mut bad = record.clone();
    bad[at] = b'P';
    assert!(matches!(codec().decode(&bad), Err(DecodeError::Body(_))));
}

#[test]
fn the_most_items_are_read_and_one_more_is_refused() {
    let mut commit = full_commit();
    commit.changes = (0..MAX_ITEMS).map(|at| delete("a", &at.to_string())).collect();
    assert_eq!(codec().decode(&encode_commit(&commit)).unwrap().changes.len(), MAX_ITEMS);
    commit.changes.push(delete("a", "more"));
    assert!(matches!(codec().decode(&encode_commit(&commit)), Err(DecodeError::Body(_))));
}

#[test]
fn a_record_beyond_the_limit_is_refused_unread() {
    let mut commit = full_commit();
    if let Change::Put { value, .. } = &mut commit.changes[0] {
        *value = vec![0; MAX_RECORD_BYTES].into();
    }
    let refused = codec().decode(&encode_commit(&commit));
    assert!(matches!(refused, Err(DecodeError::TooLarge(length)) if length > MAX_RECORD_BYTES));
}

#[test]
fn hashes_are_blake3_of_the_bytes_as_stored() {
    let record = full_record();
    assert_eq!(Hash::of(&record).0, *blake3::hash(&record).as_bytes());
    assert_eq!(Hash::from_hex(&Hash::of(&record).to_string()), Some(Hash::of(&record)));
    assert_eq!(Hash::from_hex("00"), None);
    assert_eq!(Hash::from_hex(&"g".repeat(64)), None);
    assert_eq!(Hash::from_hex(&"é".repeat(32)), None);
}
