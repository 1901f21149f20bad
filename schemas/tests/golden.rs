//! Bytes on file: what a log holds today must read the same in ten years.
//!
//! A test that fails writes what it has now beside the build and says where. Replace a file only together
//! with a note in `docs/formats.md`: stored bytes never change, new ones are added.
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

mod support;

use std::fs;
use std::path::Path;

use headwater_schemas::{
    CHECKPOINT_KEY, Checkpoint, Codec, Framing, Frozen, Genesis, Hash, Point, Position, State,
    StreamId, TableEntry, TableRow, Word, accept, commit_fingerprint, decode_table_row,
    encode_checkpoint, encode_commit, encode_genesis, encode_marker, encode_table_entry,
    entry_digest, marker_nonce, table_key,
};
use support::{full_commit, genesis};

fn golden(name: &str, now: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let on_file = fs::read(&path).unwrap_or_default();
    if on_file != now {
        let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&beside, now).unwrap();
        panic!("{} is not what this build writes: see {}", path.display(), beside.display());
    }
    on_file
}

const NONCE: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

#[test]
fn a_genesis_has_the_bytes_on_file() {
    let bytes = golden("genesis.bin", &encode_genesis(&genesis()));
    assert_eq!(Genesis::decode(&bytes).unwrap(), genesis());
}

#[test]
fn a_genesis_that_supersedes_a_stream_has_the_bytes_on_file() {
    let point = Point { stream_id: StreamId([9; 16]), revision: 4_711, hash: Hash([5; 32]) };
    let genesis = Genesis { supersedes: Some((point, 12)), ..genesis() };
    let bytes = golden("genesis-2.bin", &encode_genesis(&genesis));
    assert_eq!(Genesis::decode(&bytes).unwrap(), genesis);
    let commit = genesis.commit().unwrap();
    assert_eq!(Word::of(&commit), Some(Word::Supersedes(point, 12)));
}

#[test]
fn a_commit_has_the_bytes_on_file() {
    golden("commit.bin", &encode_commit(&full_commit()));
}

#[test]
fn the_rows_of_the_table_have_the_bytes_on_file() {
    let state = {
        let mut state = support::founded();
        state.apply(&full_commit(), Hash::of(&encode_commit(&full_commit())));
        state
    };
    let (namespace, key, entry) =
        state.iter().find(|(namespace, ..)| !namespace.as_str().starts_with('_')).unwrap();
    let row = TableEntry {
        namespace: namespace.as_str(),
        key: key.as_str(),
        entry: entry.as_ref(),
        reason: Some("more traffic"),
        commit_hash: Some(state.head().hash),
    };
    let plain = golden("table-entry.bin", &encode_table_entry(&row, Framing::SingleObject));
    golden("table-entry-registry.bin", &encode_table_entry(&row, Framing::Registry(0x0102_0304)));
    let read = decode_table_row(&table_key(namespace.as_str(), key.as_str()), &plain).unwrap();
    assert!(matches!(read, TableRow::Entry { entry: it, .. } if it == *entry));

    let head = *state.head();
    let checkpoint = Checkpoint {
        stream_id: head.stream_id,
        revision: head.revision,
        hash: head.hash,
        at_ms: head.at_ms,
        position: Position(9),
        digest: state.totals().digest(),
        entries: state.totals().entries(),
    };
    let bytes =
        golden("table-checkpoint.bin", &encode_checkpoint(&checkpoint, Framing::SingleObject));
    let read = decode_table_row(CHECKPOINT_KEY.as_bytes(), &bytes).unwrap();
    assert_eq!(read, TableRow::Checkpoint(checkpoint));
}

#[test]
fn a_marker_has_the_bytes_on_file() {
    let bytes = golden("marker.bin", &encode_marker(NONCE));
    assert_eq!(marker_nonce(&bytes), Some(NONCE));
}

/// Reads the files as a log, with nothing but what stands in them.
#[test]
fn the_log_on_file_is_read_by_the_schema_it_carries() {
    let (genesis, commit) =
        (include_bytes!("golden/genesis.bin"), include_bytes!("golden/commit.bin"));
    let founding = Genesis::decode(genesis).unwrap().commit().unwrap();
    let mut codec = Codec::default();
    codec.learn_from(&founding).unwrap();
    let mut state = State::found(&founding, Hash::of(genesis));
    assert!(accept(state.head(), &Frozen::read(commit).unwrap()));
    let decoded = codec.decode(commit).unwrap();
    assert_eq!(decoded, full_commit());
    assert_eq!(state.apply(&decoded, Hash::of(commit)).divergence, None);
}

#[test]
fn hashes_fingerprints_and_digests_are_those_on_file() {
    let (genesis_record, commit_record) =
        (encode_genesis(&genesis()), encode_commit(&full_commit()));
    let mut state = support::founded();
    state.apply(&full_commit(), Hash::of(&commit_record));
    let mut lines = format!(
        "fingerprint {}\ngenesis {}\ncommit {}\nstate {}\n",
        commit_fingerprint(),
        Hash::of(&genesis_record),
        Hash::of(&commit_record),
        state.totals().digest(),
    );
    for (namespace, key, entry) in state.iter() {
        let digest = entry_digest(namespace.as_str(), key.as_str(), entry.as_ref());
        lines.push_str(&format!("entry {namespace} {key} {digest}\n"));
    }
    golden("hashes.txt", lines.as_bytes());
}
