//! The claims that hold for every table. Each table's own tests run [`conforms`] against it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::{Table, TableError, TableReader, TableRecord, TableWriter};

/// How long anything may take before a claim counts as broken: no claim is about speed.
const PATIENCE: Duration = Duration::from_secs(60);
const MANY_BYTES: usize = 1 << 20;

/// Checks every claim, one after the other, each on a table that nobody wrote to, which `open` gives.
///
/// # Panics
/// When a claim does not hold; the message says which.
pub async fn conforms<T: Table, F: Future<Output = Arc<T>>>(open: impl Fn() -> F) {
    macro_rules! check {
        ($($claim:ident),+ $(,)?) => {$(
            if timeout(PATIENCE, $claim(open().await.as_ref())).await.is_err() {
                panic!("{}: hangs", stringify!($claim));
            }
        )+};
    }
    check!(
        a_table_nobody_wrote_to_is_at_its_end,
        what_was_written_is_read_in_order_deletions_among_it,
        an_end_is_told_only_when_all_that_was_there_is_read,
        a_newer_writer_fences_the_older_one,
        the_turn_to_write_comes,
    );
}

fn put(key: &str, value: &str) -> TableRecord {
    TableRecord {
        key: key.to_owned().into(),
        value: Some(value.to_owned().into()),
        headers: vec![("said", Bytes::from("beside"))],
    }
}

fn delete(key: &str) -> TableRecord {
    TableRecord { key: key.to_owned().into(), value: None, headers: Vec::new() }
}

async fn writer(table: &impl Table) -> Box<dyn TableWriter> {
    table.writer().await.unwrap_or_else(|error| panic!("a writer is opened: {error}"))
}

async fn reader(table: &impl Table) -> Box<dyn TableReader> {
    let opened = table.reader().await.unwrap_or_else(|error| panic!("a reader is opened: {error}"));
    opened.unwrap_or_else(|| panic!("{} is there", table.place()))
}

async fn write(writer: &mut dyn TableWriter, batch: Vec<TableRecord>) {
    writer.write(batch).await.unwrap_or_else(|error| panic!("a batch is written: {error}"));
}

/// Everything up to the end.
async fn all(table: &impl Table, max_bytes: usize) -> Vec<(Bytes, Option<Bytes>)> {
    let mut reader = reader(table).await;
    let mut read = Vec::new();
    loop {
        let batch = reader.read(Duration::from_millis(200), max_bytes).await;
        let batch = batch.unwrap_or_else(|error| panic!("a table is read: {error}"));
        read.extend(batch.records);
        if batch.at_end {
            return read;
        }
    }
}

fn pairs(records: &[TableRecord]) -> Vec<(Bytes, Option<Bytes>)> {
    records.iter().map(|record| (record.key.clone(), record.value.clone())).collect()
}

async fn a_table_nobody_wrote_to_is_at_its_end(table: &impl Table) {
    assert_eq!(all(table, MANY_BYTES).await, []);
}

async fn what_was_written_is_read_in_order_deletions_among_it(table: &impl Table) {
    let mut writer = writer(table).await;
    let batches =
        [vec![put("a", "1"), put("b", "2"), delete("a")], vec![put("b", "3"), put("a", "")]];
    for batch in batches.clone() {
        write(writer.as_mut(), batch).await;
    }
    assert_eq!(all(table, MANY_BYTES).await, pairs(&batches.concat()));
}

async fn an_end_is_told_only_when_all_that_was_there_is_read(table: &impl Table) {
    let mut writer = writer(table).await;
    let batch: Vec<_> = (0..500).map(|n| put(&format!("k{n}"), "value")).collect();
    write(writer.as_mut(), batch.clone()).await;
    // A few bytes at a time: many reads, and the end at the last.
    assert_eq!(all(table, 16).await, pairs(&batch));
}

async fn a_newer_writer_fences_the_older_one(table: &impl Table) {
    let mut older = writer(table).await;
    write(older.as_mut(), vec![put("a", "older")]).await;
    let mut newer = writer(table).await;
    write(newer.as_mut(), vec![put("a", "newer")]).await;
    let refused = older.write(vec![put("a", "zombie")]).await;
    assert!(matches!(refused, Err(TableError::Fenced(_))), "{refused:?}");
    write(newer.as_mut(), vec![put("a", "last")]).await;
    let read = all(table, MANY_BYTES).await;
    assert_eq!(read, pairs(&[put("a", "older"), put("a", "newer"), put("a", "last")]));
}

async fn the_turn_to_write_comes(table: &impl Table) {
    let lease = table.lease().await.unwrap_or_else(|error| panic!("one stands in line: {error}"));
    let came = lease.held().wait_for(|held| *held).await.is_ok();
    assert!(came, "the turn comes");
    lease.release().await;
}
