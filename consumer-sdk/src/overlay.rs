//! Which namespaces a client reads, and which one wins.

use std::sync::Arc;

use headwater_replica::View;
use headwater_schemas::{EntryRef, Namespace};

/// Namespaces laid over each other: where two hold a key, the later wins. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Overlay(Arc<[Namespace]>);

impl Overlay {
    pub(crate) fn new(namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        Self(namespaces.into_iter().collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, namespace: &str) -> bool {
        self.0.iter().any(|mine| mine.as_str() == namespace)
    }

    /// Their names, the weakest first.
    pub(crate) fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(Namespace::as_str)
    }

    /// The namespaces, the weakest first.
    pub(crate) fn layers(&self) -> impl DoubleEndedIterator<Item = &Namespace> {
        self.0.iter()
    }

    /// The namespace of a layer that was found.
    pub(crate) fn layer(&self, layer: usize) -> &Namespace {
        &self.0[layer]
    }

    /// The winning entry of a key.
    #[inline]
    pub(crate) fn get<'a>(&self, view: &'a View, key: &str) -> Option<EntryRef<'a>> {
        view.get_over(&self.0, key)
    }

    /// The winning entry of a key and the layer it stands in.
    pub(crate) fn find<'a>(&self, view: &'a View, key: &str) -> Option<(usize, EntryRef<'a>)> {
        view.find(&self.0, key)
    }

    /// The namespaces as the replica wants them: the same ones, so that it knows them again.
    pub(crate) fn shared(&self) -> Arc<[Namespace]> {
        self.0.clone()
    }
}
