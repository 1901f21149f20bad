//! The formulae: what a tree of relays needs and gives, from figures that were measured for one of each.

use clap::Args;

/// A tree of relays: instances at the leaves, one root that follows the log.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Plan {
    /// Processes that embed the SDK.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) instances: usize,
    /// Instances on one leaf relay.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) per_leaf: usize,
    /// Relays that follow one relay.
    #[arg(long, default_value_t = 50)]
    pub(crate) per_relay: usize,
}

/// What one of each costs, as measured; see `docs/scale.md`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Units {
    /// Commits a second.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) commits_per_s: f64,
    /// Bytes of one commit's frame on the wire.
    #[arg(long, default_value_t = 464.0)]
    pub(crate) frame_bytes: f64,
    /// Bytes of a heartbeat on the wire, every 5 s.
    #[arg(long, default_value_t = 95.0)]
    pub(crate) heartbeat_bytes: f64,
    /// What a relay's core needs to send one frame to one client, in microseconds.
    #[arg(long, default_value_t = 17.0)]
    pub(crate) send_us: f64,
    /// From one process to the next and applied there, in microseconds: the mean; it varies up to twice that.
    #[arg(long, default_value_t = 300.0)]
    pub(crate) hop_us: f64,
    /// Bytes of the image that a start without a cache takes.
    #[arg(long, default_value_t = 2e6)]
    pub(crate) image_bytes: f64,
    /// What one relay can send, bytes a second.
    #[arg(long, default_value_t = 1.25e9)]
    pub(crate) link_bytes_s: f64,
}

impl Default for Units {
    fn default() -> Self {
        Self {
            commits_per_s: 2.0,
            frame_bytes: 464.0,
            heartbeat_bytes: 95.0,
            send_us: 17.0,
            hop_us: 300.0,
            image_bytes: 2e6,
            link_bytes_s: 1.25e9,
        }
    }
}

/// How often a relay says where the head is, in seconds.
pub(crate) const HEARTBEAT_S: f64 = 5.0;

impl Plan {
    /// How many follow each relay of a level, from the root to the leaves, on average.
    pub(crate) fn fans(&self) -> Vec<f64> {
        let widths = self.widths();
        let below = widths.iter().skip(1).copied().chain([self.instances]);
        widths.iter().zip(below).map(|(relays, below)| below as f64 / *relays as f64).collect()
    }

    /// How many relays each level has, from the root to the leaves.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let mut widths = vec![self.instances.div_ceil(self.per_leaf.max(1)).max(1)];
        while let Some(width) = widths.last().filter(|width| **width > 1) {
            widths.push(width.div_ceil(self.per_relay.max(2)));
        }
        widths.reverse();
        widths
    }

    pub(crate) fn relays(&self) -> usize {
        self.widths().iter().sum()
    }

    /// A commit waits at each level until half of the relay's clients were served, then takes a hop.
    pub(crate) fn mean_ms(&self, units: &Units) -> f64 {
        let level = |fan: &f64| (fan + 1.0) / 2.0 * units.send_us + units.hop_us;
        self.fans().iter().map(level).sum::<f64>() / 1_000.0
    }

    /// The last instance is the last client of the last relay of each level, and its hops are slow.
    pub(crate) fn last_ms(&self, units: &Units) -> f64 {
        let level = |fan: &f64| fan * units.send_us;
        let waits: f64 = self.fans().iter().map(level).sum();
        // Of many clients behind the same wait, one has the slowest hop at the leaf; above, hops are as they are.
        let above = (self.fans().len() - 1) as f64 * units.hop_us * 1.5;
        (waits + above + 2.0 * units.hop_us) / 1_000.0
    }

    fn mb_s(fan: f64, units: &Units) -> f64 {
        let each = units.commits_per_s * units.frame_bytes + units.heartbeat_bytes / HEARTBEAT_S;
        fan * each / 1e6
    }

    /// What a leaf relay sends while its clients follow.
    pub(crate) fn leaf_mb_s(&self, units: &Units) -> f64 {
        Self::mb_s(self.fans().last().copied().unwrap_or(0.0), units)
    }

    /// What the root sends.
    pub(crate) fn root_mb_s(&self, units: &Units) -> f64 {
        Self::mb_s(self.fans().first().copied().unwrap_or(0.0), units)
    }

    /// How busy a leaf relay's core is with sending, in per cent.
    pub(crate) fn leaf_busy(&self, units: &Units) -> f64 {
        let frames = units.commits_per_s + 1.0 / HEARTBEAT_S;
        self.fans().last().copied().unwrap_or(0.0) * frames * units.send_us / 1e6 * 100.0
    }

    /// All instances start at once with empty caches: each leaf's link sends one image after another.
    pub(crate) fn all_up_s(&self, units: &Units) -> f64 {
        self.fans().last().copied().unwrap_or(0.0) * units.image_bytes / units.link_bytes_s
    }

    pub(crate) fn half_up_s(&self, units: &Units) -> f64 {
        self.all_up_s(units) / 2.0
    }
}
