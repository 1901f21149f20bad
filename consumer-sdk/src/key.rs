//! A value made of one key: the entry of the latest namespace that holds it.

use std::sync::Arc;

use headwater_replica::View;
use headwater_schemas::EntryRef;

use crate::error::ValueError;
use crate::overlay::Overlay;
use crate::recipe::{Made, Recipe};
use crate::step::Step;

/// Makes a value of an entry: of which namespace, which key, and what stands there.
pub(crate) type Decode<T> =
    Box<dyn Fn(&str, &str, EntryRef<'_>) -> Result<T, ValueError> + Send + Sync>;

/// The recipe of a plain handle.
pub(crate) struct OneKey<T> {
    key: String,
    overlay: Overlay,
    decode: Decode<T>,
    /// The layer that won, and the era and the revision of its entry; none while the key is absent.
    seen: Option<(usize, u64, u64)>,
}

impl<T> OneKey<T> {
    pub(crate) fn new(key: &str, overlay: Overlay, decode: Decode<T>) -> Self {
        Self { key: key.to_owned(), overlay, decode, seen: None }
    }
}

impl<T> Recipe<T> for OneKey<T> {
    fn changed(&mut self, step: &Step) -> bool {
        // On another chain, the same revision may have put another value.
        let found = self.overlay.find(&step.view, &self.key);
        let now = found.map(|(layer, entry)| (layer, step.view.era(), entry.mod_revision));
        std::mem::replace(&mut self.seen, now) != now
    }

    fn make(&mut self, state: Option<&Arc<View>>) -> Result<Option<Made<T>>, ValueError> {
        let found = state.and_then(|state| self.overlay.find(state, &self.key));
        let Some((layer, entry)) = found else { return Ok(None) };
        let namespace = self.overlay.layer(layer);
        let value = (self.decode)(namespace.as_str(), &self.key, entry)?;
        Ok(Some(Made::of_entry(value, namespace, entry)))
    }

    fn place(&self, state: Option<&View>) -> (String, u64) {
        let found = state.and_then(|state| self.overlay.find(state, &self.key));
        let place =
            found.map(|(layer, entry)| (self.overlay.layer(layer).to_string(), entry.mod_revision));
        place.unwrap_or_default()
    }
}
