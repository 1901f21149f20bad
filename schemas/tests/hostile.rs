//! No record makes a reader panic, or allocate more than 8 MiB.
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use headwater_schemas::{
    Change, Codec, Frozen, Genesis, MAX_ITEMS, MAX_RECORD_BYTES, commit_fingerprint, commit_schema,
    encode_commit, encode_genesis, encode_marker, marker_nonce,
};
use peak_alloc::PeakAlloc;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use support::{any_commit, codec, delete, full_commit, full_record, genesis};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// Memory is counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` and says how much more memory than before was in use at its peak.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let done = work();
    (done, MEMORY.peak_usage().saturating_sub(before))
}

/// Gives `bytes` to everything that reads a record.
fn feed(codec: &Codec, bytes: &[u8]) -> usize {
    let filed = commit_fingerprint().to_string();
    let text = String::from_utf8_lossy(bytes).into_owned();
    let ((), peak) = peak_of(|| {
        let _ = Frozen::read(bytes);
        let _ = marker_nonce(bytes);
        drop(codec.decode(bytes));
        drop(Genesis::decode(bytes));
        drop(Codec::default().learn(&filed, bytes));
        drop(Codec::default().learn(&text, bytes));
    });
    peak
}

/// One damage to a record.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Remove(Index),
    /// Overwrites what may be a length with a varint of this value.
    Length(Index, i64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let length = prop_oneof![
        any::<i64>(),
        Just(i64::MAX),
        Just(i64::MIN),
        (0..4_000_000i64).prop_map(|n| n),
        Just(8 * 1024 * 1024),
    ];
    prop_oneof![
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), vec(any::<u8>(), 1..12)).prop_map(|(at, it)| Damage::Insert(at, it)),
        any::<Index>().prop_map(Damage::Remove),
        (any::<Index>(), length).prop_map(|(at, length)| Damage::Length(at, length)),
    ]
}

