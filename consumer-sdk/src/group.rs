//! A group: a struct whose fields are the keys below a prefix.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use serde_path_to_error::{Error, Segment};

use crate::decode::to_json;
use crate::error::ValueError;
use crate::view::View;

/// Where the keys of a group begin: `db` and `db/` are the same group.
pub(crate) fn below(prefix: &str) -> String {
    let is_folder = prefix.is_empty() || prefix.ends_with('/');
    if is_folder { prefix.to_owned() } else { format!("{prefix}/") }
}

/// Reads the group of all keys that begin with `prefix`.
pub(crate) fn read<S: DeserializeOwned>(prefix: &str, view: &View) -> Result<S, ValueError> {
    let read = serde_path_to_error::deserialize(Json::Object(fields(prefix, view)?));
    read.map_err(|error| blamed(prefix, view, error))
}

/// The keys that begin with `prefix` as the nested fields they are paths of.
pub(crate) fn fields(prefix: &str, view: &View) -> Result<Map<String, Json>, ValueError> {
    let mut fields = Map::new();
    for (key, entry) in view.prefix(prefix) {
        let value = to_json(entry).map_err(|reason| view.refuse(key, reason))?;
        let path = key.strip_prefix(prefix).unwrap_or(key);
        insert(&mut fields, path, value).map_err(|reason| view.refuse(key, reason))?;
    }
    Ok(fields)
}

/// Puts a value where its path leads. Keys come in order, so that a folder which is a key, too, is there already: an
/// object, whose fields the keys below it set.
fn insert(fields: &mut Map<String, Json>, path: &str, value: Json) -> Result<(), String> {
    let (folders, name) = path.rsplit_once('/').map_or((None, path), |(at, it)| (Some(at), it));
    let mut at = fields;
    for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
        let inner = at.entry(folder).or_insert_with(|| Json::Object(Map::new()));
        let Json::Object(inner) = inner else {
            return Err(format!("{folder:?} above it holds a value that has no fields"));
        };
        at = inner;
    }
    at.insert(name.to_owned(), value);
    Ok(())
}

/// The key that an error lies in: the deepest one on its path; where none is there, the one that should be.
fn blamed(prefix: &str, view: &View, error: Error<serde_json::Error>) -> ValueError {
    let mut key = prefix.to_owned();
    let mut there = None;
    for (depth, segment) in error.path().iter().enumerate() {
        let Segment::Map { key: name } = segment else { break };
        if depth > 0 {
            key.push('/');
        }
        key.push_str(name);
        there = view.get_raw(&key).map(|_| key.clone()).or(there);
    }
    view.refuse(&there.unwrap_or(key), error.inner())
}
