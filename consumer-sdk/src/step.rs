//! One step of the replica, as a slot sees it.

use std::sync::Arc;

use headwater_replica::{Applied, View};

/// What makes a state newer than another one: its era, then its revision.
pub(crate) type Age = (u64, u64);

/// A state, and the commit that led to it if it came by itself.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) view: Arc<View>,
    /// None for a state that was taken whole: anything may have changed.
    pub(crate) applied: Option<Arc<Applied>>,
}

impl Step {
    /// A state that was taken whole.
    pub(crate) fn whole(view: Arc<View>) -> Self {
        Self { view, applied: None }
    }

    pub(crate) fn age(&self) -> Age {
        (self.view.era(), self.view.revision())
    }
}
