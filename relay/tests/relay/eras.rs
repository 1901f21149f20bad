//! An operator leads the stream on from before where its followers are: what they hold is no longer of its chain.

use std::time::Duration;

use headwater_api::{Code, Frame, Problem, Succession, Values};
use headwater_client::{Client, ClientError, WatchEvent, WatchQuery, WatchStream, Watched};
use headwater_replica::Phase;
use headwater_schemas::{Point, Position, Word};
use tokio::time::timeout;

use crate::chain::{Chain, json};
use crate::watch::{SOON, commit, next};
use crate::world::World;

/// A revision that is kept, and two behind it that a restored log will not have.
struct Fork {
    world: World,
    /// As it is without what will be lost.
    kept: Chain,
    lost: u64,
}

impl Fork {
    async fn new() -> Self {
        let mut world = World::new().await;
        world.commit("ann", vec![json("n", "k", "1")]).await;
        let kept = world.chain.fork();
        let lost = world.each([json("n", "k", "2"), json("n", "k", "3")]).await;
        Self { world, kept, lost }
    }

    fn client(&self) -> Client {
        self.world.client()
    }

    fn behind(&self, after: u64) -> WatchQuery {
        WatchQuery { after: Some(after), ..WatchQuery::default() }
    }

    /// The log comes back without the last commits, and an operator says so.
    async fn lead_on(&mut self) -> Point {
        let mut progress = self.world.replica.progress();
        self.world.log.truncate(Position(2));
        let stands_still = progress.wait_for(|progress| progress.phase == Phase::ReadOnly);
        timeout(SOON, stands_still).await.unwrap().unwrap();
        let point = Point::from(self.kept.state.head());
        self.kept.commit("ops", vec![Word::Adopts(point).change(None)]).await;
        timeout(SOON, progress.wait_for(|progress| progress.era == 1)).await.unwrap().unwrap();
        point
    }
}

/// What a follower is told: from where the chain goes on, and that it has been on the one that was left.
fn is_led_on(problem: &Problem, from: Point) {
    assert_eq!((problem.code, problem.status), (Code::WrongChain, 409), "{problem}");
    let told = problem.succession().unwrap();
    assert_eq!(told, Succession { from, since: told.since, known: true });
}

async fn end(watch: &mut WatchStream) -> Problem {
    match next(watch).await {
        WatchEvent::End(problem) => problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_open_watch_ends_with_an_event_that_says_from_where_the_chain_goes_on() {
    let mut fork = Fork::new().await;
    let mut at_head = fork.client().watch(&fork.behind(fork.lost)).await.unwrap();
    let mut above = fork.client().watch(&fork.behind(fork.lost + 9)).await.unwrap();
    for watch in [&mut at_head, &mut above] {
        assert!(matches!(next(watch).await, WatchEvent::Heartbeat { .. }));
    }
    let from = fork.lead_on().await;
    for watch in [&mut at_head, &mut above] {
        is_led_on(&end(watch).await, from);
    }
    // Who takes the new state goes on behind it; what came before, this server's memory no longer has.
    let before = fork.client().watch(&fork.behind(1)).await.unwrap_err();
    assert_eq!(before.code(), Some(Code::RevisionCompacted));
    let mut anew = fork.client().watch(&fork.behind(2)).await.unwrap();
    let revision = fork.kept.commit("ann", vec![json("n", "k", "4")]).await;
    let first = commit(&mut anew).await;
    assert_eq!((first.revision, first.changes[0].value.as_ref().unwrap().get()), (revision, "4"));
}

#[tokio::test]
async fn a_watcher_ends_there_and_does_not_pass_one_chain_for_the_other() {
    let mut fork = Fork::new().await;
    let mut watcher = fork.client().watcher(fork.behind(0));
    let mut seen = 0;
    while seen < fork.lost {
        if let Watched::Commit(commit) = timeout(SOON, watcher.next()).await.unwrap().unwrap() {
            seen = commit.revision;
        }
    }
    let from = fork.lead_on().await;
    match timeout(SOON, watcher.next()).await.unwrap() {
        Err(ClientError::Problem(problem)) => is_led_on(&problem, from),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_open_long_poll_is_answered_409_and_an_open_stream_ends() {
    let mut fork = Fork::new().await;
    let head = *fork.world.chain.state.head();
    let mut stream = fork.client().stream(fork.lost, head.hash, None).await.unwrap();
    assert!(matches!(stream.next().await.unwrap(), Frame::Heartbeat { .. }));
    let (client, query) = (fork.client(), fork.behind(fork.lost));
    let polled = tokio::spawn(async move { client.poll(&query, Duration::from_secs(60)).await });
    // It must be there before the chain is left.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!polled.is_finished());
    let from = fork.lead_on().await;
    match timeout(SOON, polled).await.unwrap().unwrap() {
        Err(ClientError::Problem(problem)) => is_led_on(&problem, from),
        other => panic!("{other:?}"),
    }
    match timeout(SOON, stream.next()).await.unwrap().unwrap() {
        Frame::End { problem } => assert_eq!(problem.code, Code::WrongChain),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_commit_replaced_is_told_of_its_own_chain() {
    let mut fork = Fork::new().await;
    fork.lead_on().await;
    let query = WatchQuery { values: Values::Both, ..fork.behind(2) };
    let mut watch = fork.client().watch(&query).await.unwrap();
    fork.kept.commit("ann", vec![json("n", "k", "4")]).await;
    let change = commit(&mut watch).await.changes.remove(0);
    let old = change.old.unwrap().unwrap();
    assert_eq!((old.mod_revision, old.value.unwrap().get()), (1, "1"));
}
