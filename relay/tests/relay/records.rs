//! The records of a relay, read as a log is: out of its history, and in a stream out of its tail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_log::{LogReader, ReadError, Seek};
use headwater_replica::{Recent, RecordReader, Settings};
use headwater_schemas::{Position, Record};

use crate::chain::json;
use crate::world::World;

const COMMITS: u64 = 200;

/// A relay of whose commits only some are in its tail; the others are another's to tell.
async fn world(tail_bytes: usize) -> World {
    let write = async |world: &mut World| {
        world.each((0..COMMITS).map(|number| json("n", "k", &number.to_string()))).await;
    };
    let mut twin = World::new().await;
    write(&mut twin).await;
    let history = Arc::new(Recent::new(twin.replica.clone()));
    let settings = Settings { tail_bytes, ..Settings::default() };
    let mut world = World::with(settings, |relay| relay.history = Some(history)).await;
    world.beside.push(twin);
    write(&mut world).await;
    world
}

fn stored(world: &World) -> Vec<Bytes> {
    world.log.records().into_iter().map(|record| record.bytes).collect()
}

/// A reader of all but the genesis, which these worlds do not keep.
async fn reader(world: &World) -> RecordReader {
    let mut reader = RecordReader::new(world.client());
    reader.seek(Seek::At(Position(1))).await.unwrap();
    reader
}

async fn all(reader: &mut RecordReader, max_bytes: usize) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let batch = reader.read(Duration::ZERO, max_bytes).await.unwrap();
        records.extend(batch.records);
        assert_eq!(batch.next, Position(records.len() as u64 + 1));
        if batch.at_end {
            return records;
        }
    }
}

#[tokio::test]
async fn every_record_is_read_as_stored_whether_the_tail_holds_it_or_not() {
    for tail_bytes in [1, 20_000, 1 << 20] {
        let world = world(tail_bytes).await;
        let oldest = world.replica.tail().oldest().unwrap();
        for max_bytes in [1, 1_000, 1 << 20] {
            let records = all(&mut reader(&world).await, max_bytes).await;
            let stored = &stored(&world)[1..];
            assert!(records.iter().map(|record| &record.bytes).eq(stored), "{tail_bytes}");
            // What comes in the stream says when it was appended.
            let streamed = records.iter().filter(|record| record.appended_at_ms > 0).count() as u64;
            assert_eq!(streamed, COMMITS - oldest.max(1), "{tail_bytes}");
        }
    }
}

#[tokio::test]
async fn a_read_that_is_cancelled_loses_nothing() {
    let world = world(20_000).await;
    let mut reader = reader(&world).await;
    let mut records = Vec::new();
    // Ever more patient, so that it ends on a slow machine, too.
    for patience in (0..).map(|number| Duration::from_micros(number * 211)) {
        let read = reader.read(Duration::ZERO, 1 << 20);
        if let Ok(batch) = tokio::time::timeout(patience, read).await {
            let batch = batch.unwrap();
            records.extend(batch.records.into_iter().map(|record| record.bytes));
            if batch.at_end {
                break;
            }
        }
    }
    assert_eq!(records, stored(&world)[1..]);
}

#[tokio::test]
async fn a_reader_waits_for_what_comes_and_goes_where_it_is_sent() {
    let mut world = world(1 << 20).await;
    let mut reader = reader(&world).await;
    assert_eq!(all(&mut reader, 1 << 20).await.len() as u64, COMMITS);
    assert!(reader.read(Duration::ZERO, 1).await.unwrap().records.is_empty());
    world.each([json("n", "k", "1"), json("n", "k", "2")]).await;
    let later = all_from(&mut reader, COMMITS + 3).await;
    assert_eq!(later, stored(&world)[COMMITS as usize + 1..]);
    assert_eq!(reader.seek(Seek::At(Position(7))).await.unwrap(), Position(7));
    let batch = reader.read(Duration::ZERO, 1).await.unwrap();
    assert_eq!(batch.records[0].bytes, stored(&world)[7]);
    reader.seek(Seek::At(Position(9_999))).await.unwrap();
    let beyond = reader.read(Duration::ZERO, 1).await;
    assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })), "{beyond:?}");
}

/// What comes next, up to a position.
async fn all_from(reader: &mut RecordReader, end: u64) -> Vec<Bytes> {
    let mut records = Vec::new();
    loop {
        let batch = reader.read(Duration::from_secs(10), 1 << 20).await.unwrap();
        records.extend(batch.records.into_iter().map(|record| record.bytes));
        if batch.next >= Position(end) {
            return records;
        }
    }
}
