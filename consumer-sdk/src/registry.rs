//! Which slots there are, found by key.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use headwater_replica::{Seen, View};

use crate::slot::AnySlot;
use crate::status::HandleStatus;

/// The live slots, and the newest state that was given to them.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    slots: HashMap<String, Vec<Weak<dyn AnySlot>>>,
    registered: usize,
    /// How many may be registered before the dead are swept out.
    sweep_at: usize,
    current: Option<Arc<View>>,
    closed: bool,
}

/// What some steps of the replica lead to.
#[derive(Default)]
pub(crate) struct Due {
    /// The newest state.
    pub(crate) view: Option<Arc<View>>,
    /// The slots that must look at it.
    pub(crate) slots: Vec<Arc<dyn AnySlot>>,
    /// Where those slots lie, so that each is among them once.
    known: HashSet<usize>,
}

impl Due {
    fn add(&mut self, slot: &Weak<dyn AnySlot>) {
        if let Some(slot) = slot.upgrade()
            && self.known.insert(Arc::as_ptr(&slot).addr())
        {
            self.slots.push(slot);
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
            slot.offer(&view);
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
                    inner.slots.values().flatten().for_each(|slot| due.add(slot));
                    due.view = Some(view);
                }
                Seen::Applied { applied, view } => {
                    for effect in &applied.effects {
                        inner.touched(effect.namespace.as_str(), effect.key.as_str(), &mut due);
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
        self.slots.entry(slot.key().to_owned()).or_default().push(Arc::downgrade(slot));
        self.registered += 1;
    }

    /// Forgets slots whose handles are gone, so that short-lived handles do not pile up.
    fn sweep(&mut self) {
        self.slots.retain(|_, slots| {
            slots.retain(|slot| slot.strong_count() > 0);
            !slots.is_empty()
        });
        self.registered = self.slots.values().map(Vec::len).sum();
        self.sweep_at = self.registered * 2;
    }

    fn live(&self) -> Vec<Arc<dyn AnySlot>> {
        self.slots.values().flatten().filter_map(Weak::upgrade).collect()
    }

    fn touched(&self, namespace: &str, key: &str, due: &mut Due) {
        for slot in self.slots.get(key).into_iter().flatten() {
            if slot.upgrade().is_some_and(|slot| slot.overlay().contains(namespace)) {
                due.add(slot);
            }
        }
    }
}
