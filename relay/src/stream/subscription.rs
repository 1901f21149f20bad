//! The namespaces one client wants.

use headwater_api::Problem;
use headwater_schemas::{Commit, Digest, Namespace, SCHEMAS_NAMESPACE, Totals};

/// A set of namespaces; `_schemas` belongs to every one, because nothing can be read without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription(Vec<Namespace>);

impl Subscription {
    /// Reads `a,b`.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let mut names = Vec::new();
        for name in text.split(',').filter(|name| !name.is_empty() && *name != SCHEMAS_NAMESPACE) {
            let name = Namespace::parse(name).map_err(|error| Problem::invalid_name(&error))?;
            if name.is_system() {
                return Err(Problem::reserved_namespace(&name));
            }
            names.push(name);
        }
        names.extend(Namespace::parse(SCHEMAS_NAMESPACE));
        names.sort();
        names.dedup();
        Ok(Self(names))
    }

    fn contains(&self, namespace: &Namespace) -> bool {
        self.0.binary_search(namespace).is_ok()
    }

    /// Whether a commit has anything for it.
    pub(crate) fn is_touched_by(&self, commit: &Commit) -> bool {
        commit.changes.iter().any(|change| self.contains(change.namespace()))
    }

    /// The part of a commit that is for it.
    pub(crate) fn filter(&self, commit: &Commit, totals: &Totals) -> Commit {
        commit.filtered(self.digest(totals), |namespace| self.contains(namespace))
    }

    /// The digest of its namespaces.
    pub(crate) fn digest(&self, totals: &Totals) -> Digest {
        totals.digest_of(self.0.iter().map(Namespace::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_belong_to_every_subscription_and_other_system_namespaces_to_none() {
        let names = |text| {
            Subscription::parse(text)
                .map(|s| s.0.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names("b,a,,a").unwrap(), ["_schemas", "a", "b"]);
        assert_eq!(names("_schemas").unwrap(), ["_schemas"]);
        assert_eq!(names("_secret").unwrap_err().status, 403);
        assert_eq!(names("A").unwrap_err().status, 400);
    }
}
