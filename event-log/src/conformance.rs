//! The claims that hold for every log. Each log's own tests run [`conforms`] against it.
//!
//! A claim starts at the end of the log it is given, so the log may be one that others have written to
//! (a topic that is used again); nobody else may write to it meanwhile.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use headwater_schemas::{Position, Record};
use tokio::time::{Instant, timeout};

use crate::{Appended, Batch, Log, LogReader, LogWriter, ReadError, Seek};

/// How long anything may take before a claim counts as broken: no claim is about speed.
const PATIENCE: Duration = Duration::from_secs(30);
/// A wait far longer than [`PATIENCE`]: a read that ends earlier was woken.
const FOR_EVER: Duration = Duration::from_secs(600);
/// A wait that is meant to end without a record.
const BRIEF: Duration = Duration::from_millis(50);
const MANY_BYTES: usize = 1 << 20;

/// Checks every claim, one after the other, each on a log that `open` gives: a fresh one or the same again.
///
/// # Panics
/// When a claim does not hold; the message says which.
pub async fn conforms<L, F>(open: impl Fn() -> F)
where
    L: Log + ?Sized + 'static,
    F: Future<Output = Arc<L>>,
{
    macro_rules! check {
        ($($claim:ident),+ $(,)?) => {$(
            let bench = Bench::new(stringify!($claim), open().await).await;
            if timeout(PATIENCE * 4, $claim(bench)).await.is_err() {
                panic!("{}: hangs", stringify!($claim));
            }
        )+};
    }
    check!(
        records_come_back_in_the_order_of_their_appends,
        next_resumes_exactly,
        a_waiting_read_is_woken_by_an_append,
        a_wait_without_records_ends_empty_and_at_the_end,
        a_cancelled_read_loses_nothing,
        a_reader_starts_at_the_oldest_record,
        seek_oldest_newest_and_at_go_there,
        seek_by_time_misses_no_later_record,
        a_position_behind_the_end_is_out_of_range,
        the_end_counts_everything_appended_before,
        two_readers_are_independent,
        a_batch_stays_together_and_in_order,
        two_writers_each_keep_their_order,
        a_dropped_future_does_not_undo_its_append,
        a_batch_is_bounded_and_never_empty_handed,
        append_times_are_sane_and_never_go_back,
        a_large_record_comes_back_whole,
        an_empty_record_harms_nothing,
        an_empty_append_is_nothing,
    );
}

/// One claim's log, a writer to it, and a reader at its end.
struct Bench<L: ?Sized> {
    claim: &'static str,
    log: Arc<L>,
    writer: Arc<dyn LogWriter>,
    reader: Box<dyn LogReader>,
    start: Position,
}

impl<L: Log + ?Sized> Bench<L> {
    async fn new(claim: &'static str, log: Arc<L>) -> Self {
        let Some(writer) = log.writer() else { panic!("{claim}: the log has no writer") };
        let mut reader = must(claim, log.reader().await);
        let start = must(claim, reader.seek(Seek::Newest).await);
        Self { claim, log, writer, reader, start }
    }

    /// A record that no other claim writes.
    fn record(&self, name: impl Display) -> Bytes {
        Bytes::from(format!("{} {} {name}", self.claim, self.start.0))
    }

    fn numbered(&self, count: usize) -> Vec<Bytes> {
        (0..count).map(|index| self.record(index)).collect()
    }

    async fn append(&self, records: Vec<Bytes>) -> Vec<Position> {
        let count = records.len();
        let appended = self.writer.append(records).await;
        assert_eq!(appended.len(), count, "{}: one answer for each record", self.claim);
        let position = |appended| match appended {
            Appended::InLog(position) => position,
            other => panic!("{}: not in the log: {other:?}", self.claim),
        };
        appended.into_iter().map(position).collect()
    }

    async fn reader_at(&self, to: Seek) -> Box<dyn LogReader> {
        let mut reader = must(self.claim, self.log.reader().await);
        must(self.claim, reader.seek(to).await);
        reader
    }

    async fn take(&mut self, count: usize) -> Vec<Record> {
        take(self.claim, self.reader.as_mut(), count).await
    }
}

fn must<T, E: Debug>(claim: &str, result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{claim}: {error:?}"),
    }
}

/// Reads until there are `count` records, or patience ends.
async fn take(claim: &str, reader: &mut dyn LogReader, count: usize) -> Vec<Record> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while records.len() < count {
        assert!(Instant::now() < deadline, "{claim}: {} of {count} records came", records.len());
        records.extend(must(claim, reader.read(Duration::from_secs(1), MANY_BYTES).await).records);
    }
    records
}

fn bytes(records: &[Record]) -> Vec<Bytes> {
    records.iter().map(|record| record.bytes.clone()).collect()
}

