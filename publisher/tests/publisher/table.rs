//! The table is the state, whatever happens to the one that writes it, and nobody else's records are touched.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use headwater_log::{Log, MemoryLog, MemoryTable, Table, TableError, TableRecord};
use headwater_publisher::table::{
    Fault, Framings, Inspection, Inspector, Projector, TableParts, TableSettings,
};
use headwater_replica::{AlarmKind, Follow, Replica, Settings, TailRead};
use headwater_schemas::{
    Commit, Framing, MUST_UNDERSTAND, TableFold, TableRow, decode_table_row, encode_commit,
    encode_table_entry, table_key,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Publisher, delete, eventually, founded, publisher, put};

/// A projector that runs until it is dropped.
struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Keeper {
    fn start(table: &MemoryTable, log: &Arc<MemoryLog>, replica: &Replica) -> Self {
        Self::framing(table, log, replica, Framing::SingleObject)
    }

    fn framing(
        table: &MemoryTable,
        log: &Arc<MemoryLog>,
        replica: &Replica,
        framing: Framing,
    ) -> Self {
        let settings =
            TableSettings { gather_ms: 1, lease_timeout_ms: 20, ..TableSettings::default() };
        let parts = TableParts {
            table: Arc::new(table.clone()),
            replica: replica.clone(),
            log: log.clone(),
            framings: framings(framing),
            settings,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(Projector::new(parts).run(stop.clone()));
        Self { stop, task }
    }

    /// Lets it finish.
    async fn end(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
    }
}

fn framings(framing: Framing) -> Framings {
    Arc::new(move || async move { Ok(framing) }.boxed())
}

fn fold(table: &MemoryTable) -> TableFold {
    let mut fold = TableFold::default();
    table.records().iter().for_each(|record| fold.take(&record.key, record.value.as_ref()));
    fold
}

fn is_the_state(table: &MemoryTable, replica: &Replica) -> bool {
    let (fold, view) = (fold(table), replica.view().unwrap());
    let complete = fold.complete().map(|checkpoint| checkpoint.head());
    complete == Some(*view.head()) && fold.len() as u64 == view.totals().entries()
}

async fn becomes_the_state(table: &MemoryTable, replica: &Replica) {
    eventually("the table is the state", || is_the_state(table, replica)).await;
}

/// A stream with a table and the one that writes it.
async fn kept() -> (Arc<MemoryLog>, Publisher, MemoryTable, Keeper) {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    let table = MemoryTable::new();
    let keeper = Keeper::start(&table, &log, &publisher.replica);
    becomes_the_state(&table, &publisher.replica).await;
    (log, publisher, table, keeper)
}

/// Compares the table with a state that is folded from the log, beside everybody.
async fn inspected(table: &MemoryTable, log: &Arc<MemoryLog>, repair: bool) -> Inspection {
    let (observer, seen) = mpsc::channel(4);
    let (replica, keeper) =
        Replica::new(Settings::default(), Follow::Log(log.clone()), Some(observer));
    let stop = CancellationToken::new();
    tokio::spawn(keeper.run(stop.clone()));
    let mut inspector = Inspector::new(Arc::new(table.clone()), replica, seen);
    let inspection = if repair { inspector.repair(None).await } else { inspector.verify().await };
    stop.cancel();
    inspection.unwrap()
}

fn last<'a>(records: &'a [TableRecord], key: &str) -> &'a TableRecord {
    records.iter().rfind(|record| record.key == key).unwrap()
}

