//! A dry run tells what would happen and writes nothing.

use headwater_api::{ChangeKind, DryRunBody, Expected, ProposedOp};
use headwater_publisher::{Kind, Refusal, Settings, Write, Written};

use crate::harness::{Publisher, change, commits_in, founded, keyed, publisher, put, text, write};

pub(crate) async fn preview(publisher: &Publisher, write: Write) -> DryRunBody {
    match publisher.writer.write(Write { dry_run: true, ..write }).await.unwrap() {
        Written::DryRun(body) => *body,
        Written::Committed { .. } | Written::Unchanged(_) => panic!("it wrote"),
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_entries_before_and_after() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    publisher.put("a", "1").await.unwrap();
    publisher.put("b", "1").await.unwrap();
    let set = write(
        Kind::Commit,
        vec![change("a", text("2")), change("b", ProposedOp::Delete), change("c", text("3"))],
    );
    let shown = preview(&publisher, set).await;
    assert!(shown.would_succeed && shown.failures.is_empty());
    assert_eq!(shown.revision, 2);
    let kinds: Vec<_> = shown.changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Changed, ChangeKind::Removed, ChangeKind::Added]);
    let (old, new) =
        (shown.changes[0].old.as_ref().unwrap(), shown.changes[0].new.as_ref().unwrap());
    assert_eq!((old.version, new.version, new.mod_revision, new.create_revision), (1, 2, 3, 1));
    assert!(shown.changes[1].new.is_none() && shown.changes[2].old.is_none());
    assert_eq!(commits_in(&log), 3, "nothing was written");
}

#[tokio::test]
async fn a_dry_run_that_would_fail_tells_why() {
    let publisher = publisher(founded().await).await;
    let mut set = write(Kind::Commit, vec![change("a", text("2"))]);
    set.proposal.changes[0].expect = Some(Expected::Exists);
    let shown = preview(&publisher, set).await;
    assert!(!shown.would_succeed);
    assert_eq!(shown.failures[0].current_revision, 0);
}

#[tokio::test]
async fn a_dry_run_leaves_its_key_unused_and_knows_the_limits() {
    let log = founded().await;
    let settings = Settings { max_record_bytes: 1_000, ..Settings::default() };
    let publisher = Publisher::start(log, settings, None).await;
    preview(&publisher, keyed("k", put("a", "1"))).await;
    assert_eq!(publisher.receipt(keyed("k", put("a", "2"))).await.unwrap().revision, 1);
    let known = Write { dry_run: true, ..keyed("k", put("a", "2")) };
    assert!(matches!(publisher.writer.write(known).await, Err(Refusal::KeyReused)));
    let large = Write { dry_run: true, ..put("a", &"x".repeat(1_000)) };
    assert!(matches!(
        publisher.writer.write(large).await,
        Err(Refusal::CommitTooLarge { limit: 1_000, .. })
    ));
    assert!(matches!(
        publisher.put("a", &"x".repeat(1_000)).await,
        Err(Refusal::CommitTooLarge { .. })
    ));
    assert_eq!(publisher.put("a", "3").await.unwrap().revision, 2);
}

#[tokio::test]
async fn a_dry_run_shows_values_up_to_a_bound_and_tells_of_every_entry() {
    let publisher = publisher(founded().await).await;
    let (value, keys) = ("x".repeat(250 * 1024), 70);
    for number in 0..keys {
        publisher.put(&format!("k{number:02}"), &value).await.unwrap();
    }
    let all = (0..keys).map(|number| change(&format!("k{number:02}"), ProposedOp::Delete));
    let shown = preview(&publisher, write(Kind::Commit, all.collect())).await;
    let old: Vec<_> = shown.changes.iter().map(|change| change.old.as_ref().unwrap()).collect();
    assert_eq!(old.len(), keys);
    assert!(old.iter().all(|entry| entry.size == 250 * 1024));
    assert!(old[0].value.is_some() && old[keys - 1].value.is_none());
    assert!(old.iter().filter(|entry| entry.value.is_some()).count() * 250 * 1024 <= 16 << 20);
}
