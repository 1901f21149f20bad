//! Two publishers on one log.

use std::collections::HashSet;

use headwater_publisher::{Refusal, Settings};
use headwater_server::Precondition;

use crate::chain::audit;
use crate::harness::{Gated, Publisher, eventually, founded, publisher, put};

#[tokio::test]
async fn two_publishers_make_one_dense_chain_and_nothing_is_applied_twice() {
    let log = founded().await;
    let (a, b) = (publisher(log.clone()).await, publisher(log.clone()).await);
    let run = |publisher: &Publisher, name: &'static str| {
        let writer = publisher.writer.clone();
        async move {
            let mut answers = Vec::new();
            for i in 0..60 {
                let value = format!("{name}{i}");
                answers.push((value.clone(), writer.write(put("shared", &value)).await.is_ok()));
            }
            answers
        }
    };
    let (first, second, third, fourth) =
        tokio::join!(run(&a, "a"), run(&b, "b"), run(&a, "c"), run(&b, "d"));
    let audit = audit(&log);
    let mut accepted = 0;
    for (value, ok) in [first, second, third, fourth].concat() {
        assert_eq!(audit.times(&value), usize::from(ok), "{value}");
        accepted += usize::from(ok);
    }
    assert!(accepted > 200, "fairness: most get through, {accepted} did");
    assert_eq!(audit.commits.len(), accepted);
    let ids: HashSet<_> = audit.commits.iter().map(|(_, commit)| commit.commit_id).collect();
    assert_eq!(ids.len(), accepted);
    let head = *audit.state.head();
    eventually("both are at the head", || {
        [&a, &b].iter().all(|p| *p.replica.view().unwrap().head() == head)
    })
    .await;
}

#[tokio::test]
async fn of_two_that_create_one_key_one_wins_and_the_other_is_told_by_what() {
    let log = founded().await;
    let (a, b) = (publisher(log.clone()).await, publisher(log.clone()).await);
    for i in 0..40 {
        let mut write = put(&format!("k{i}"), "mine");
        write.condition = Precondition::Absent;
        let (x, y) = tokio::join!(a.receipt(write.clone()), b.receipt(write));
        let (won, lost) = if x.is_ok() { (x, y) } else { (y, x) };
        assert_eq!(lost, Err(Refusal::Precondition(won.unwrap().revision)));
    }
    assert_eq!(audit(&log).commits.len(), 40);
}

#[tokio::test]
async fn what_is_pipelined_behind_a_loser_is_written_again_behind_the_winner() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let (slow, fast) = (publisher(gated.clone()).await, publisher(log.clone()).await);
    gated.close();
    let first = tokio::spawn({
        let writer = slow.writer.clone();
        async move { writer.write(put("a", "slow")).await }
    });
    eventually("the first is handed over", || gated.held() == 1).await;
    let rest: Vec<_> = (0..5)
        .map(|i| {
            let writer = slow.writer.clone();
            tokio::spawn(async move { writer.write(put(&format!("b{i}"), "slow")).await })
        })
        .collect();
    eventually("the rest is handed over", || gated.held_groups().iter().sum::<usize>() == 6).await;
    fast.put("a", "fast").await.unwrap();
    gated.open().await;
    first.await.unwrap().unwrap();
    for written in rest {
        written.await.unwrap().unwrap();
    }
    let audit = audit(&log);
    assert_eq!((audit.commits.len(), audit.ignored), (7, 6));
    assert_eq!(slow.value("a").as_deref(), Some("slow"));
}

#[tokio::test]
async fn a_writer_that_always_loses_is_told_contended() {
    let log = founded().await;
    let gated = Gated::new(log.clone());
    let settings = Settings { max_tries: 3, ..Settings::default() };
    let (slow, fast) =
        (Publisher::start(gated.clone(), settings, None).await, publisher(log.clone()).await);
    gated.close();
    let write = tokio::spawn({
        let writer = slow.writer.clone();
        async move { writer.write(put("a", "slow")).await }
    });
    for round in 1..=3 {
        eventually("it is handed over again", || gated.held() == round).await;
        fast.put("a", "fast").await.unwrap();
    }
    assert_eq!(write.await.unwrap().unwrap_err(), Refusal::Contended);
    gated.open().await;
    slow.put("c", "after").await.unwrap();
    assert_eq!(audit(&log).times("slow"), 0);
}
