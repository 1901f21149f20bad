//! From what the replica saw to the handles: the one task that swaps values.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use headwater_replica::Seen;
use tokio::sync::mpsc;

use crate::core::Core;
use crate::registry::Offer;
use crate::slot::panic_text;
use crate::trace::hand_over;

/// How many steps of the replica may wait, each with its record of at most 2 MiB. More hides a slow validator for longer;
/// fewer makes the replica wait for it sooner.
pub(crate) const WAITING_STEPS: usize = 64;
/// How many steps are taken at once: a key that changed in several of them is looked at once.
const STEPS_AT_ONCE: usize = 64;

/// Runs until the replica ends.
pub(crate) async fn dispatch(core: Arc<Core>, mut steps: mpsc::Receiver<Seen>) {
    let mut batch = Vec::with_capacity(STEPS_AT_ONCE);
    while steps.recv_many(&mut batch, STEPS_AT_ONCE).await > 0 {
        // What is caught up with is no story of now.
        let is_live = core.replica.is_live();
        let spans: Vec<_> = batch.iter().filter(|_| is_live).filter_map(hand_over).collect();
        let due = core.registry.take_in(batch.drain(..));
        let Some(view) = due.view else { continue };
        for offer in &due.offers {
            make(offer);
        }
        core.processed.send_replace(view.revision());
        drop(spans);
    }
}

/// A slot that panics (a value of the service's own may when it is dropped) harms only itself.
fn make(offer: &Offer) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| offer.slot.offer(&offer.steps))) {
        let (key, panic) = (offer.slot.place().as_str(), panic_text(&*panic));
        tracing::error!(key, panic, "a handle's value panicked");
    }
}