#[tokio::test]
async fn every_change_is_a_row_with_its_commit_and_a_deletion_says_by_whom() {
    let (_log, publisher, table, _keeper) = kept().await;
    let mut why = put("k", "1");
    why.proposal.reason = Some("spring".into());
    publisher.receipt(why).await.unwrap();
    publisher.put("gone", "x").await.unwrap();
    let receipt = publisher.receipt(delete("gone")).await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    let records = table.records();
    let row = last(&records, "app/k");
    let TableRow::Entry { entry, reason, commit_hash, .. } =
        decode_table_row(&row.key, row.value.as_ref().unwrap()).unwrap()
    else {
        panic!("an entry")
    };
    assert_eq!(reason.as_deref(), Some("spring"));
    assert_eq!((entry.value.as_ref(), entry.version, entry.mod_revision), (&b"1"[..], 1, 1));
    assert_eq!(commit_hash, publisher.replica.tail().hash_at(1));
    let deleted = last(&records, "app/gone");
    assert_eq!(deleted.value, None);
    let said = |name: &str| {
        let header = deleted.headers.iter().find(|(header, _)| *header == name);
        header.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
    };
    assert_eq!(said("revision"), Some(receipt.revision.to_string()));
    assert_eq!(said("commit_hash"), Some(receipt.hash.to_string()));
    assert_eq!((said("namespace"), said("key")), (Some("app".into()), Some("gone".into())));
    assert!(said("at").is_some() && said("actor").is_some());
}

#[tokio::test]
async fn what_was_changed_before_the_first_turn_came_is_told_change_by_change() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    publisher.put("gone", "1").await.unwrap();
    publisher.receipt(delete("gone")).await.unwrap();
    publisher.put("k", "1").await.unwrap();
    let table = MemoryTable::new();
    let _keeper = Keeper::start(&table, &log, &publisher.replica);
    becomes_the_state(&table, &publisher.replica).await;
    let records = table.records();
    assert!(last(&records, "app/gone").headers.contains(&("revision", Bytes::from("2"))));
    assert!(records.iter().any(|record| record.key == "app/gone" && record.value.is_some()));
}

#[tokio::test]
async fn another_goes_on_from_the_last_checkpoint_and_repeats_nothing() {
    let (log, a, table, keeper) = kept().await;
    let b = publisher(log.clone()).await;
    for n in 0..20 {
        a.put(&format!("k{}", n % 5), &n.to_string()).await.unwrap();
    }
    becomes_the_state(&table, &a.replica).await;
    keeper.end().await;
    let before = table.records().len();
    a.put("after", "1").await.unwrap();
    b.replica.wait_for(21).await.unwrap();
    let _another = Keeper::start(&table, &log, &b.replica);
    becomes_the_state(&table, &b.replica).await;
    assert_eq!(table.records().len(), before + 2, "a row and a checkpoint");
}

#[tokio::test]
async fn a_projector_that_stops_leaves_nothing_unwritten() {
    let (_log, publisher, table, keeper) = kept().await;
    for n in 0..50 {
        publisher.put(&format!("k{n}"), "1").await.unwrap();
    }
    keeper.end().await;
    assert!(is_the_state(&table, &publisher.replica));
}

#[tokio::test]
async fn one_that_was_fenced_writes_nothing_until_its_turn_comes_again() {
    let (log, a, table, _keeper) = kept().await;
    let b = publisher(log.clone()).await;
    let elsewhere = table.another();
    elsewhere.turn(true);
    let _newer = Keeper::start(&elsewhere, &log, &b.replica);
    table.turn(false);
    for n in 0..20 {
        a.put("k", &n.to_string()).await.unwrap();
        b.replica.wait_for(n + 1).await.unwrap();
    }
    becomes_the_state(&table, &a.replica).await;
    // Each revision once, in order: nobody wrote beside the other.
    let checkpoints = table.records().into_iter().filter_map(|record| {
        let row = decode_table_row(&record.key, record.value.as_ref()?).ok()?;
        if let TableRow::Checkpoint(checkpoint) = row { Some(checkpoint.revision) } else { None }
    });
    let checkpoints: Vec<u64> = checkpoints.collect();
    assert!(checkpoints.is_sorted_by(|a, b| a < b), "{checkpoints:?}");
}

#[tokio::test]
async fn a_batch_that_failed_or_was_fenced_by_a_command_is_written_again() {
    let (_log, publisher, table, _keeper) = kept().await;
    table.fail(TableError::Failed("a broker died".into()));
    publisher.put("k", "1").await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    let epoch = table.writer().await.unwrap();
    publisher.put("k", "2").await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    drop(epoch);
}

