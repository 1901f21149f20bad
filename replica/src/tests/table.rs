//! The rung of the table: taken at a checkpoint that holds, left where none does.

use std::sync::Arc;

use bytes::Bytes;
use headwater_log::{MemoryLog, MemoryTable, ReadError};
use headwater_schemas::{
    CHECKPOINT_KEY, Checkpoint, Framing, Head, Position, TableEntry, encode_checkpoint,
    encode_table_entry, table_key,
};

use super::follow::{Running, Stream, run};
use crate::{Follow, Replica, Settings, Source};

fn write_state(table: &MemoryTable, stream: &Stream) {
    write_rows(table, stream, stream.state.head(), stream.records.len() as u64 - 1);
}

/// The stream's state, with a checkpoint that says it is that of `head`.
fn write_rows(table: &MemoryTable, stream: &Stream, head: &Head, position: u64) {
    for (namespace, key, entry) in stream.state.iter() {
        let (namespace, key) = (namespace.as_str(), key.as_str());
        let row =
            TableEntry { namespace, key, entry: entry.as_ref(), reason: None, commit_hash: None };
        let value = encode_table_entry(&row, Framing::Registry(3));
        table.foreign(table_key(namespace, key), Some(value));
    }
    let totals = stream.state.totals();
    let checkpoint = Checkpoint {
        stream_id: head.stream_id,
        revision: head.revision,
        hash: head.hash,
        at_ms: head.at_ms,
        position: Position(position),
        digest: totals.digest(),
        entries: totals.entries(),
    };
    let value = encode_checkpoint(&checkpoint, Framing::Registry(3));
    table.foreign(CHECKPOINT_KEY, Some(value));
}

fn climbing(log: &MemoryLog, table: &MemoryTable, settings: Settings) -> Running {
    let (replica, keeper) = Replica::new(settings, Follow::Log(Arc::new(log.clone())), None);
    run((replica, keeper.with_table(Arc::new(table.clone()))))
}

async fn stream_of(revisions: u64) -> Stream {
    let mut stream = Stream::found().await;
    for n in 0..revisions {
        stream.commit(&n.to_string()).await;
    }
    stream
}

#[tokio::test]
async fn a_replica_begins_at_the_tables_checkpoint_with_the_beginning_of_the_log_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut stream = stream_of(20).await;
    let table = MemoryTable::new();
    write_state(&table, &stream);
    stream.commit("after").await;
    stream.log.trim(Position(20));
    let settings = Settings { cache_dir: Some(dir.path().to_owned()), ..Settings::default() };
    let running = climbing(&stream.log, &table, settings.clone());
    running.at(21).await;
    let view = running.replica.view().unwrap();
    assert_eq!(running.replica.status().source, Source::Table);
    assert_eq!(running.replica.tail().oldest(), Some(20), "what is before came from the table");
    assert_eq!(
        (view.head(), view.totals().digest()),
        (stream.state.head(), stream.state.totals().digest())
    );
    running.close().await;

    // It is the last known good state of the next start.
    let running = climbing(&stream.log, &MemoryTable::new(), settings);
    running.at(21).await;
    assert_eq!(running.replica.status().source, Source::Cache);
    running.close().await;
}

#[tokio::test]
async fn a_state_from_the_table_that_no_disk_takes_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let no_dir = dir.path().join("file");
    std::fs::write(&no_dir, "in the way").unwrap();
    let stream = stream_of(3).await;
    let table = MemoryTable::new();
    write_state(&table, &stream);
    let settings = Settings { cache_dir: Some(no_dir), ..Settings::default() };
    let running = climbing(&stream.log, &table, settings);
    running.at(3).await;
    let status = running.replica.status();
    assert_eq!(status.source, Source::Table);
    assert!(status.cache_error.is_some(), "{status:?}");
    running.close().await;
}

#[tokio::test]
async fn a_namespace_from_a_table_was_changed_no_earlier_than_in_truth() {
    let stream = stream_of(9).await;
    let table = MemoryTable::new();
    write_state(&table, &stream);
    let running = climbing(&stream.log, &table, Settings::default());
    running.at(9).await;
    let (ours, theirs) = (running.replica.view().unwrap(), stream.state.totals());
    for (namespace, part) in theirs.namespaces() {
        let of = ours.totals().of(namespace.as_str());
        assert!(of.mod_revision >= part.mod_revision);
        assert_eq!((of.entries, of.bytes, of.digest), (part.entries, part.bytes, part.digest));
    }
    running.close().await;
}

#[tokio::test]
async fn a_checkpoint_that_does_not_hold_is_passed_and_the_next_one_taken() {
    let mut stream = stream_of(3).await;
    let table = MemoryTable::new();
    // As compaction leaves it: the first checkpoint's rows are gone, the newer ones stand behind it.
    let early = stream_of(0).await;
    write_state(&table, &early);
    stream.commit("last").await;
    write_state(&table, &stream);
    let running = climbing(&stream.log, &table, Settings::default());
    running.at(4).await;
    assert_eq!(running.replica.status().source, Source::Table);
    assert_eq!(running.replica.tail().oldest(), Some(4));
    running.close().await;
}

#[tokio::test]
async fn a_table_that_is_wrong_empty_or_out_of_reach_leads_to_the_log_with_a_reason() {
    let stream = stream_of(5).await;
    let (wrong, broken) = (MemoryTable::new(), MemoryTable::new());
    write_state(&wrong, &stream);
    wrong.foreign("app/extra", Some(Bytes::from("noise")));
    broken.unreadable(Some(ReadError::Unavailable("not allowed".into())));
    for table in [wrong, broken, MemoryTable::new()] {
        let running = climbing(&stream.log, &table, Settings::default());
        running.at(5).await;
        assert_eq!(running.replica.status().source, Source::Log);
        assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
        running.close().await;
    }
}

#[tokio::test]
async fn a_table_that_is_whole_in_itself_and_not_what_the_log_led_to_is_not_served() {
    let stream = stream_of(5).await;
    let mut forged = stream_of(4).await;
    forged.commit("forged").await;
    // Another state under the same revision and hash, with a checkpoint that agrees with it.
    let table = MemoryTable::new();
    write_rows(&table, &forged, stream.state.head(), 5);
    let running = climbing(&stream.log, &table, Settings::default());
    running.at(5).await;
    assert_eq!(running.replica.status().source, Source::Log);
    assert_eq!(running.replica.view().unwrap().totals(), stream.state.totals());
    running.close().await;
}

#[tokio::test]
async fn a_table_of_another_history_is_no_way_onto_this_log() {
    let theirs = stream_of(3).await;
    let table = MemoryTable::new();
    write_state(&table, &theirs);
    let mut foreign = Stream::found().await;
    for n in 0..9 {
        foreign.commit(&format!("other {n}")).await;
    }
    let running = climbing(&foreign.log, &table, Settings::default());
    assert_eq!(running.alarmed().await, crate::AlarmKind::NotOnThisLog);
    assert_eq!(running.replica.view().unwrap().head(), theirs.state.head());
    running.close().await;
}
