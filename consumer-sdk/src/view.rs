//! Many keys at one revision.

use std::fmt;
use std::iter::Peekable;
use std::sync::Arc;

use headwater_schemas::{Digest, EntryRef, Hash, Key, Namespace};
use serde::de::DeserializeOwned;

use crate::decode::{decode, refused};
use crate::error::{NO_NAMESPACES, ValueError};
use crate::overlay::Overlay;

/// One immutable, consistent state: however many keys are read from it, all are of the same revision.
#[derive(Debug, Clone)]
pub struct View {
    state: Option<Arc<headwater_replica::View>>,
    overlay: Overlay,
    /// It shows only keys that begin so, if given.
    scope: Option<Arc<str>>,
}

impl View {
    pub(crate) fn new(state: Option<Arc<headwater_replica::View>>, overlay: Overlay) -> Self {
        Self { state, overlay, scope: None }
    }

    /// The same view, showing only keys that begin with `prefix`.
    pub(crate) fn under(self, prefix: Arc<str>) -> Self {
        Self { scope: Some(prefix), ..self }
    }

    fn scope(&self) -> &str {
        self.scope.as_deref().unwrap_or_default()
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
    /// [`ValueError`] when there is a value and it is no `T`, the view has no namespaces to look in, or it was made for
    /// a prefix that the key is not under.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ValueError> {
        if self.overlay.is_empty() {
            return Err(self.refuse(key, NO_NAMESPACES));
        }
        if !key.starts_with(self.scope()) {
            let reason = format!("this view shows only what is under {}", self.scope());
            return Err(self.refuse(key, reason));
        }
        let found = self.find(key);
        found.map(|(namespace, entry)| decode(namespace.as_str(), key, entry)).transpose()
    }

    /// The bytes of a key with all that is known of them; none when it is absent.
    #[inline]
    pub fn get_raw(&self, key: &str) -> Option<EntryRef<'_>> {
        self.overlay.get(self.shown(key)?, key)
    }

    /// The namespace whose value of a key wins; none when the key is absent.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.winner(key).map(Namespace::as_str)
    }

    pub(crate) fn winner(&self, key: &str) -> Option<&Namespace> {
        self.find(key).map(|(namespace, _)| namespace)
    }

    /// Decodes an entry that this view gave for `key`.
    ///
    /// # Errors
    /// [`ValueError`], which names the key, when the value is no `T`.
    pub fn decode<T: DeserializeOwned>(
        &self,
        key: &str,
        entry: EntryRef<'_>,
    ) -> Result<T, ValueError> {
        decode("", key, entry).map_err(|error| self.refuse(key, error.reason))
    }

    /// An error that names a key, its namespace and its revision: what [`crate::Client::derive`] reports under that key.
    pub fn refuse(&self, key: &str, reason: impl fmt::Display) -> ValueError {
        let found = self.find(key).map(|(name, entry)| (name.as_str(), entry.mod_revision));
        let (namespace, revision) = found.unwrap_or(("", self.revision()));
        refused(namespace, key, revision, reason.to_string())
    }

    fn find(&self, key: &str) -> Option<(&Namespace, EntryRef<'_>)> {
        let (layer, entry) = self.overlay.find(self.shown(key)?, key)?;
        Some((self.overlay.layer(layer), entry))
    }

    /// The state, if the view shows such a key.
    #[inline]
    fn shown(&self, key: &str) -> Option<&headwater_replica::View> {
        let in_scope = self.scope.as_deref().is_none_or(|scope| key.starts_with(scope));
        self.state.as_deref().filter(|_| in_scope)
    }

    /// Every key and its winning entry, in byte order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, EntryRef<'_>)> {
        self.prefix("")
    }

    /// Every key that begins with `prefix` and its winning entry, in byte order of keys. `db/` stays inside `db`.
    pub fn prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, EntryRef<'a>)> {
        let scope = self.scope();
        let narrower = if prefix.starts_with(scope) { Some(prefix) } else { None };
        let narrower = narrower.or_else(|| scope.starts_with(prefix).then_some(scope));
        let layers = self.state.as_deref().zip(narrower).into_iter();
        let layers = layers.flat_map(move |(state, prefix)| {
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

    /// Whether a key could begin so.
    pub(crate) fn check_prefix(prefix: &str) -> Result<(), headwater_schemas::NameError> {
        Key::parse(&format!("{prefix}k")).map(drop)
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
