//! Every fault at once, over many seeds: no acknowledged write is lost, no refused one is visible, keys land once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_log::{FaultPlan, Faulty, Log, MemoryLog};
use headwater_publisher::{Refusal, Settings, Writer, Written};

use crate::chain::audit;
use crate::harness::{Publisher, eventually, founded, keyed, put};

/// How long a keyed write may take to get through a storm.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client was told of the value it put.
#[derive(Debug)]
struct Told {
    value: String,
    answer: Result<u64, Refusal>,
}

async fn client(writer: Writer, name: String, writes: usize) -> Vec<Told> {
    let mut told = Vec::new();
    for i in 0..writes {
        let value = format!("{name}-{i}");
        let is_keyed = i % 2 == 0;
        let write = put(&format!("k{}", i % 3), &value);
        // A keyed write is retried until it is known, through pauses of the breaker that double up to 2 s; any other
        // is sent once.
        let give_up = Instant::now() + PATIENCE;
        let answer = loop {
            let write = if is_keyed { keyed(&value, write.clone()) } else { write.clone() };
            let answer = match writer.write(write).await {
                Ok(Written::Committed { receipt, .. }) => Ok(receipt.body.revision),
                Ok(Written::DryRun(_) | Written::Unchanged(_)) => panic!("no put"),
                Err(refusal) => Err(refusal),
            };
            if answer.is_ok() || !is_keyed || Instant::now() > give_up {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(answer.is_ok() || !is_keyed, "{value} never got through: {answer:?}");
        told.push(Told { value, answer });
    }
    told
}

async fn storm(seed: u64, plan: FaultPlan) {
    let log: Arc<MemoryLog> = founded().await;
    let settings = Settings { outcome_timeout_ms: 300, ..Settings::default() };
    let faulty: Vec<_> =
        (0..2).map(|i| Arc::new(Faulty::new(log.clone(), FaultPlan::NONE, seed * 2 + i))).collect();
    let mut publishers = Vec::new();
    for log in &faulty {
        publishers
            .push(Publisher::start(log.clone() as Arc<dyn Log>, settings.clone(), None).await);
        log.set_plan(plan);
    }
    let clients = publishers.iter().enumerate().flat_map(|(p, publisher)| {
        (0..4).map(move |c| tokio::spawn(client(publisher.writer.clone(), format!("p{p}c{c}"), 8)))
    });
    let clients: Vec<_> = clients.collect();
    let mut told = Vec::new();
    for client in clients {
        told.extend(client.await.unwrap());
    }
    for log in &faulty {
        log.set_plan(FaultPlan::NONE);
        log.release().await;
    }
    for publisher in &publishers {
        eventually("the storm is over", || publisher.writer.is_ready()).await;
    }
    let audit = audit(&log);
    for Told { value, answer } in &told {
        let times = audit.times(value);
        match answer {
            Ok(revision) => {
                assert_eq!(times, 1, "seed {seed}: {value} was acknowledged");
                let (_, commit) = &audit.commits[usize::try_from(*revision).unwrap() - 1];
                assert!(
                    format!("{:?}", commit.changes).contains(value.as_str()),
                    "seed {seed}: {value} at {revision}"
                );
            }
            Err(Refusal::OutcomeUnknown) => {
                assert!(times <= 1, "seed {seed}: {value} is there {times} times")
            }
            Err(refusal) => assert_eq!(times, 0, "seed {seed}: {value} was refused: {refusal:?}"),
        }
    }
    let head = *audit.state.head();
    for publisher in &publishers {
        eventually("the head is reached", || {
            publisher.replica.view().is_some_and(|view| *view.head() == head)
        })
        .await;
    }
}

/// Seeds to run: `HEADWATER_SEED=17` plays one again.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_every_kind_break_no_promise() {
    for seed in seeds(25) {
        println!("storm, seed {seed}: replay with HEADWATER_SEED={seed}");
        storm(seed, FaultPlan::every(60)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zombies_and_lost_appends_break_no_promise() {
    for seed in seeds(15) {
        println!("zombies, seed {seed}: replay with HEADWATER_SEED={seed}");
        let plan = FaultPlan { drop: 200, delay: 200, delay_appends: 20, ..FaultPlan::NONE };
        storm(1_000 + seed, plan).await;
    }
}
