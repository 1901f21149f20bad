//! The steps at which a crash or a failing disk would show, so that tests can put one there.

use std::fmt;
use std::sync::Arc;

use crate::StoreError;

/// A step that is about to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Commits are about to be written as one batch.
    Write,
    /// They were written.
    Written,
    /// An image is about to be cut.
    Cut,
    /// It stands on the shelf under its name, and nobody was told.
    Shelved,
    /// It was proved, and is about to be announced.
    Announce,
    /// It was announced, and old ones are about to go.
    Retain,
    /// The old ones are gone.
    Retained,
    /// An announced image is about to be put where images are shared.
    Put,
    /// It stands there, was read back, and is about to be announced there.
    Share,
    /// It was announced there, and old ones are about to go.
    RetainShared,
    /// The old ones are gone there, too.
    Shared,
}

type Hook = dyn Fn(Step) -> Result<(), StoreError> + Send + Sync;

/// Called at every [`Step`]; an error is taken as the disk's.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<Hook>>);

impl Steps {
    /// Calls `hook` at every step, on the thread that takes it.
    pub fn new(hook: impl Fn(Step) -> Result<(), StoreError> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    pub(crate) fn at(&self, step: Step) -> Result<(), StoreError> {
        self.0.as_ref().map_or(Ok(()), |hook| hook(step))
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(hooked)" } else { "Steps" })
    }
}
