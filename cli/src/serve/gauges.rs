//! Metrics that nothing sets by itself: they are taken when somebody asks.

use std::sync::Arc;

use headwater_log_embedded::EmbeddedLog;
use headwater_replica::Replica;
use headwater_snapshotter::Snapshotter;

use crate::serve::self_config::SelfConfig;

/// The parts that have such.
pub(super) struct Gauges {
    pub(super) replica: Replica,
    pub(super) snapshotter: Option<Snapshotter>,
    pub(super) embedded: Option<Arc<EmbeddedLog>>,
    pub(super) log_filter: Option<SelfConfig>,
}

impl Gauges {
    pub(super) fn refresh(&self) {
        self.replica.refresh_metrics();
        self.snapshotter.iter().for_each(Snapshotter::refresh_metrics);
        self.embedded.iter().for_each(|log| log.refresh_metrics());
        self.log_filter.iter().for_each(SelfConfig::refresh_metrics);
    }
}
