//! The table of routes, built whole at one revision.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headwater::{ValueError, View};
use http::Method;
use http::uri::Authority;
use matchit::InsertError;
use serde::Deserialize;

/// Where the routes stand, one key each.
const ROUTES: &str = "routes/";
/// Where the upstreams stand, one key each.
const UPSTREAMS: &str = "upstreams/";

/// A route, as it stands in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    method: String,
    /// A pattern of `matchit`: `/users/{id}`, `/files/{*rest}`.
    path: String,
    /// The name of an upstream.
    upstream: String,
}

/// An upstream, as it stands in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upstream {
    /// `host:port`, which speaks plain HTTP.
    address: String,
}

/// Who answers what. It is never changed: another revision makes another table.
#[derive(Default)]
pub(crate) struct Table {
    by_method: HashMap<Method, matchit::Router<Arc<Authority>>>,
    pub(crate) routes: usize,
    /// Routes that match exactly what another one matches, whose key comes first: they stand by in vain.
    pub(crate) shadowed: usize,
}

impl Table {
    /// Builds the table of one revision.
    ///
    /// # Errors
    /// The key that is to blame: then the table before stays as a whole. A route without an upstream is one, so that
    /// no upstream can be taken away while a route needs it.
    pub(crate) fn build(view: &View) -> Result<Self, ValueError> {
        let upstreams = upstreams(view)?;
        let mut table = Self::default();
        for (key, entry) in view.prefix(ROUTES) {
            let route: Route = view.decode(key, entry)?;
            let upstream = upstreams.get(route.upstream.as_str()).ok_or_else(|| {
                let missing = format!("{UPSTREAMS}{}", route.upstream);
                view.refuse(key, format!("there is no {missing}: put it first, or in one commit"))
            })?;
            let added = table.add(&route, upstream.clone());
            added.map_err(|reason| view.refuse(key, reason))?;
        }
        Ok(table)
    }

    fn add(&mut self, route: &Route, upstream: Arc<Authority>) -> Result<(), String> {
        let method = Method::from_bytes(route.method.as_bytes());
        let method = method.map_err(|error| format!("{:?}: {error}", route.method))?;
        match self.by_method.entry(method).or_default().insert(&route.path, upstream) {
            Ok(()) => self.routes += 1,
            Err(InsertError::Conflict { with }) if shape(&with) == shape(&route.path) => {
                self.shadowed += 1;
            }
            Err(error) => return Err(format!("{:?}: {error}", route.path)),
        }
        Ok(())
    }

    /// Who answers a request, if anybody does.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Option<Arc<Authority>> {
        let found = self.by_method.get(method)?.at(path).ok()?;
        Some(found.value.clone())
    }
}

/// A pattern without the names of its parameters.
fn shape(path: &str) -> String {
    let nameless = |segment: &str| match segment.strip_prefix('{') {
        Some(name) if name.starts_with('*') => "{*}".to_owned(),
        Some(_) => "{}".to_owned(),
        None => segment.to_owned(),
    };
    path.split('/').map(nameless).collect::<Vec<_>>().join("/")
}

fn upstreams(view: &View) -> Result<BTreeMap<&str, Arc<Authority>>, ValueError> {
    let read = |(key, entry)| {
        let Upstream { address } = view.decode(key, entry)?;
        let authority: Authority = address
            .parse()
            .map_err(|error| view.refuse(key, format!("{address:?} is no host:port: {error}")))?;
        Ok((key.strip_prefix(UPSTREAMS).unwrap_or(key), Arc::new(authority)))
    };
    view.prefix(UPSTREAMS).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str) -> Route {
        Route { method: method.into(), path: path.into(), upstream: "u".into() }
    }

    fn authority(address: &str) -> Arc<Authority> {
        Arc::new(address.parse().unwrap())
    }

    #[test]
    fn the_first_of_two_routes_that_match_the_same_counts_and_the_other_is_told() {
        let mut table = Table::default();
        table.add(&route("GET", "/a/{id}"), authority("first:1")).unwrap();
        table.add(&route("GET", "/a/{name}"), authority("second:1")).unwrap();
        table.add(&route("POST", "/a/{id}"), authority("third:1")).unwrap();
        assert_eq!((table.routes, table.shadowed), (2, 1));
        let find = |method, path| table.find(&method, path).map(|it| it.to_string());
        assert_eq!(find(Method::GET, "/a/7"), Some("first:1".to_owned()));
        assert_eq!(find(Method::POST, "/a/7"), Some("third:1".to_owned()));
        assert_eq!(find(Method::GET, "/a/7/b"), None);
        assert_eq!(find(Method::PUT, "/a/7"), None);
        assert_eq!(find(Method::GET, "/b"), None);
    }

    #[test]
    fn what_is_no_pattern_or_no_method_or_cannot_stand_beside_another_route_is_refused() {
        let mut table = Table::default();
        table.add(&route("GET", "/b/{id}"), authority("u:1")).unwrap();
        for bad in [
            route("GET", "/a/{id"),
            route("GET", "/a/{*rest}/b"),
            route("G T", "/a"),
            route("GET", "/b/{*rest}"),
        ] {
            assert!(table.add(&bad, authority("u:1")).is_err(), "{} {}", bad.method, bad.path);
        }
    }
}
