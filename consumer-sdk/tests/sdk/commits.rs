use headwater::{Closed, Event};

use crate::stream::{Stream, delete, put, soon};

#[tokio::test]
async fn every_commit_from_now_on_is_seen_whole_and_in_order() {
    let stream = Stream::found().await;
    stream.put("app", "before", "1").await;
    let hw = stream.client(&["app"]).await;
    let mut commits = hw.commits();
    stream.commit([put("app", "a", "1"), put("app", "b", "1")]).await;
    stream.commit([delete("app", "a")]).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match soon(commits.next()).await.unwrap() {
            Event::Commit(applied) => seen.push((applied.head.revision, applied.effects.len())),
            Event::Skipped { to } => panic!("skipped to {to}"),
        }
    }
    assert_eq!(seen, [(2, 2), (3, 1)]);
}

#[tokio::test]
async fn what_was_applied_before_the_end_is_still_given() {
    let stream = Stream::found().await;
    let hw = stream.client(&["app"]).await;
    let mut commits = hw.commits();
    let revision = stream.put("app", "a", "1").await;
    soon(hw.wait_for(revision)).await.unwrap();
    soon(hw.close()).await;
    assert!(
        matches!(soon(commits.next()).await, Ok(Event::Commit(applied)) if applied.head.revision == revision)
    );
    assert_eq!(soon(commits.next()).await.unwrap_err(), Closed);
}
