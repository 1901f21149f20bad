//! Bytes ↔ rows of the table, and the table as its reader holds it.
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

mod support;

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_schemas::{
    CHECKPOINT_KEY, Checkpoint, Entry, Framing, Hash, Position, State, TableEntry, TableFold,
    TableRow, decode_table_row, encode_checkpoint, encode_commit, encode_table_entry, same_schema,
    table_fingerprint, table_key, table_schema,
};
use proptest::prelude::*;
use support::{few_changes, founded, key, namespace, next};

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![Just(Framing::SingleObject), any::<u32>().prop_map(Framing::Registry)]
}

prop_compose! {
    fn any_entry()(
        content_type: String, value: Vec<u8>, actor: String, updated_at_ms: i64,
        numbers in [0u64..=i64::MAX.cast_unsigned(), 0..=i64::MAX.cast_unsigned(), 0..=i64::MAX.cast_unsigned()],
    ) -> Entry {
        let [version, create_revision, mod_revision] = numbers;
        Entry {
            content_type: content_type.into(),
            value: value.into(),
            version,
            create_revision,
            mod_revision,
            updated_at_ms,
            actor: actor.into(),
        }
    }
}

fn checkpoint_of(state: &State) -> Checkpoint {
    let (head, totals) = (state.head(), state.totals());
    Checkpoint {
        stream_id: head.stream_id,
        revision: head.revision,
        hash: head.hash,
        at_ms: head.at_ms,
        position: Position(head.revision),
        digest: totals.digest(),
        entries: totals.entries(),
    }
}

fn checkpoint_key() -> Bytes {
    Bytes::from_static(CHECKPOINT_KEY.as_bytes())
}

proptest! {
    #[test]
    fn every_entry_round_trips_in_either_framing(
        namespace in namespace(), key in key(), entry in any_entry(),
        reason: Option<String>, hash: Option<[u8; 32]>, framing in framing(),
    ) {
        let commit_hash = hash.map(Hash);
        let row = TableEntry {
            namespace: namespace.as_str(),
            key: key.as_str(),
            entry: entry.as_ref(),
            reason: reason.as_deref(),
            commit_hash,
        };
        let (at, value) = (table_key(namespace.as_str(), key.as_str()), encode_table_entry(&row, framing));
        prop_assert_eq!(Framing::of(&value), Some(framing));
        prop_assert_ne!(at.as_ref(), CHECKPOINT_KEY.as_bytes());
        let read = decode_table_row(&at, &value).unwrap();
        prop_assert_eq!(read, TableRow::Entry { namespace, key, entry, reason, commit_hash });
    }

    #[test]
    fn a_checkpoint_round_trips(
        stream_id: [u8; 16], revision in 0..=i64::MAX.cast_unsigned(), hash: [u8; 32], digest: [u8; 32],
        at_ms: i64, position: u64, entries: u64, framing in framing(),
    ) {
        let checkpoint = Checkpoint {
            stream_id: headwater_schemas::StreamId(stream_id),
            revision,
            hash: Hash(hash),
            at_ms,
            position: Position(position),
            digest: headwater_schemas::Digest(digest),
            entries,
        };
        let value = encode_checkpoint(&checkpoint, framing);
        let read = decode_table_row(CHECKPOINT_KEY.as_bytes(), &value).unwrap();
        prop_assert_eq!(read, TableRow::Checkpoint(checkpoint));
        prop_assert!(decode_table_row(b"a/b", &value).is_err(), "it stands under its own key only");
    }

    #[test]
    fn no_bytes_are_a_panic(key: Vec<u8>, value: Vec<u8>, framing in framing()) {
        let prefix: Vec<u8> = match framing {
            Framing::SingleObject => [&[0xC3, 0x01], table_fingerprint().0.as_slice()].concat(),
            Framing::Registry(id) => [&[0], id.to_be_bytes().as_slice()].concat(),
        };
        drop(decode_table_row(&key, &value));
        drop(decode_table_row(&key, &[prefix, value].concat()));
    }

    /// Every commit's effects and a checkpoint behind them: the table holds at each checkpoint, whatever compaction
    /// took away of it before the last.
    #[test]
    fn a_table_holds_at_every_checkpoint_and_compacted_at_the_last(
        commits in proptest::collection::vec(few_changes(), 1..8), kept in any::<u64>(),
    ) {
        let mut state = founded();
        let mut records: Vec<(Bytes, Option<Bytes>)> = Vec::new();
        for (namespace, key, entry) in state.iter() {
            records.push(record(namespace.as_str(), key.as_str(), Some(entry)));
        }
        let mut fold = TableFold::default();
        for (number, changes) in commits.into_iter().enumerate() {
            let commit = next(&state, number as u128, changes);
            let folded = state.apply(&commit, Hash::of(&encode_commit(&commit)));
            for effect in &folded.effects {
                let (namespace, key) = (effect.namespace.as_str(), effect.key.as_str());
                records.push(record(namespace, key, effect.after.as_ref()));
            }
            let value = encode_checkpoint(&checkpoint_of(&state), Framing::SingleObject);
            records.push((checkpoint_key(), Some(value)));
            fold = TableFold::default();
            records.iter().for_each(|(key, value)| fold.take(key, value.as_ref()));
            prop_assert_eq!(fold.complete(), Some(&checkpoint_of(&state)));
        }
        let last: BTreeMap<Bytes, usize> =
            records.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        let stays = |(at, (key, value)): &(usize, &(Bytes, Option<Bytes>))| {
            let old = last[key] != *at;
            if old { kept >> (at % 64) & 1 == 1 } else { value.is_some() || kept & 1 == 1 }
        };
        let compacted = records.iter().enumerate().filter(stays);
        let mut again = TableFold::default();
        let stale = compacted.clone().any(|(at, (key, _))| {
            last[key] != at && kept & 1 == 0 && records[last[key]].1.is_none()
        });
        compacted.for_each(|(_, (key, value))| again.take(key, value.as_ref()));
        // A deletion goes only after all that it deletes.
        if !stale {
            prop_assert_eq!(again.complete(), Some(&checkpoint_of(&state)));
            prop_assert_eq!(again.into_rows(), fold.into_rows());
        }
    }
}

