//! Following: commits from the root to every instance, each relay serving one client after another.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::plan::{HEARTBEAT_S, Plan, Units};

/// What the simulation saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) relays: usize,
    pub(crate) levels: usize,
    pub(crate) mean_ms: f64,
    pub(crate) last_ms: f64,
    pub(crate) leaf_mb_s: f64,
    pub(crate) root_mb_s: f64,
    pub(crate) leaf_busy: f64,
}

/// One relay: who follows it, and until when it is busy.
#[derive(Debug, Clone)]
struct Relay {
    /// Its relays, by their place; none at a leaf.
    relays: Vec<usize>,
    instances: usize,
    free_at_us: f64,
    busy_us: f64,
    sent_bytes: f64,
}

struct World {
    relays: Vec<Relay>,
    units: Units,
    random: StdRng,
    applied: u64,
    sum_us: f64,
    last_us: f64,
}

/// Lets so many commits run down the tree.
pub(crate) fn spread(plan: &Plan, units: &Units, commits: usize, seed: u64) -> Spread {
    let (relays, levels) = grow(plan);
    let random = StdRng::seed_from_u64(seed);
    let mut world = World { relays, units: *units, random, applied: 0, sum_us: 0.0, last_us: 0.0 };
    let every_us = 1e6 / units.commits_per_s;
    for commit in 0..commits {
        let at_us = commit as f64 * every_us;
        world.commit(0, at_us, at_us);
    }
    let seconds = commits as f64 / units.commits_per_s;
    for relay in &mut world.relays {
        let clients = (relay.relays.len() + relay.instances) as f64;
        let beats = clients * seconds / HEARTBEAT_S;
        relay.sent_bytes += beats * units.heartbeat_bytes;
        relay.busy_us += beats * units.send_us;
    }
    let leaves: Vec<&Relay> = world.relays.iter().filter(|relay| relay.instances > 0).collect();
    let mean = |of: fn(&Relay) -> f64| {
        leaves.iter().map(|relay| of(relay)).sum::<f64>() / leaves.len() as f64 / seconds
    };
    Spread {
        relays: world.relays.len(),
        levels,
        mean_ms: world.sum_us / world.applied as f64 / 1_000.0,
        last_ms: world.last_us / 1_000.0,
        leaf_mb_s: mean(|relay| relay.sent_bytes) / 1e6,
        root_mb_s: world.relays[0].sent_bytes / seconds / 1e6,
        leaf_busy: mean(|relay| relay.busy_us) / 1e6 * 100.0,
    }
}

/// The relays, the root first, and how many levels they make: everything below is shared out evenly.
fn grow(plan: &Plan) -> (Vec<Relay>, usize) {
    let widths = plan.widths();
    let relay =
        Relay { relays: vec![], instances: 0, free_at_us: 0.0, busy_us: 0.0, sent_bytes: 0.0 };
    let mut relays = vec![relay; widths.iter().sum()];
    let mut first = 0;
    for pair in widths.windows(2) {
        let (width, below) = (pair[0], pair[1]);
        for child in 0..below {
            relays[first + child % width].relays.push(first + width + child);
        }
        first += width;
    }
    let leaves = relays.len() - first;
    for instance in 0..plan.instances {
        relays[first + instance % leaves].instances += 1;
    }
    (relays, widths.len())
}

impl World {
    /// A commit made at `made_us` reaches a relay at `at_us`.
    fn commit(&mut self, place: usize, made_us: f64, at_us: f64) {
        let (children, instances) = {
            let relay = &self.relays[place];
            (relay.relays.clone(), relay.instances)
        };
        let mut now = at_us.max(self.relays[place].free_at_us);
        for child in &children {
            now += self.units.send_us;
            let arrives = now + self.hop();
            self.commit(*child, made_us, arrives);
        }
        for _ in 0..instances {
            now += self.units.send_us;
            let took = now + self.hop() - made_us;
            self.applied += 1;
            self.sum_us += took;
            self.last_us = self.last_us.max(took);
        }
        let sent = (children.len() + instances) as f64;
        let relay = &mut self.relays[place];
        relay.free_at_us = now;
        relay.busy_us += sent * self.units.send_us;
        relay.sent_bytes += sent * self.units.frame_bytes;
    }

    /// From nothing to twice the mean.
    fn hop(&mut self) -> f64 {
        self.random.random_range(0.0..2.0) * self.units.hop_us
    }
}