#[tokio::test]
async fn what_is_missing_stale_extra_or_wrong_is_found_and_mended() {
    let (log, publisher, table, keeper) = kept().await;
    for key in ["missing", "stale", "wrong", "right"] {
        publisher.put(key, "old").await.unwrap();
    }
    becomes_the_state(&table, &publisher.replica).await;
    let old = last(&table.records(), "app/stale").value.clone();
    publisher.put("stale", "new").await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    keeper.end().await;
    assert!(inspected(&table, &log, false).await.is_sound());

    table.foreign("app/missing", None);
    table.foreign("app/stale", old);
    table.foreign("app/extra", Some(Bytes::from("noise")));
    let mut wrong = last(&table.records(), "app/wrong").value.clone().unwrap().to_vec();
    let at = wrong.windows(3).position(|bytes| bytes == b"old").unwrap();
    wrong[at] ^= 1;
    table.foreign("app/wrong", Some(wrong.into()));
    let found = inspected(&table, &log, false).await;
    assert!(!found.is_sound());
    let found: Vec<_> = found
        .differences
        .iter()
        .map(|it| (String::from_utf8_lossy(&it.key).into_owned(), it.fault))
        .collect();
    let wanted = [
        ("app/extra", Fault::Extra),
        ("app/missing", Fault::Missing),
        ("app/stale", Fault::Stale(2)),
        ("app/wrong", Fault::Wrong),
    ];
    assert_eq!(found, wanted.map(|(key, fault)| (key.to_owned(), fault)));

    let mended = inspected(&table, &log, true).await;
    assert!(mended.is_sound() && mended.mended == 4, "{mended:?}");
    assert!(is_the_state(&table, &publisher.replica));
}

#[tokio::test]
async fn a_takeover_mends_a_table_that_is_not_what_its_checkpoint_says() {
    let (log, publisher, table, keeper) = kept().await;
    publisher.put("k", "1").await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    keeper.end().await;
    table.foreign("app/k", None);
    let checkpoint = last(&table.records(), "_checkpoint").value.clone();
    table.foreign("_checkpoint", checkpoint);
    assert!(!is_the_state(&table, &publisher.replica));
    let _keeper = Keeper::start(&table, &log, &publisher.replica);
    becomes_the_state(&table, &publisher.replica).await;
}

#[tokio::test]
async fn a_table_of_another_stream_and_a_topic_of_somebody_else_are_left_alone_until_repaired() {
    let (_, _theirs, table, keeper) = kept().await;
    keeper.end().await;
    let foreign = MemoryTable::new();
    foreign.foreign("connector-1", Some(Bytes::from("offsets")));
    for table in [table, foreign] {
        let before = table.records();
        let log = founded().await;
        let publisher = publisher(log.clone()).await;
        let keeper = Keeper::start(&table, &log, &publisher.replica);
        publisher.put("k", "1").await.unwrap();
        let looked = table.writer().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        drop((looked, keeper));
        assert_eq!(table.records(), before);
        assert!(!inspected(&table, &log, false).await.is_sound());
        assert!(inspected(&table, &log, true).await.is_sound());
        let _keeper = Keeper::start(&table, &log, &publisher.replica);
        publisher.put("k", "2").await.unwrap();
        becomes_the_state(&table, &publisher.replica).await;
    }
}

#[tokio::test]
async fn a_table_ahead_of_its_log_is_left_alone() {
    let (log, publisher, table, keeper) = kept().await;
    publisher.put("k", "1").await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    keeper.end().await;
    let before = table.records();
    let cut = Arc::new(MemoryLog::new());
    let genesis = log.records().into_iter().next().unwrap().bytes;
    headwater_log::Log::writer(cut.as_ref()).unwrap().append(vec![genesis]).await;
    let (replica, keep) = Replica::new(Settings::default(), Follow::Log(cut.clone()), None);
    let stop = CancellationToken::new();
    tokio::spawn(keep.run(stop.clone()));
    replica.caught_up().await.unwrap();
    let keeper = Keeper::start(&table, &cut, &replica);
    // Longer than the replica is given to come to where the table is.
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    keeper.end().await;
    stop.cancel();
    assert_eq!(table.records(), before);
}