fn positions(records: &[Record]) -> Vec<Position> {
    records.iter().map(|record| record.position).collect()
}

/// Reads until the reader says that it stands at the end, and gives what came.
async fn drain(claim: &str, reader: &mut dyn LogReader) -> (Vec<Record>, Batch) {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "{claim}: a reader never gets to the end");
        let batch = must(claim, reader.read(BRIEF, MANY_BYTES).await);
        records.extend(batch.records.iter().cloned());
        if batch.at_end && batch.records.is_empty() {
            return (records, batch);
        }
    }
}

async fn records_come_back_in_the_order_of_their_appends<L: Log + ?Sized>(mut bench: Bench<L>) {
    let written = bench.numbered(200);
    let waits: Vec<_> = written.iter().map(|r| bench.writer.append(vec![r.clone()])).collect();
    let appended: Vec<Appended> =
        futures::future::join_all(waits).await.into_iter().flatten().collect();
    let read = bench.take(200).await;
    assert_eq!(bytes(&read), written, "{}", bench.claim);
    let told: Vec<_> = positions(&read).into_iter().map(Appended::InLog).collect();
    assert_eq!(appended, told, "{}: appends say where their records stand", bench.claim);
    assert!(positions(&read).is_sorted_by(|a, b| a < b), "{}: positions increase", bench.claim);
}

async fn next_resumes_exactly<L: Log + ?Sized>(mut bench: Bench<L>) {
    let written = bench.numbered(40);
    bench.append(written.clone()).await;
    let mut read = Vec::new();
    while read.len() < written.len() {
        // A reader of its own for each step: only `next` leads from one to the next.
        let batch = must(bench.claim, bench.reader.read(PATIENCE, 200).await);
        assert!(!batch.records.is_empty(), "{}: records are there", bench.claim);
        assert!(batch.records.iter().all(|r| r.position < batch.next), "{}", bench.claim);
        read.extend(batch.records);
        bench.reader = bench.reader_at(Seek::At(batch.next)).await;
    }
    assert_eq!(bytes(&read), written, "{}", bench.claim);
}

async fn a_waiting_read_is_woken_by_an_append<L: Log + ?Sized>(mut bench: Bench<L>) {
    for round in 0..5 {
        drain(bench.claim, bench.reader.as_mut()).await;
        let record = bench.record(round);
        let mut read = bench.reader.read(FOR_EVER, MANY_BYTES);
        let waiting = timeout(BRIEF, &mut read).await;
        assert!(waiting.is_err(), "{}: a read without records waits", bench.claim);
        let woken = async {
            let batch = must(bench.claim, read.await);
            assert_eq!(bytes(&batch.records), std::slice::from_ref(&record), "{}", bench.claim);
        };
        let appended = bench.writer.append(vec![record.clone()]);
        assert!(
            timeout(PATIENCE, async { futures::join!(woken, appended) }).await.is_ok(),
            "{}: nothing woke the reader",
            bench.claim
        );
    }
}

async fn a_wait_without_records_ends_empty_and_at_the_end<L: Log + ?Sized>(mut bench: Bench<L>) {
    drain(bench.claim, bench.reader.as_mut()).await;
    let batch = must(bench.claim, bench.reader.read(BRIEF, MANY_BYTES).await);
    assert!(batch.records.is_empty() && batch.at_end, "{}: {batch:?}", bench.claim);
    let end = must(bench.claim, bench.reader.end().await);
    assert_eq!(batch.next, end, "{}: it stands at the end", bench.claim);
    let batch = must(bench.claim, bench.reader.read(Duration::ZERO, MANY_BYTES).await);
    assert!(batch.records.is_empty(), "{}: without a wait: {batch:?}", bench.claim);
}

