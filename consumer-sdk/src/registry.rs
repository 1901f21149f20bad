//! Which slots there are, found by key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use headwater_replica::{Seen, View};

use crate::slot::{AnySlot, Place};
use crate::status::HandleStatus;
use crate::step::Step;

/// The live slots, and the newest state that was given to them.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    keys: HashMap<String, Vec<Weak<dyn AnySlot>>>,
    /// Those that look at all keys under a prefix: few.
    prefixes: Vec<Weak<dyn AnySlot>>,
    registered: usize,
    /// How many may be registered before the dead are swept out.
    sweep_at: usize,
    current: Option<Arc<View>>,
    closed: bool,
}

/// What one slot must look at.
pub(crate) struct Offer {
    pub(crate) slot: Arc<dyn AnySlot>,
    /// In order.
    pub(crate) steps: Vec<Step>,
}

/// What some steps of the replica lead to.
#[derive(Default)]
pub(crate) struct Due {
    /// The newest state.
    pub(crate) view: Option<Arc<View>>,
    pub(crate) offers: Vec<Offer>,
    /// Which offer is whose, by where the slots lie: each has one.
    known: HashMap<usize, usize>,
}

impl Due {
    fn add(&mut self, slot: &Weak<dyn AnySlot>, step: &Step) {
        let Some(slot) = slot.upgrade() else { return };
        let next = self.offers.len();
        let at = *self.known.entry(Arc::as_ptr(&slot).addr()).or_insert(next);
        if at == next {
            self.offers.push(Offer { slot, steps: Vec::new() });
        }
        let steps = &mut self.offers[at].steps;
        // A commit may touch many keys of one slot.
        if steps.last().is_none_or(|last| !Arc::ptr_eq(&last.view, &step.view)) {
            steps.push(step.clone());
        }
    }
}

impl Registry {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot in and has it look at the newest state. No change slips between the two: what comes after the
    /// slot was taken in is offered to it as well, and an offer that is not newer is passed over.
    pub(crate) fn register(&self, slot: &Arc<dyn AnySlot>) {
        let (view, closed) = {
            let mut inner = self.inner();
            inner.add(slot);
            (inner.current.clone(), inner.closed)
        };
        if let Some(view) = view {
            slot.offer(&[Step::whole(view)]);
        }
        if closed {
            slot.close();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// Takes in what the replica saw and says who must look at what.
    pub(crate) fn take_in(&self, steps: impl Iterator<Item = Seen>) -> Due {
        let mut due = Due::default();
        let mut inner = self.inner();
        for step in steps {
            match step {
                Seen::Reset { view } => {
                    let step = Step::whole(view.clone());
                    inner.all().for_each(|slot| due.add(slot, &step));
                    due.view = Some(view);
                }
                Seen::Applied { applied, view } => {
                    let step = Step { view: view.clone(), applied: Some(applied.clone()) };
                    for effect in &applied.effects {
                        let (namespace, key) = (effect.namespace.as_str(), effect.key.as_str());
                        inner.touched(namespace, key, &step, &mut due);
                    }
                    due.view = Some(view);
                }
                Seen::Advanced { view } => due.view = Some(view),
                Seen::Ignored { .. }
                | Seen::Marker { .. }
                | Seen::AtEnd { .. }
                | Seen::Alarm(_) => {}
            }
        }
        if let Some(view) = &due.view {
            inner.current = Some(view.clone());
        }
        due
    }

    /// One account of each live slot, in order of key.
    pub(crate) fn statuses(&self) -> Vec<HandleStatus> {
        let slots = self.inner().live();
        let mut statuses: Vec<_> = slots.iter().map(|slot| slot.status()).collect();
        statuses.sort_by(|a, b| a.key.cmp(&b.key));
        statuses
    }

    /// Nothing will change any more.
    pub(crate) fn close(&self) {
        let slots = {
            let mut inner = self.inner();
            inner.closed = true;
            inner.live()
        };
        slots.iter().for_each(|slot| slot.close());
    }
}

impl Inner {
    fn add(&mut self, slot: &Arc<dyn AnySlot>) {
        if self.registered >= self.sweep_at.max(64) {
            self.sweep();
        }
        match slot.place() {
            Place::Key(key) => self.keys.entry(key.clone()).or_default().push(Arc::downgrade(slot)),
            Place::Under(_) => self.prefixes.push(Arc::downgrade(slot)),
        }
        self.registered += 1;
    }

    fn all(&self) -> impl Iterator<Item = &Weak<dyn AnySlot>> {
        self.keys.values().flatten().chain(&self.prefixes)
    }

    /// Forgets slots whose handles are gone, so that short-lived handles do not pile up.
    fn sweep(&mut self) {
        let lives = |slot: &Weak<dyn AnySlot>| slot.strong_count() > 0;
        self.prefixes.retain(lives);
        self.keys.retain(|_, slots| {
            slots.retain(lives);
            !slots.is_empty()
        });
        self.registered = self.all().count();
        self.sweep_at = self.registered * 2;
    }

    fn live(&self) -> Vec<Arc<dyn AnySlot>> {
        self.all().filter_map(Weak::upgrade).collect()
    }

    fn touched(&self, namespace: &str, key: &str, step: &Step, due: &mut Due) {
        for slot in self.keys.get(key).into_iter().flatten().chain(&self.prefixes) {
            if slot.upgrade().is_some_and(|slot| looks_at(&*slot, namespace, key)) {
                due.add(slot, step);
            }
        }
    }
}

fn looks_at(slot: &dyn AnySlot, namespace: &str, key: &str) -> bool {
    let here = match slot.place() {
        Place::Key(mine) => mine == key,
        Place::Under(prefix) => key.starts_with(prefix.as_str()),
    };
    here && slot.overlay().contains(namespace)
}
