//! Whose turn it is to write the table: whoever is assigned the one partition of `<stream>.lease`.
//!
//! ```text
//!  a thread: subscribe ─▶ poll, poll, poll … ─▶ leave the group
//!                          │ assigned  → held
//!                          └ revoked, or no word of the coordinator for the session's time → not held
//! ```
//!
//! A lease says only who should try: what makes sure that one writes is the fencing of the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::Lease;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::{oneshot, watch};

use crate::client::{Hearing, config, millis};
use crate::settings::KafkaSettings;

/// How long one poll waits: at most so long after its end is asked for, the group is left.
const POLL: Duration = Duration::from_millis(100);

/// How long a release waits for the group to know.
const RELEASE: Duration = Duration::from_millis(500);

/// A place in line, and the turn once it comes.
#[derive(Debug)]
pub(crate) struct KafkaLease {
    held: watch::Receiver<bool>,
    stop: Arc<AtomicBool>,
    /// Told when the group was left.
    left: Option<oneshot::Receiver<()>>,
}

impl KafkaLease {
    /// Joins the group. Blocks for a moment.
    pub(crate) fn stand_in_line(settings: &KafkaSettings, timeout: Duration) -> KafkaResult<Self> {
        let (sender, held) = watch::channel(false);
        let turn = Hearing::new(settings, Turn { held: sender });
        let client: BaseConsumer<Hearing<Turn>> =
            consumer_config(settings, timeout).create_with_context(turn)?;
        client.subscribe(&[&settings.lease_topic()])?;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("headwater-lease".into());
        let (leaves, left) = oneshot::channel();
        let started = thread.spawn(move || {
            keep(client, &asked);
            // Nobody may wait for it.
            let _ = leaves.send(());
        });
        started.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { held, stop, left: Some(left) })
    }
}

impl Lease for KafkaLease {
    fn held(&self) -> watch::Receiver<bool> {
        self.held.clone()
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let left = self.left.take();
        drop(self);
        async move {
            if let Some(left) = left {
                drop(tokio::time::timeout(RELEASE, left).await);
            }
        }
        .boxed()
    }
}

impl Drop for KafkaLease {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Polls until it is to end: only that keeps a member in its group.
fn keep(client: BaseConsumer<Hearing<Turn>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        // Nobody writes to the topic, and an error either ends the assignment or mends itself.
        if let Some(Err(error)) = client.poll(POLL) {
            tracing::debug!(%error, "the lease of the table");
        }
    }
    client.context().hears.held.send_replace(false);
    // Leaves the group, on this thread: with the coordinator away that can take long.
    drop(client);
}

fn consumer_config(settings: &KafkaSettings, timeout: Duration) -> ClientConfig {
    let mut config = config(settings, "lease");
    config
        .set("group.id", settings.lease_group())
        .set("session.timeout.ms", millis(timeout))
        .set("heartbeat.interval.ms", millis((timeout / 4).max(Duration::from_millis(1))))
        .set("max.poll.interval.ms", millis(timeout.max(Duration::from_secs(10))))
        // Whoever joins takes nothing from the one who has the turn.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "latest");
    config
}

/// Hears of assignments.
#[derive(Debug)]
struct Turn {
    held: watch::Sender<bool>,
}

impl ConsumerContext for Hearing<Turn> {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(partitions) if partitions.count() > 0 => {
                self.hears.held.send_replace(false);
            }
            Rebalance::Error(_) => {
                self.hears.held.send_replace(false);
            }
            Rebalance::Assign(_) | Rebalance::Revoke(_) => {}
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance
            && partitions.count() > 0
        {
            self.hears.held.send_replace(true);
        }
    }
}
