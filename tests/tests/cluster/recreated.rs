//! A Kafka topic that was deleted and filled anew is another history, whatever its offsets: a server that followed
//! the old one acknowledges nothing, serves its last good state, and says why.

use std::time::{Duration, Instant};

use headwater_tests::cluster::Cluster;
use headwater_tests::http::{Answer, Ask};
use headwater_tests::process::Headwater;
use headwater_tests::stand::Stand;
use headwater_tests::{load, topic};

use crate::in_turn;

const OLD: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(60);

/// How the server comes to meet the new topic.
#[derive(Clone, Copy, PartialEq)]
enum Meets {
    /// It was down meanwhile, and starts from its data.
    Restarted,
    /// It was down, and its replica's last state is gone: images are left.
    RestartedWithoutItsCache,
    /// It ran all the time.
    Running,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_a_topic_filled_anew_and_shorter_acknowledges_nothing_and_says_why() {
    in_turn(async |cluster| acknowledges_nothing(cluster, Meets::Restarted, 10).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_a_topic_filled_anew_and_longer_acknowledges_nothing_and_says_why() {
    in_turn(async |cluster| acknowledges_nothing(cluster, Meets::Restarted, OLD * 3).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_its_cache_on_a_topic_filled_anew_acknowledges_nothing_and_says_why() {
    in_turn(async |cluster| {
        acknowledges_nothing(cluster, Meets::RestartedWithoutItsCache, OLD * 3).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_while_its_topic_is_filled_anew_and_longer_acknowledges_nothing_and_says_why()
 {
    in_turn(async |cluster| acknowledges_nothing(cluster, Meets::Running, OLD * 3).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_while_its_topic_is_filled_anew_and_shorter_acknowledges_nothing_and_says_why()
 {
    in_turn(async |cluster| acknowledges_nothing(cluster, Meets::Running, 10).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_an_empty_topic_founds_no_second_stream() {
    in_turn(async |cluster| {
        let mut old = filled(cluster, OLD).await;
        old.server.kill9();
        let topic = format!("{}.commits", old.stream());
        topic::delete(&cluster.bootstrap(), &topic).await;
        old.server.restart_unready();
        let refused = refused_with_its_cause(&mut old, Meets::Restarted).await;
        assert!(refused, "a stream that was followed once is not founded again");
    })
    .await;
}

/// `length` writes to a stream of its own.
async fn filled(cluster: &Cluster, length: u64) -> Stand {
    // A table would be a witness: nobody would found another stream beside it.
    let stand = Stand::without_a_table(&cluster.bootstrap());
    fill(&stand.server, length, "old").await;
    stand
}

async fn fill(server: &Headwater, length: u64, value: &'static str) {
    load::acknowledged(server.host(), 1, length, move |number| {
        Ask::put(format!("/v1/config/app/k{}", number % 10), format!("\"{value}\""))
    })
    .await;
}

async fn acknowledges_nothing(cluster: &Cluster, meets: Meets, length: u64) {
    let mut old = filled(cluster, OLD).await;
    let before = old.status().await;
    if meets != Meets::Running {
        assert_eq!(old.server.terminate(PATIENCE), 0);
    }
    if meets == Meets::RestartedWithoutItsCache {
        std::fs::remove_dir_all(old.data().join("replica")).unwrap();
    }
    topic::delete(&cluster.bootstrap(), &format!("{}.commits", old.stream())).await;
    let new = old.another();
    fill(&new.server, length, "new").await;
    let theirs = new.status().await;
    assert_ne!(theirs.stream_id, before.stream_id);

    if meets != Meets::Running {
        old.server.restart_unready();
    }
    assert!(refused_with_its_cause(&mut old, meets).await);

    let status = old.status().await;
    assert_eq!(status.phase, "read_only", "{status:?}");
    assert_eq!(status.stream_id, before.stream_id, "{status:?}");
    // Without its cache, the newest state of a server is that of its newest image.
    if meets != Meets::RestartedWithoutItsCache {
        // Reads go on from the last good state …
        let read = old.ask(Ask::get("/v1/config/app/k1")).await.is(200);
        assert_eq!(read.text(), "\"old\"");
        assert_eq!(
            (status.revision, status.hash, status.digest),
            (before.revision, before.hash, before.digest)
        );
    }
    // … and nothing reached the new history.
    let after = new.status().await;
    assert_eq!((after.revision, after.hash), (theirs.revision, theirs.hash));
    assert_eq!(new.chain().await.len() as u64, length);
    let again = put(&old).await;
    assert_refused(&again);
}

async fn put(stand: &Stand) -> Answer {
    stand.ask(Ask::put("/v1/config/app/k1", "\"never\"")).await
}

/// Asks until the refusal names the cause; until then nothing may be acknowledged, not even once.
async fn refused_with_its_cause(stand: &mut Stand, meets: Meets) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(stand.server.exit().is_none(), "it ended:\n{}", stand.server.log());
        assert!(Instant::now() < deadline, "no cause was named:\n{}", stand.server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
        // While it starts, nobody listens.
        let Ok(mut line) = stand.connect().await else { continue };
        let Ok(answer) = line.send(&Ask::put("/v1/config/app/k1", "\"never\"")).await else {
            continue;
        };
        // One that ran learns it by the write itself, whose fate may be open then.
        if meets == Meets::Running && answer.status == 504 {
            continue;
        }
        assert_refused(&answer);
        let detail = answer.json::<serde_json::Value>()["detail"].to_string();
        // One that started on no topic at all says so, and makes none.
        if detail.contains("recreated") || detail.contains("does not exist") {
            return true;
        }
    }
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.header("retry-after").is_empty());
}