fn varint(value: i64) -> Vec<u8> {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut out = Vec::new();
    while raw > 0x7F {
        out.push((raw & 0x7F) as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
    out
}

fn damaged(record: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut out = record.to_vec();
    for damage in damages {
        if out.is_empty() {
            break;
        }
        match damage {
            Damage::Flip(at, bit) => {
                let at = at.index(out.len());
                out[at] ^= 1 << bit;
            }
            Damage::Cut(at) => out.truncate(at.index(out.len())),
            Damage::Insert(at, bytes) => {
                let at = at.index(out.len());
                out.splice(at..at, bytes.iter().copied());
            }
            Damage::Remove(at) => {
                out.remove(at.index(out.len()));
            }
            Damage::Length(at, length) => {
                let at = at.index(out.len());
                out.splice(at..=at, varint(*length));
            }
        }
    }
    out
}

#[test]
fn garbage_and_damaged_records_cost_little_and_never_panic() {
    let _alone = alone();
    let codec = codec();
    let mut runner = proptest::test_runner::TestRunner::default();
    let sound = prop_oneof![
        any_commit().prop_map(|commit| encode_commit(&commit)),
        Just(full_record()),
        Just(encode_genesis(&genesis())),
        Just(Bytes::from_static(commit_schema().as_bytes())),
        any::<u128>().prop_map(encode_marker),
        vec(any::<u8>(), 0..300).prop_map(Bytes::from),
        // A sound header before anything at all, so that the body's decoder sees it.
        vec(any::<u8>(), 0..300)
            .prop_map(|body| Bytes::from([&full_record()[..60], &body].concat())),
    ];
    let claim = runner.run(&(sound, vec(damage(), 0..4)), |(record, damages)| {
        let peak = feed(&codec, &damaged(&record, &damages));
        prop_assert!(peak <= LIMIT_BYTES, "{peak} bytes");
        Ok(())
    });
    claim.unwrap();
}

#[test]
fn every_byte_of_a_record_turned_into_a_huge_length_costs_little() {
    let _alone = alone();
    let codec = codec();
    for record in [full_record(), encode_genesis(&genesis())] {
        for at in 0..record.len() {
            for length in [1 << 20, MAX_RECORD_BYTES as i64, 8 << 20, 1 << 40, i64::MAX, i64::MIN] {
                let bytes = [&record[..at], &varint(length), &record[at + 1..]].concat();
                let peak = feed(&codec, &bytes);
                assert!(peak <= LIMIT_BYTES, "length {length} at {at}: {peak} bytes");
            }
        }
    }
}

/// A record as large as may be, whose body is as dear as may be.
fn dearest(items: usize, value_bytes: usize) -> Bytes {
    let mut commit = full_commit();
    commit.changes = (0..items).map(|_| delete("a", "k")).collect();
    if let Some(Change::Put { value, .. }) = full_commit().changes.first() {
        assert!(!value.is_empty());
        let mut large = support::put("a", "k", &[]);
        if let Change::Put { value, .. } = &mut large {
            *value = vec![0; value_bytes].into();
        }
        commit.changes.pop();
        commit.changes.push(large);
    }
    commit.expects = (0..items)
        .map(|_| headwater_schemas::Expect {
            namespace: "a".parse().unwrap(),
            key: "k".parse().unwrap(),
            mod_revision: 0,
        })
        .collect();
    commit.attributes = (0..items).map(|at| (at.to_string(), String::new())).collect();
    encode_commit(&commit)
}

#[test]
fn the_dearest_record_that_is_read_stays_in_bounds() {
    let _alone = alone();
    let codec = codec();
    let record = dearest(MAX_ITEMS, MAX_RECORD_BYTES - 250_000);
    assert!(record.len() <= MAX_RECORD_BYTES, "{} bytes", record.len());
    let (decoded, peak) = peak_of(|| codec.decode(&record));
    assert_eq!(decoded.unwrap().changes.len(), MAX_ITEMS);
    assert!(peak <= LIMIT_BYTES, "{peak} bytes");
    assert!(peak > MAX_RECORD_BYTES / 2, "the allocator counts: {peak} bytes");
}

#[test]
fn a_record_of_more_items_than_may_be_is_given_up_early() {
    let _alone = alone();
    let codec = codec();
    let record = dearest(100_000, 0);
    assert!(record.len() <= MAX_RECORD_BYTES, "{} bytes", record.len());
    let (decoded, peak) = peak_of(|| codec.decode(&record));
    assert!(decoded.is_err());
    assert!(peak <= LIMIT_BYTES, "{peak} bytes");
}

#[test]
fn the_dearest_schemas_stay_in_bounds() {
    let _alone = alone();
    let filed = commit_fingerprint().to_string();
    let fields = |field: &str| {
        let body = field.repeat(64_000 / field.len());
        format!(r#"{{"type":"record","name":"A","fields":[{}]}}"#, body.trim_end_matches(','))
    };
    let numbered: String =
        (0..1500).map(|at| format!(r#"{{"name":"f{at}","type":"int","x":{{"":0}}}},"#)).collect();
    for text in [
        fields("{},"),
        fields("[],"),
        fields(r#"{"":0},"#),
        fields(r#"{"":{"":0}},"#),
        fields(r#"{"name":"a","type":"int"},"#),
        format!(r#"{{"type":"record","name":"A","fields":[{}]}}"#, numbered.trim_end_matches(',')),
        format!("[{}", "[".repeat(63_000)),
        format!("{}1{}", r#"{"type":"array","items":"#.repeat(2500), "}".repeat(2500)),
        format!("\"{}\"", "\\u0000".repeat(10_000)),
    ] {
        let (_, peak) = peak_of(|| Codec::default().learn(&filed, text.as_bytes()));
        assert!(peak <= LIMIT_BYTES, "{text:.60}: {peak} bytes");
    }
}

#[test]
fn a_schema_that_was_refused_takes_no_place() {
    let _alone = alone();
    let filed = commit_fingerprint().to_string();
    for at in 0..1000 {
        let text =
            format!(r#"{{"type":"record","name":"R{at}","fields":[{{"name":"x","type":"int"}}]}}"#);
        assert!(Codec::default().learn(&filed, text.as_bytes()).is_err());
    }
    Codec::default().learn(&filed, commit_schema().as_bytes()).unwrap();
}
