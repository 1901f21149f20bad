//! The models asked for so far, each behind a live handle.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use headwater::{Client, Handle, HandleError};

use crate::model::Model;

/// Finds models by name. A name is looked up in the configuration once; from then on its handle is always current.
pub(crate) struct Models {
    config: Client,
    // Only names that hold a model get in here, so strangers cannot make it grow.
    known: RwLock<HashMap<String, Handle<Model>>>,
}

impl Models {
    pub(crate) fn new(config: Client) -> Self {
        Self { config, known: RwLock::default() }
    }

    /// The handle of a model.
    ///
    /// # Errors
    /// Why there is none: no such model, or one that cannot be used.
    pub(crate) fn find(&self, name: &str) -> Result<Handle<Model>, HandleError> {
        if let Some(handle) = self.known(name)
            && !handle.is_deleted()
        {
            return Ok(handle);
        }
        let found = self.config.handle::<Model>(name);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match &found {
            Ok(handle) => known.insert(name.to_owned(), handle.clone()),
            Err(_) => known.remove(name),
        };
        found
    }

    fn known(&self, name: &str) -> Option<Handle<Model>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
