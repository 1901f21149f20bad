//! The namespaces a reader holds when it does not hold all.

use std::collections::BTreeSet;

use headwater_schemas::{Namespace, NamespaceTotals, SCHEMAS_NAMESPACE, Totals};

/// A set of namespaces. `_schemas` belongs to every one: without it commits could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription(BTreeSet<Namespace>);

impl Subscription {
    /// A subscription to these namespaces and `_schemas`.
    pub fn new(namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        let mut names: BTreeSet<_> = namespaces.into_iter().collect();
        names.extend(Namespace::parse(SCHEMAS_NAMESPACE));
        Self(names)
    }

    /// Whether `namespace` is part of it.
    pub fn contains(&self, namespace: &str) -> bool {
        self.0.contains(namespace)
    }

    /// The namespaces in order of name, `_schemas` included.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.0.iter()
    }

    /// The part of `totals` that it covers.
    pub fn totals(&self, totals: &Totals) -> Totals {
        Totals::from_namespaces(self.select(totals.namespaces()))
    }

    fn select<'a>(
        &self,
        all: impl Iterator<Item = (&'a Namespace, &'a NamespaceTotals)>,
    ) -> impl Iterator<Item = (Namespace, NamespaceTotals)> {
        all.filter(|(name, _)| self.0.contains(*name)).map(|(name, part)| (name.clone(), *part))
    }

    /// What tells files of different subscriptions apart: the first 16 hex digits of a BLAKE3 of the names.
    pub(crate) fn tag(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(Namespace::as_str).collect();
        let mut hex = blake3::hash(names.join("\n").as_bytes()).to_hex().to_string();
        hex.truncate(16);
        hex
    }
}