fn record(namespace: &str, key: &str, entry: Option<&Entry>) -> (Bytes, Option<Bytes>) {
    let value = entry.map(|entry| {
        let row =
            TableEntry { namespace, key, entry: entry.as_ref(), reason: None, commit_hash: None };
        encode_table_entry(&row, Framing::SingleObject)
    });
    (table_key(namespace, key), value)
}

#[test]
fn what_is_foreign_or_comes_after_the_checkpoint_makes_a_table_incomplete() {
    let state = founded();
    let mut table = TableFold::default();
    for (namespace, key, entry) in state.iter() {
        let (key, value) = record(namespace.as_str(), key.as_str(), Some(entry));
        table.take(&key, value.as_ref());
    }
    assert!(!table.is_settled() && table.complete().is_none());
    let value = encode_checkpoint(&checkpoint_of(&state), Framing::Registry(7));
    table.take(&checkpoint_key(), Some(&value));
    assert!(table.is_settled() && table.complete().is_some());
    assert_eq!(table.framing(), Some(Framing::Registry(7)));

    let (foreign, noise) = (Bytes::from("a/b"), Bytes::from("noise"));
    let mut with_more = table.clone();
    with_more.take(&foreign, Some(&noise));
    assert!(!with_more.is_settled(), "it came after the checkpoint");
    with_more.take(&checkpoint_key(), Some(&value));
    assert!(with_more.is_settled() && with_more.complete().is_none(), "a row too many");
    with_more.take(&foreign, None);
    with_more.take(&checkpoint_key(), Some(&value));
    assert!(with_more.complete().is_some());

    table.take(&checkpoint_key(), Some(&noise));
    assert!(table.complete().is_none() && table.checkpoint().is_none());
}

#[test]
fn a_row_under_another_key_of_another_schema_or_cut_is_refused() {
    let state = founded();
    let (namespace, key, entry) = state.iter().next().unwrap();
    let (at, value) = record(namespace.as_str(), key.as_str(), Some(entry));
    let value = value.unwrap();
    assert!(decode_table_row(&at, &value).is_ok());
    assert!(decode_table_row(b"a/b", &value).is_err());
    let mut other = value.to_vec();
    other[3] ^= 1;
    assert!(decode_table_row(&at, &other).unwrap_err().to_string().contains("another schema"));
    for length in 0..value.len() {
        assert!(decode_table_row(&at, &value[..length]).is_err(), "{length} bytes");
    }
    assert!(decode_table_row(&at, &[&value[..], b"\0"].concat()).is_err());
}

#[test]
fn a_schema_is_the_same_whatever_its_spaces_and_docs() {
    let compact: serde_json::Value = serde_json::from_str(table_schema()).unwrap();
    assert!(same_schema(table_schema(), &compact.to_string()));
    assert!(!same_schema(table_schema(), headwater_schemas::commit_schema()));
    assert!(!same_schema("no schema", "no schema"));
}