async fn a_cancelled_read_loses_nothing<L: Log + ?Sized>(mut bench: Bench<L>) {
    let written = bench.numbered(60);
    let (writer, records) = (Arc::clone(&bench.writer), written.clone());
    let writing = tokio::spawn(async move {
        for record in records {
            writer.append(vec![record]).await;
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut read: Vec<Record> = Vec::new();
    for turn in 0_u64.. {
        if read.len() >= written.len() {
            break;
        }
        assert!(Instant::now() < deadline, "{}: {} of 60 came", bench.claim, read.len());
        // From "before it was polled twice" to "long enough to succeed".
        let cancel_after = Duration::from_micros(50 << (turn % 12));
        if let Ok(batch) = timeout(cancel_after, bench.reader.read(FOR_EVER, 300)).await {
            read.extend(must(bench.claim, batch).records);
        }
    }
    must(bench.claim, writing.await);
    assert_eq!(bytes(&read), written, "{}", bench.claim);
}

async fn a_reader_starts_at_the_oldest_record<L: Log + ?Sized>(bench: Bench<L>) {
    bench.append(bench.numbered(3)).await;
    let mut fresh = must(bench.claim, bench.log.reader().await);
    let mut sought = bench.reader_at(Seek::Oldest).await;
    let first = take(bench.claim, fresh.as_mut(), 1).await;
    let oldest = take(bench.claim, sought.as_mut(), 1).await;
    assert_eq!(first[0], oldest[0], "{}", bench.claim);
}

async fn seek_oldest_newest_and_at_go_there<L: Log + ?Sized>(mut bench: Bench<L>) {
    let written = bench.numbered(20);
    let told = bench.append(written.clone()).await;
    for (index, position) in told.iter().enumerate().step_by(7) {
        let went = must(bench.claim, bench.reader.seek(Seek::At(*position)).await);
        assert_eq!(went, *position, "{}", bench.claim);
        let read = bench.take(20 - index).await;
        assert_eq!(bytes(&read), written[index..], "{}: at {position:?}", bench.claim);
    }
    let newest = must(bench.claim, bench.reader.seek(Seek::Newest).await);
    assert!(newest > told[19], "{}: newest is behind the last", bench.claim);
    let (records, _) = drain(bench.claim, bench.reader.as_mut()).await;
    assert!(records.is_empty(), "{}: nothing follows the newest", bench.claim);
    let oldest = must(bench.claim, bench.reader.seek(Seek::Oldest).await);
    assert!(oldest <= told[0], "{}", bench.claim);
    assert!(bench.take(1).await[0].position >= oldest, "{}", bench.claim);
}

async fn seek_by_time_misses_no_later_record<L: Log + ?Sized>(mut bench: Bench<L>) {
    for record in bench.numbered(5) {
        bench.append(vec![record]).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for record in bench.take(5).await {
        let to = Seek::BeforeTime(record.appended_at_ms);
        let found = must(bench.claim, bench.reader.seek(to).await);
        assert!(found <= record.position, "{}: it skips {record:?}", bench.claim);
        let first = &bench.take(1).await[0];
        assert_eq!(first.appended_at_ms, record.appended_at_ms, "{}: too early", bench.claim);
    }
    let end = must(bench.claim, bench.reader.end().await);
    let future =
        must(bench.claim, bench.reader.seek(Seek::BeforeTime(now_ms() + 86_400_000)).await);
    assert_eq!(future, end, "{}: a time to come is the end", bench.claim);
    let past = must(bench.claim, bench.reader.seek(Seek::BeforeTime(1)).await);
    assert!(past <= bench.start, "{}: long ago is the oldest", bench.claim);
}

async fn a_position_behind_the_end_is_out_of_range<L: Log + ?Sized>(mut bench: Bench<L>) {
    bench.append(bench.numbered(1)).await;
    let end = must(bench.claim, bench.reader.end().await);
    let far = Position(end.0 + 1_000_000);
    must(bench.claim, bench.reader.seek(Seek::At(far)).await);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match bench.reader.read(Duration::from_secs(1), MANY_BYTES).await {
            Err(ReadError::OutOfRange { position, .. }) => {
                assert_eq!(position, far, "{}", bench.claim);
                break;
            }
            Ok(batch) if batch.records.is_empty() && Instant::now() < deadline => {}
            other => panic!("{}: {other:?}", bench.claim),
        }
    }
    // The reader is still good for another place.
    must(bench.claim, bench.reader.seek(Seek::At(bench.start)).await);
    assert_eq!(bytes(&bench.take(1).await), bench.numbered(1), "{}", bench.claim);
}

async fn the_end_counts_everything_appended_before<L: Log + ?Sized>(mut bench: Bench<L>) {
    for record in bench.numbered(10) {
        let told = bench.append(vec![record]).await;
        let end = must(bench.claim, bench.reader.end().await);
        assert!(end > told[0], "{}: {end:?} leaves out {:?}", bench.claim, told[0]);
    }
}

async fn two_readers_are_independent<L: Log + ?Sized>(mut bench: Bench<L>) {
    let written = bench.numbered(10);
    bench.append(written.clone()).await;
    let mut other = bench.reader_at(Seek::At(bench.start)).await;
    assert_eq!(bytes(&bench.take(10).await), written, "{}", bench.claim);
    assert_eq!(bytes(&take(bench.claim, other.as_mut(), 10).await), written, "{}", bench.claim);
    drop(other);
    bench.append(vec![bench.record("after")]).await;
    let after = bytes(&bench.take(1).await);
    assert_eq!(after, [bench.record("after")], "{}: the other's end ends nothing", bench.claim);
}

async fn a_batch_stays_together_and_in_order<L: Log + ?Sized>(mut bench: Bench<L>) {
    const WRITERS: usize = 4;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|task| {
            let records: Vec<_> = (0..10).map(|i| bench.record(format!("{task}/{i}"))).collect();
            let writer = Arc::clone(&bench.writer);
            tokio::spawn(async move {
                for _ in 0..10 {
                    writer.append(records.clone()).await;
                }
                records
            })
        })
        .collect();
    let mut batches = Vec::new();
    for task in tasks {
        batches.push(must(bench.claim, task.await));
    }
    let read = bytes(&bench.take(WRITERS * 100).await);
    for batch in read.chunks(10) {
        assert!(batches.iter().any(|b| b == batch), "{}: torn: {batch:?}", bench.claim);
    }
}

async fn two_writers_each_keep_their_order<L: Log + ?Sized>(mut bench: Bench<L>) {
    let writers = [bench.log.writer(), bench.log.writer()];
    let waits: Vec<_> = (0..50)
        .flat_map(|index| writers.iter().flatten().enumerate().map(move |(who, w)| (index, who, w)))
        .map(|(index, who, writer)| writer.append(vec![bench.record(format!("{who}/{index}"))]))
        .collect();
    futures::future::join_all(waits).await;
    let mut by_writer: BTreeMap<Bytes, Vec<Bytes>> = BTreeMap::new();
    for record in bytes(&bench.take(100).await) {
        let slash = record.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
        by_writer.entry(record.slice(..slash)).or_default().push(record);
    }
    assert_eq!(by_writer.len(), 2, "{}", bench.claim);
    for (writer, (_, records)) in by_writer.iter().enumerate() {
        let expected: Vec<_> = (0..50).map(|i| bench.record(format!("{writer}/{i}"))).collect();
        assert_eq!(*records, expected, "{}: writer {writer}", bench.claim);
    }
}

async fn a_dropped_future_does_not_undo_its_append<L: Log + ?Sized>(mut bench: Bench<L>) {
    drop(bench.writer.append(vec![bench.record("dropped")]));
    bench.append(vec![bench.record("kept")]).await;
    let expected = [bench.record("dropped"), bench.record("kept")];
    assert_eq!(bytes(&bench.take(2).await), expected, "{}", bench.claim);
}

async fn a_batch_is_bounded_and_never_empty_handed<L: Log + ?Sized>(mut bench: Bench<L>) {
    const RECORD_BYTES: usize = 10 * 1024;
    let written = vec![Bytes::from(vec![7; RECORD_BYTES]); 20];
    bench.append(written).await;
    for max_bytes in [1, 25 * 1024] {
        must(bench.claim, bench.reader.seek(Seek::At(bench.start)).await);
        let mut count = 0;
        while count < 20 {
            let batch = must(bench.claim, bench.reader.read(PATIENCE, max_bytes).await);
            let total: usize = batch.records.iter().map(|record| record.bytes.len()).sum();
            assert!(total > 0, "{}: at least one record", bench.claim);
            assert!(total <= max_bytes + RECORD_BYTES, "{}: {total} bytes", bench.claim);
            count += batch.records.len();
        }
    }
}

async fn append_times_are_sane_and_never_go_back<L: Log + ?Sized>(mut bench: Bench<L>) {
    const HOUR_MS: i64 = 3_600_000;
    bench.append(bench.numbered(10)).await;
    let times: Vec<_> = bench.take(10).await.iter().map(|r| r.appended_at_ms).collect();
    assert!(times.is_sorted(), "{}: {times:?}", bench.claim);
    let around = now_ms() - HOUR_MS..now_ms() + HOUR_MS;
    assert!(times.iter().all(|time| around.contains(time)), "{}: {times:?}", bench.claim);
}

async fn a_large_record_comes_back_whole<L: Log + ?Sized>(mut bench: Bench<L>) {
    let large: Bytes = (0..512 * 1024_u32).map(|i| i.wrapping_mul(31).to_le_bytes()[1]).collect();
    bench.append(vec![bench.record("before"), large.clone(), bench.record("after")]).await;
    let read = bytes(&bench.take(3).await);
    assert!(read == [bench.record("before"), large, bench.record("after")], "{}", bench.claim);
}

async fn an_empty_record_harms_nothing<L: Log + ?Sized>(mut bench: Bench<L>) {
    let appended = bench.writer.append(vec![Bytes::new()]).await;
    bench.append(vec![bench.record("after")]).await;
    let mut expected = vec![bench.record("after")];
    if matches!(appended[..], [Appended::InLog(_)]) {
        expected.insert(0, Bytes::new());
    }
    assert_eq!(bytes(&bench.take(expected.len()).await), expected, "{}", bench.claim);
}

async fn an_empty_append_is_nothing<L: Log + ?Sized>(mut bench: Bench<L>) {
    assert_eq!(bench.writer.append(Vec::new()).await, [], "{}", bench.claim);
    let (records, _) = drain(bench.claim, bench.reader.as_mut()).await;
    assert!(records.is_empty(), "{}", bench.claim);
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
