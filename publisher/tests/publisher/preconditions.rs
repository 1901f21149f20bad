//! Preconditions held at the commit before, and a refusal is true.

use std::sync::Arc;

use headwater_api::{Expected, Failure, Guard, ProposedOp};
use headwater_publisher::{Kind, Refusal, Settings, Write};
use headwater_replica::Recent;
use headwater_server::Precondition;

use crate::chain::audit;
use crate::harness::{
    Gated, Publisher, change, delete, eventually, founded, namespace, publisher, put, text, write,
};
use crate::metered::Metered;

fn conditional(write: Write, condition: Precondition) -> Write {
    Write { condition, ..write }
}

fn failure(index: Option<usize>, key: &str, expected: Expected, current_revision: u64) -> Failure {
    Failure { index, namespace: namespace(), key: key.parse().unwrap(), expected, current_revision }
}

#[tokio::test]
async fn conditions_of_one_key_hold_or_tell_what_is() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    for (condition, write, wanted) in [
        (Precondition::Exists, put("a", "0"), Err(Refusal::Precondition(0))),
        (Precondition::Absent, put("a", "1"), Ok(1)),
        (Precondition::Absent, put("a", "2"), Err(Refusal::Precondition(1))),
        (Precondition::Revision(vec![1]), put("a", "3"), Ok(2)),
        (Precondition::Revision(vec![1]), put("a", "4"), Err(Refusal::Precondition(2))),
        (Precondition::Revision(vec![1]), delete("a"), Err(Refusal::Precondition(2))),
        (Precondition::Exists, delete("a"), Ok(3)),
        (Precondition::Exists, delete("a"), Err(Refusal::Precondition(0))),
        (
            Precondition::None,
            delete("a"),
            Err(Refusal::KeyNotFound(namespace(), "a".parse().unwrap())),
        ),
    ] {
        let case = format!("{condition:?} {write:?}");
        let answer = publisher.receipt(conditional(write, condition)).await;
        assert_eq!(answer.map(|receipt| receipt.revision), wanted, "{case}");
    }
    let commits = audit(&log).commits;
    assert_eq!(commits.len(), 3);
    assert_eq!(
        commits[1].1.expects[0].mod_revision, 1,
        "the commit names what its writer relied on"
    );
}

#[tokio::test]
async fn every_failed_precondition_of_a_change_set_is_told() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    publisher.put("a", "1").await.unwrap();
    publisher.put("b", "1").await.unwrap();
    let mut set = write(
        Kind::Commit,
        vec![
            change("a", text("2")),
            change("b", text("2")),
            change("gone", ProposedOp::Delete),
            change("c", text("2")),
        ],
    );
    set.proposal.changes[0].expect = Some(Expected::Absent);
    set.proposal.changes[1].expect = Some(Expected::Revision(2));
    set.proposal.changes[3].expect = Some(Expected::Exists);
    set.proposal.expects = vec![Guard {
        namespace: namespace(),
        key: "z".parse().unwrap(),
        expected: Expected::Revision(9),
    }];
    let told = publisher.receipt(set).await.unwrap_err();
    assert_eq!(
        told,
        Refusal::Conflict(vec![
            failure(Some(0), "a", Expected::Absent, 1),
            failure(Some(2), "gone", Expected::Exists, 0),
            failure(Some(3), "c", Expected::Exists, 0),
            failure(None, "z", Expected::Revision(9), 0),
        ])
    );
    assert_eq!(audit(&log).commits.len(), 2, "all or nothing");
}

#[tokio::test]
async fn base_revision_sees_changes_and_deletions_after_it() {
    let log = founded().await;
    let publisher = publisher(log.clone()).await;
    publisher.put("a", "1").await.unwrap();
    publisher.put("b", "1").await.unwrap();
    publisher.receipt(delete("b")).await.unwrap();
    let based = |base, key: &str| {
        let mut set = write(Kind::Commit, vec![change(key, text("2"))]);
        set.proposal.base_revision = Some(base);
        set
    };
    let conflict = |key, base, current| {
        Err(Refusal::Conflict(vec![failure(Some(0), key, Expected::BaseRevision(base), current)]))
    };
    assert_eq!(publisher.receipt(based(0, "a")).await, conflict("a", 0, 1));
    assert_eq!(publisher.receipt(based(2, "b")).await, conflict("b", 2, 0));
    assert_eq!(
        publisher.receipt(based(9, "a")).await,
        Err(Refusal::RevisionInFuture { asked: 9, head: 3 })
    );
    assert_eq!(publisher.receipt(based(3, "b")).await.unwrap().revision, 4);
    assert_eq!(publisher.receipt(based(3, "a")).await.unwrap().revision, 5);
    assert_eq!(publisher.receipt(based(0, "never")).await.unwrap().revision, 6);
}

