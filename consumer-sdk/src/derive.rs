//! A value made of many keys: whatever a service computes from all that stands under a prefix.

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use headwater_replica::View as State;

use crate::error::ValueError;
use crate::overlay::Overlay;
use crate::provenance::Provenance;
use crate::recipe::{Made, Recipe};
use crate::step::Step;
use crate::value::Value;
use crate::view::View;

/// What stood under a prefix: with any put the newest revision grows, and without one the number of entries falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    era: u64,
    entries: usize,
    newest: u64,
}

/// The recipe of a derived value.
pub(crate) struct Derived<F> {
    prefix: Arc<str>,
    overlay: Overlay,
    build: F,
    seen: Option<Extent>,
}

impl<F> Derived<F> {
    pub(crate) fn new(prefix: &str, overlay: Overlay, build: F) -> Self {
        Self { prefix: prefix.into(), overlay, build, seen: None }
    }

    /// In all layers: what is covered counts as well.
    fn extent(&self, state: &State) -> Extent {
        let layers = self.overlay.names();
        let entries = layers.flat_map(|name| state.entries(name, &self.prefix, None));
        let nothing = Extent { era: state.era(), entries: 0, newest: 0 };
        entries.fold(nothing, |so_far, (_, entry)| Extent {
            entries: so_far.entries + 1,
            newest: so_far.newest.max(entry.mod_revision),
            ..so_far
        })
    }
}

impl<T, E, F> Recipe<T> for Derived<F>
where
    E: Into<Box<dyn Error + Send + Sync>>,
    F: FnMut(&View) -> Result<T, E> + Send,
{
    fn changed(&mut self, step: &Step) -> bool {
        // A commit is only shown to those whose keys it touched.
        step.applied.is_some() || self.seen != Some(self.extent(&step.view))
    }

    fn make(&mut self, state: Option<&Arc<State>>) -> Result<Option<Made<T>>, ValueError> {
        self.seen = state.map(|state| self.extent(state));
        let view = View::new(state.cloned(), self.overlay.clone()).under(self.prefix.clone());
        let built = (self.build)(&view);
        let value = built.map_err(|error| blamed(&*error.into(), &self.prefix, view.revision()))?;
        let value = Value {
            value,
            revision: view.revision(),
            committed_at_ms: state.map(|state| state.head().at_ms),
            origin: None,
            applied_at: SystemTime::now(),
        };
        Ok(Some(Made { value, by: Provenance::up_to(view.revision()) }))
    }
}

/// The key that an error names, itself or as its cause; else it is the prefix's.
fn blamed(error: &(dyn Error + Send + Sync + 'static), prefix: &str, revision: u64) -> ValueError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(named) = this.downcast_ref::<ValueError>() {
            return named.clone();
        }
        cause = this.source();
    }
    let reason = error.to_string();
    ValueError { namespace: String::new(), key: prefix.to_owned(), revision, reason }
}
