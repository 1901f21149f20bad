//! How a handle's value is made of a state: of one key, of a key's layers, or of all keys under a prefix.

use std::sync::Arc;
use std::time::SystemTime;

use headwater_replica::View;
use headwater_schemas::{EntryRef, Namespace};

use crate::error::ValueError;
use crate::provenance::Provenance;
use crate::step::Step;
use crate::value::Value;

/// How a value of type `T` is made of a state.
pub(crate) trait Recipe<T>: Send {
    /// Whether what the value is made of is another than at the last step. It decodes nothing.
    fn changed(&mut self, step: &Step) -> bool;

    /// The value at a state; none where there is nothing to make it of. May run code of the service, and so panic.
    fn make(&mut self, state: Option<&Arc<View>>) -> Result<Option<Made<T>>, ValueError>;

    /// Where to look for what is wrong when making the value panicked: a namespace, if there is one, and a revision.
    fn place(&self, state: Option<&View>) -> (String, u64) {
        (String::new(), state.map_or(0, View::revision))
    }
}

/// A value, and what the state knows of the commit behind it.
pub(crate) struct Made<T> {
    pub(crate) value: Value<T>,
    pub(crate) by: Provenance,
}

impl<T> Made<T> {
    /// A value made of one entry.
    pub(crate) fn of_entry(value: T, namespace: &Namespace, entry: EntryRef<'_>) -> Self {
        let value = Value {
            value,
            revision: entry.mod_revision,
            committed_at_ms: Some(entry.updated_at_ms),
            origin: Some(namespace.clone()),
            applied_at: SystemTime::now(),
        };
        Self { value, by: Provenance::of_entry(entry) }
    }
}
