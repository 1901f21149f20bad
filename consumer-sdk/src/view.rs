//! Many keys at one revision.

use std::iter::Peekable;
use std::sync::Arc;

use headwater_schemas::{Digest, EntryRef, Hash, Key};
use serde::de::DeserializeOwned;

use crate::decode::{decode, refused};
use crate::error::{NO_NAMESPACES, ValueError};
use crate::overlay::Overlay;

/// One immutable, consistent state: however many keys are read from it, all are of the same revision.
#[derive(Debug, Clone)]
pub struct View {
    state: Option<Arc<headwater_replica::View>>,
    overlay: Overlay,
}

impl View {
    pub(crate) fn new(state: Option<Arc<headwater_replica::View>>, overlay: Overlay) -> Self {
        Self { state, overlay }
    }

    /// The revision; 0 while there is no state.
    pub fn revision(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.revision())
    }

    /// The chain hash at the revision.
    pub fn hash(&self) -> Hash {
        self.state.as_ref().map_or_else(Hash::default, |state| state.head().hash)
    }

    /// The digest of the state: equal wherever the revision is equal and the same namespaces are followed.
    pub fn digest(&self) -> Digest {
        self.state.as_ref().map_or_else(Digest::default, |state| state.totals().digest())
    }

    /// Decodes the value of a key; none when it is absent.
    ///
    /// # Errors
    /// [`ValueError`] when there is a value and it is no `T`, or the view has no namespaces to look in.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ValueError> {
        if self.overlay.is_empty() {
            return Err(refused("", key, self.revision(), NO_NAMESPACES.to_owned()));
        }
        self.find(key).map(|(namespace, entry)| decode(namespace, key, entry)).transpose()
    }

    /// The bytes of a key with all that is known of them; none when it is absent.
    pub fn get_raw(&self, key: &str) -> Option<EntryRef<'_>> {
        self.find(key).map(|(_, entry)| entry)
    }

    fn find(&self, key: &str) -> Option<(&str, EntryRef<'_>)> {
        self.overlay.find(self.state.as_deref()?, key)
    }

    /// Every key that begins with `prefix` and its winning entry, in byte order of keys. `db/` stays inside `db`.
    pub fn prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, EntryRef<'a>)> {
        let layers = self.state.as_deref().into_iter().flat_map(move |state| {
            self.overlay.names().map(move |namespace| {
                let layer: Layer<'a> = Box::new(state.entries(namespace, prefix, None));
                layer.peekable()
            })
        });
        Merged { layers: layers.collect() }
    }

    /// Whether a text could be a key at all.
    pub(crate) fn check_key(key: &str) -> Result<(), headwater_schemas::NameError> {
        Key::parse(key).map(drop)
    }
}

type Layer<'a> = Box<dyn Iterator<Item = (&'a str, EntryRef<'a>)> + 'a>;

/// Layers in byte order of keys, the weakest first, as one.
struct Merged<'a> {
    layers: Vec<Peekable<Layer<'a>>>,
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a str, EntryRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let lowest =
            self.layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| *key)).min()?;
        let heads =
            self.layers.iter_mut().filter_map(|layer| layer.next_if(|(key, _)| *key == lowest));
        heads.last()
    }
}