#[tokio::test]
async fn a_deletion_nobody_remembers_is_not_guessed() {
    let log = founded().await;
    let settings = Settings { remembered_deletions: 0, ..Settings::default() };
    let publisher = Publisher::start(log, settings, None).await;
    publisher.put("b", "1").await.unwrap();
    publisher.receipt(delete("b")).await.unwrap();
    let mut set = write(Kind::Commit, vec![change("b", text("2"))]);
    set.proposal.base_revision = Some(1);
    assert!(matches!(publisher.receipt(set).await, Err(Refusal::NotReady(_))));
}

#[tokio::test]
async fn a_refusal_waits_until_what_it_rests_on_was_read_back() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let (slow, fast) = (publisher(gated.clone()).await, publisher(log.clone()).await);
    gated.close();
    let spawn = |write| {
        let writer = slow.writer.clone();
        tokio::spawn(async move { writer.write(write).await })
    };
    let create = spawn(put("a", "slow"));
    eventually("the first is handed over", || gated.held() == 1).await;
    let refused = spawn(conditional(put("a", "never"), Precondition::Absent));
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!refused.is_finished(), "it would rest on a commit that may still die");
    // It does die: somebody else was first, with another key.
    fast.put("other", "fast").await.unwrap();
    gated.open().await;
    create.await.unwrap().unwrap();
    assert_eq!(refused.await.unwrap().unwrap_err(), Refusal::Precondition(2));
}

#[tokio::test]
async fn a_refusal_reflects_what_was_acknowledged_elsewhere_before_it() {
    let log = founded().await;
    let (a, b) = (publisher(log.clone()).await, publisher(log.clone()).await);
    for i in 0..50 {
        let key = format!("k{i}");
        let made = a.put(&key, "1").await.unwrap().revision;
        let absent = conditional(put(&key, "2"), Precondition::Absent);
        assert_eq!(b.receipt(absent).await, Err(Refusal::Precondition(made)));
        b.receipt(delete(&key)).await.unwrap();
        let missing = Refusal::KeyNotFound(namespace(), key.parse().unwrap());
        assert_eq!(a.receipt(delete(&key)).await, Err(missing));
    }
}

#[tokio::test]
async fn a_publisher_that_lags_refuses_nothing_by_what_it_has_not_read_yet() {
    let log = founded().await;
    let metered = Metered::new(log.clone());
    let (here, behind) = (publisher(log.clone()).await, publisher(metered.clone()).await);
    metered.close();
    // The reader that waits already may still take one record.
    here.put("filler", "1").await.unwrap();
    here.put("k", "1").await.unwrap();
    let writer = behind.writer.clone();
    let gone = tokio::spawn(async move { writer.write(delete("k")).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!gone.is_finished(), "the key is there, and this publisher cannot know");
    metered.open();
    gone.await.unwrap().unwrap();
    eventually("it is gone", || here.value("k").is_none()).await;
}

#[tokio::test]
async fn a_deletion_before_this_process_came_is_asked_of_the_history() {
    let log = founded().await;
    let first = publisher(log.clone()).await;
    first.put("b", "1").await.unwrap();
    first.receipt(delete("b")).await.unwrap();
    first.put("c", "1").await.unwrap();
    let settings = Settings { remembered_deletions: 0, ..Settings::default() };
    let history = Arc::new(Recent::new(first.replica.clone()));
    let publisher = Publisher::start(log, settings, Some(history)).await;
    let based = |base| {
        let mut set = write(Kind::Commit, vec![change("b", text("2"))]);
        set.proposal.base_revision = Some(base);
        set
    };
    let conflict = failure(Some(0), "b", Expected::BaseRevision(1), 0);
    assert_eq!(publisher.receipt(based(1)).await, Err(Refusal::Conflict(vec![conflict])));
    assert_eq!(publisher.receipt(based(2)).await.unwrap().revision, 4);
}
