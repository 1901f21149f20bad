//! Several publishers and snapshotters on a real cluster of three brokers, of which any may die.
//!
//! The tests take turns with one cluster. With `HEADWATER_LONG=1` (`make test-cluster`) those under load last longer,
//! every broker is paused, and leaders move more often.

mod demo;
mod faults;
mod identity;
mod mending;
mod outage;
mod recreated;
mod several;

use std::time::Duration;

use headwater_tests::cluster::{Turn, turn};

/// How long one test may take, its turn's wait not counted.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs a claim in its turn; it must not hang.
async fn in_turn(claim: impl AsyncFnOnce(&mut Turn)) {
    let mut turn = turn().await;
    let ended = tokio::time::timeout(LIMIT, claim(&mut turn)).await;
    assert!(ended.is_ok(), "the test still runs after {LIMIT:?}");
}

/// The first in a short run, the second in a long one.
fn short_or_long<T>(short: T, long: T) -> T {
    if std::env::var_os("HEADWATER_LONG").is_some_and(|long| long == "1") { long } else { short }
}
