//! A bootstrap storm: every instance starts at once without a cache, and a relay turns away whom it cannot serve.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::plan::{Plan, Units};

/// Requests that a server answers at once (`server.max_requests`); the next one is told 429.
const AT_ONCE: usize = 2_048;
/// The longest pause of a client that was told to come back: full jitter up to this, in microseconds.
const BACKOFF_US: u64 = 1_000_000;
/// How far starts lie apart without any jitter: schedulers are not that exact.
const START_US: u64 = 100_000;

/// When how many were up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storm {
    pub(crate) half_up_s: f64,
    pub(crate) all_up_s: f64,
}

/// Lets all instances start at once.
pub(crate) fn storm(plan: &Plan, units: &Units, seed: u64) -> Storm {
    let mut random = StdRng::seed_from_u64(seed);
    let leaves = plan.widths().last().copied().unwrap_or(1);
    let mut up_us = Vec::with_capacity(plan.instances);
    for leaf in 0..leaves {
        let clients = plan.instances / leaves + usize::from(leaf < plan.instances % leaves);
        up_us.extend(at_leaf(clients, units, &mut random));
    }
    up_us.sort_unstable();
    let at = |place: usize| up_us.get(place).copied().unwrap_or(0) as f64 / 1e6;
    Storm { half_up_s: at(plan.instances / 2), all_up_s: at(plan.instances.saturating_sub(1)) }
}

/// When each client of one leaf is up, in microseconds. The link sends one image after another.
fn at_leaf(clients: usize, units: &Units, random: &mut StdRng) -> Vec<u64> {
    let image_us = units.image_bytes / units.link_bytes_s * 1e6;
    let mut asks: BinaryHeap<Reverse<u64>> =
        (0..clients).map(|_| Reverse(random.random_range(0..START_US))).collect();
    let (mut free_us, mut up) = (0.0f64, Vec::with_capacity(clients));
    while let Some(Reverse(at)) = asks.pop() {
        let now = at as f64;
        let waiting = ((free_us - now).max(0.0) / image_us) as usize;
        if waiting >= AT_ONCE {
            asks.push(Reverse(at + 1 + random.random_range(0..BACKOFF_US)));
            continue;
        }
        free_us = free_us.max(now) + image_us;
        up.push(free_us as u64);
    }
    up
}