#[tokio::test]
async fn another_framing_rewrites_every_row_once() {
    let (log, publisher, table, keeper) = kept().await;
    publisher.put("k", "1").await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    keeper.end().await;
    let framing = Framing::Registry(7);
    for _ in 0..2 {
        let keeper = Keeper::framing(&table, &log, &publisher.replica, framing);
        let rows =
            || fold(&table).into_rows().into_values().all(|row| row.framing == Some(framing));
        eventually("every row is framed anew", rows).await;
        becomes_the_state(&table, &publisher.replica).await;
        keeper.end().await;
    }
    let rewritten = table.records().iter().filter(|record| record.key == "app/k").count();
    assert_eq!(rewritten, 2);
    // A repair frames as the table's own writer does.
    table.foreign("app/k", None);
    assert!(inspected(&table, &log, true).await.is_sound());
    assert!(fold(&table).into_rows().into_values().all(|row| row.framing == Some(framing)));
}

#[tokio::test]
async fn a_projector_that_cannot_read_on_leaves_the_turn_to_others() {
    let (log, publisher, table, _keeper) = kept().await;
    publisher.put("k", "1").await.unwrap();
    assert!(table.is_wanted());
    let TailRead::Items(applied) = publisher.replica.tail().after(0, 1) else { panic!("a commit") };
    let head = applied[0].head;
    let unknown = Commit {
        revision: head.revision + 1,
        parent: head.hash,
        format: MUST_UNDERSTAND,
        ..applied[0].commit.clone()
    };
    log.writer().unwrap().append(vec![encode_commit(&unknown)]).await;
    eventually("it stands in line no more", || !table.is_wanted()).await;
    assert_eq!(publisher.replica.alarm().unwrap().kind, AlarmKind::Undecodable);
}

#[tokio::test]
async fn a_projector_behind_the_tail_compares_with_the_state_and_deleted_keys_stay_deleted() {
    let (log, publisher, table, keeper) = kept().await;
    publisher.put("deleted", "1").await.unwrap();
    publisher.put("recreated", "1").await.unwrap();
    becomes_the_state(&table, &publisher.replica).await;
    keeper.end().await;
    publisher.receipt(delete("deleted")).await.unwrap();
    publisher.receipt(delete("recreated")).await.unwrap();
    for n in 0..200 {
        publisher.put(&format!("k{}", n % 10), &"x".repeat(100)).await.unwrap();
    }
    publisher.put("recreated", "2").await.unwrap();
    // A replica that keeps nearly nothing of what it applied.
    let settings = Settings { tail_bytes: 1, ..Settings::default() };
    let (replica, keep) = Replica::new(settings, Follow::Log(log.clone()), None);
    let stop = CancellationToken::new();
    tokio::spawn(keep.run(stop.clone()));
    replica.wait_for(publisher.revision()).await.unwrap();
    let _keeper = Keeper::start(&table, &log, &replica);
    becomes_the_state(&table, &replica).await;
    table.compact();
    assert!(is_the_state(&table, &replica));
    let rows = fold(&table).into_rows();
    assert!(!rows.contains_key(&table_key("app", "deleted")));
    assert!(rows.contains_key(&table_key("app", "recreated")));
    stop.cancel();
}

#[test]
fn a_row_of_the_state_encodes_as_the_schema_says() {
    // The framings differ in what stands before the value only.
    let entry = headwater_schemas::Entry {
        content_type: "text/plain".into(),
        value: "v".into(),
        version: 1,
        create_revision: 1,
        mod_revision: 1,
        updated_at_ms: 0,
        actor: "a".into(),
    };
    let row = headwater_schemas::TableEntry {
        namespace: "app",
        key: "k",
        entry: entry.as_ref(),
        reason: None,
        commit_hash: None,
    };
    let (plain, registry) = (
        encode_table_entry(&row, Framing::SingleObject),
        encode_table_entry(&row, Framing::Registry(1)),
    );
    assert_eq!(plain[10..], registry[5..]);
}
