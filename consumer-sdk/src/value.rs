//! A decoded value and where it came from.

use std::ops::Deref;
use std::time::SystemTime;

/// A value of a handle, with the commit that put it there. Derefs to the value.
#[derive(Debug)]
pub struct Value<T> {
    pub(crate) value: T,
    pub(crate) revision: u64,
    pub(crate) committed_at_ms: Option<i64>,
    pub(crate) applied_at: SystemTime,
}

impl<T> Value<T> {
    /// A value that no commit put there.
    pub(crate) fn default_of(value: T) -> Self {
        Self { value, revision: 0, committed_at_ms: None, applied_at: SystemTime::now() }
    }

    /// The revision that put it there; 0 for a default.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When it was committed, by its writer's clock, in milliseconds since the Unix epoch; none for a default.
    pub fn committed_at_ms(&self) -> Option<i64> {
        self.committed_at_ms
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
