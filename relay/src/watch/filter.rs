//! Which changes one watcher wants.

use headwater_api::Problem;
use headwater_schemas::{Change, Digest, Key, Namespace, Totals};

/// A choice of namespaces and keys. What is the system's belongs to none: nobody can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// Sorted; none for all.
    namespaces: Option<Vec<Namespace>>,
    keys: Keys,
}

/// Which keys of those namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keys {
    All,
    Prefix(String),
    One(Key),
}

impl Filter {
    /// Reads `a,b`, and a prefix or a key.
    pub(super) fn new(
        namespaces: Option<&str>,
        prefix: Option<String>,
        key: Option<&str>,
    ) -> Result<Self, Problem> {
        let keys = match (prefix, key) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_request("key, prefix: give one of the two"));
            }
            (Some(prefix), None) => Keys::Prefix(prefix),
            (None, Some(key)) => {
                Keys::One(Key::parse(key).map_err(|error| Problem::invalid_name(&error))?)
            }
            (None, None) => Keys::All,
        };
        Ok(Self { namespaces: namespaces.map(names).transpose()?, keys })
    }

    /// Whether a change is wanted.
    pub(super) fn wants(&self, change: &Change) -> bool {
        let (namespace, key) = (change.namespace(), change.key());
        let named = match &self.namespaces {
            Some(names) => names.binary_search(namespace).is_ok(),
            None => !namespace.is_system(),
        };
        named
            && match &self.keys {
                Keys::All => true,
                Keys::Prefix(prefix) => key.as_str().starts_with(prefix),
                Keys::One(wanted) => wanted == key,
            }
    }

    /// The one namespace, if it is one, and the prefix that all wanted keys have: what history can look up.
    pub(super) fn narrowest(&self) -> (Option<Namespace>, String) {
        let namespace = match self.namespaces.as_deref() {
            Some([one]) => Some(one.clone()),
            _ => None,
        };
        let prefix = match &self.keys {
            Keys::All => String::new(),
            Keys::Prefix(prefix) => prefix.clone(),
            Keys::One(key) => key.to_string(),
        };
        (namespace, prefix)
    }

    /// The digest of all that is wanted: of the namespaces, or of the whole state; none of a part of a namespace.
    pub(super) fn digest(&self, totals: &Totals) -> Option<Digest> {
        match (&self.keys, &self.namespaces) {
            (Keys::All, Some(names)) => Some(totals.digest_of(names.iter().map(Namespace::as_str))),
            (Keys::All, None) => Some(totals.digest()),
            _ => None,
        }
    }
}

fn names(text: &str) -> Result<Vec<Namespace>, Problem> {
    let mut names = Vec::new();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let name = Namespace::parse(name).map_err(|error| Problem::invalid_name(&error))?;
        if name.is_system() {
            return Err(Problem::reserved_namespace(&name));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(Problem::invalid_request(
            "namespaces: name one or more, a,b; leave it out for all",
        ));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(
        namespaces: Option<&str>,
        prefix: Option<&str>,
        key: Option<&str>,
    ) -> Result<Filter, u16> {
        Filter::new(namespaces, prefix.map(str::to_owned), key).map_err(|problem| problem.status)
    }

    fn deletion(namespace: &str, key: &str) -> Change {
        Change::Delete { namespace: namespace.parse().unwrap(), key: key.parse().unwrap() }
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        assert_eq!(filter(None, Some("a"), Some("a")).unwrap_err(), 400);
        assert_eq!(filter(Some("A"), None, None).unwrap_err(), 400);
        assert_eq!(filter(Some(","), None, None).unwrap_err(), 400);
        assert_eq!(filter(None, None, Some("/a")).unwrap_err(), 400);
        assert_eq!(filter(Some("a,_schemas"), None, None).unwrap_err(), 403);
        assert_eq!(filter(Some("b,a,,b"), None, None), filter(Some("a,b"), None, None));
    }

    #[test]
    fn what_is_the_systems_is_never_wanted() {
        assert!(!filter(None, None, None).unwrap().wants(&deletion("_schemas", "k")));
        assert!(filter(None, None, None).unwrap().wants(&deletion("schemas", "k")));
    }

    #[test]
    fn there_is_a_digest_of_namespaces_and_none_of_parts_of_them() {
        let totals = Totals::default();
        let has = |filter: Result<Filter, u16>| filter.unwrap().digest(&totals).is_some();
        assert!(has(filter(None, None, None)) && has(filter(Some("a"), None, None)));
        assert!(!has(filter(Some("a"), Some("p"), None)) && !has(filter(None, None, Some("k"))));
    }

    /// What the API says, word for word.
    fn naive(
        namespaces: &[&str],
        prefix: Option<&str>,
        key: Option<&str>,
        change: (&str, &str),
    ) -> bool {
        let named = namespaces.is_empty() || namespaces.contains(&change.0);
        let begins = prefix.is_none_or(|prefix| change.1.as_bytes().starts_with(prefix.as_bytes()));
        let is = key.is_none_or(|key| key == change.1);
        !change.0.starts_with('_') && named && begins && is
    }

    proptest! {
        #[test]
        fn a_filter_is_what_the_api_says(
            namespaces in proptest::collection::vec(proptest::sample::select(vec!["a", "a.b", "b", "ab"]), 0..3),
            part in proptest::option::of((any::<bool>(), proptest::sample::select(vec!["d", "db", "db/", "db/é", "db/\u{e9}", "x", "dbx"]))),
            changes in proptest::collection::vec(
                (
                    proptest::sample::select(vec!["a", "a.b", "b", "ab", "_schemas"]),
                    proptest::sample::select(vec!["d", "db", "db/x", "db/é", "x", "dbx", "dbx/y"]),
                ),
                0..20,
            ),
        ) {
            let text = namespaces.join(",");
            let part = part.filter(|(is_key, text)| !is_key || Key::parse(text).is_ok());
            let (prefix, key) = match part {
                Some((true, key)) => (None, Some(key)),
                Some((false, prefix)) => (Some(prefix), None),
                None => (None, None),
            };
            let filter = filter((!text.is_empty()).then_some(text.as_str()), prefix, key).unwrap();
            for change in changes {
                let wants = filter.wants(&deletion(change.0, change.1));
                prop_assert_eq!(wants, naive(&namespaces, prefix, key, change), "{:?}", change);
                // What history is asked for holds all that is wanted.
                let (namespace, prefix) = filter.narrowest();
                let is_found = namespace.is_none_or(|name| name.as_str() == change.0) && change.1.starts_with(&prefix);
                prop_assert!(is_found || !wants);
            }
        }
    }
}
