//! Any one broker killed or paused, and leaders moved: writes go on within seconds, and nothing is lost.

use std::time::Duration;

use headwater_tests::cluster::{Cluster, NODES, Turn};
use headwater_tests::field::Field;
use headwater_tests::storm::Storm;

use crate::{in_turn, short_or_long};

/// How long a publisher's writes may stand still when a broker is killed, Kafka's own recovery of 2 to 4 s included.
const KILLED: Duration = Duration::from_secs(5);
/// And when one is paused, its connections alive: a request to it has to time out first.
const PAUSED: Duration = Duration::from_secs(8);
/// And when a leader is moved in order; the two JVMs that move it take the cores of a small machine meanwhile.
const MOVED: Duration = Duration::from_secs(4);
/// How often a fault is tried before it counts as too slow: a machine that does something else may be late once.
const TRIES: usize = 2;
/// How long a broker stays away.
const AWAY: Duration = Duration::from_secs(10);
/// How long writes go on after a fault.
const AFTER: Duration = Duration::from_secs(2);

/// Lets both publishers write while `fault` comes and goes, and gives the longest time in which one of them wrote
/// nothing. `fault` goes on for as long as that is allowed after the last thing it does: else a publisher that never
/// writes again would pass.
async fn longest_gap(
    cluster: &mut Turn,
    field: &Field,
    fault: impl AsyncFnOnce(&mut Turn),
) -> Duration {
    let storm = Storm::on(&field.hosts(), 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    fault(cluster).await;
    tokio::time::sleep(AFTER).await;
    let fates = storm.end().await;
    let gap = fates.longest_gap();
    field.agreed().await;
    fates.assert_told_truly(&field.chain().await);
    gap
}

/// Tries a fault until no publisher stood still for longer than `bound`.
async fn within(
    cluster: &mut Turn,
    bound: Duration,
    what: &str,
    mut try_once: impl AsyncFnMut(&mut Turn) -> Duration,
) {
    let mut gaps = Vec::new();
    for _ in 0..TRIES {
        let gap = try_once(cluster).await;
        println!("{what}: a publisher without a write for {gap:?}");
        gaps.push(gap);
        if gap <= bound {
            return;
        }
    }
    panic!("{what}: a publisher without a write for {gaps:?}, and {bound:?} are allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_broker_may_be_killed_and_writes_go_on_within_5_s() {
    in_turn(async |cluster| {
        for id in 1..=NODES {
            within(cluster, KILLED, &format!("broker {id} killed"), async |cluster| {
                let field = cluster.field(2, 1);
                let gap = longest_gap(cluster, &field, async |cluster| {
                    cluster.node(id).kill9();
                    tokio::time::sleep(AWAY).await;
                })
                .await;
                cluster.heal();
                gap
            })
            .await;
        }
    })
    .await;
}

/// Pauses the broker that `which` gives for a stream's topic, and lets it go on.
async fn paused(cluster: &mut Turn, what: &str, which: impl Fn(&Cluster, &str) -> usize) {
    within(cluster, PAUSED, &format!("{what} paused"), async |cluster| {
        let field = cluster.field(2, 1);
        let id = which(cluster, &field.topic());
        let gap = longest_gap(cluster, &field, async |cluster| {
            cluster.node(id).pause();
            tokio::time::sleep(AWAY).await;
            cluster.node(id).resume();
            tokio::time::sleep(PAUSED).await;
        })
        .await;
        cluster.heal();
        gap
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_and_a_follower_may_be_paused_and_writes_go_on_within_8_s() {
    in_turn(async |cluster| {
        let leader = |cluster: &Cluster, topic: &str| cluster.leader(topic).expect("a leader");
        paused(cluster, "the leader", leader).await;
        paused(cluster, "a follower", Cluster::follower).await;
        // Each of them in a long run: one of them leads the cluster itself.
        for id in 1..=short_or_long(0, NODES) {
            paused(cluster, &format!("broker {id}"), |_, _| id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_moves_in_order_is_followed_at_once() {
    in_turn(async |cluster| {
        for _ in 0..short_or_long(2, 10) {
            within(cluster, MOVED, "leader moved", async |cluster| {
                let field = cluster.field(2, 1);
                let to = cluster.follower(&field.topic());
                let gap = longest_gap(cluster, &field, async |cluster| {
                    tokio::task::block_in_place(|| cluster.move_leader(&field.topic(), to));
                    tokio::time::sleep(MOVED).await;
                })
                .await;
                assert_eq!(cluster.leader(&field.topic()), Some(to));
                gap
            })
            .await;
        }
    })
    .await;
}
