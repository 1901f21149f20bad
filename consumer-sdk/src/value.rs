//! A decoded value and where it came from.

use std::ops::Deref;
use std::time::SystemTime;

use headwater_schemas::Namespace;

/// A value of a handle, with the commit that put it there. Derefs to the value.
#[derive(Debug)]
pub struct Value<T> {
    pub(crate) value: T,
    pub(crate) revision: u64,
    pub(crate) committed_at_ms: Option<i64>,
    pub(crate) origin: Option<Namespace>,
    pub(crate) applied_at: SystemTime,
}

impl<T> Value<T> {
    /// A value that no commit put there.
    pub(crate) fn default_of(value: T) -> Self {
        let applied_at = SystemTime::now();
        Self { value, revision: 0, committed_at_ms: None, origin: None, applied_at }
    }

    /// The revision that put it there, or at which it was derived; 0 for a default.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When it was committed, by its writer's clock, in milliseconds since the Unix epoch; none for a default.
    pub fn committed_at_ms(&self) -> Option<i64> {
        self.committed_at_ms
    }

    /// The namespace it stands in: the layer that won, of merged layers the strongest. None for a default, and for what
    /// was derived from many keys.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_ref().map(Namespace::as_str)
    }

    /// When this process swapped it in, by its own clock.
    pub fn applied_at(&self) -> SystemTime {
        self.applied_at
    }
}

impl<T> Deref for Value<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
