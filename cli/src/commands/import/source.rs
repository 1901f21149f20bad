//! What is to be imported: one JSON object, or a directory.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use headwater_schemas::Key;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::exit::Failure;

/// One value to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Key,
    pub(super) content_type: &'static str,
    pub(super) value: Bytes,
}

const JSON: &str = "application/json";

/// Reads everything, so that a mistake anywhere is found before the first commit.
pub(super) fn read(path: &Path, strip_extension: bool) -> Result<Vec<Item>, Failure> {
    let about =
        |error: std::io::Error| Failure::failed(format_args!("{}: {error}", path.display()));
    if fs::metadata(path).map_err(about)?.is_dir() {
        directory(path, strip_extension)
    } else {
        object(&fs::read(path).map_err(about)?).map_err(|error| error.while_(path.display()))
    }
}

/// Every top-level name of a JSON object becomes a key; its bytes stay as they stand in the file.
fn object(text: &[u8]) -> Result<Vec<Item>, Failure> {
    let Members(members) = serde_json::from_slice(text).map_err(|error| {
        Failure::failed(error).hint("the file must hold one JSON object: {\"key\": value, …}")
    })?;
    let item = |(name, value): (String, Box<RawValue>)| {
        let key = Key::parse(&name).map_err(Failure::failed)?;
        Ok(Item {
            key,
            content_type: JSON,
            value: Bytes::from(Box::<str>::from(value).into_string()),
        })
    };
    unique(members.into_iter().map(item).collect::<Result<_, Failure>>()?)
}

/// The members of an object, in order, those that appear twice included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry().map_err(A::Error::custom)? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Each)
    }
}

/// Every file becomes a key: its path below the directory.
fn directory(root: &Path, strip_extension: bool) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(dir) = waiting.pop() {
        for path in entries(&dir)? {
            let about = |error: std::io::Error| {
                Failure::failed(format_args!("{}: {error}", path.display()))
            };
            // A link to a directory is not followed: it may lead back up.
            if fs::symlink_metadata(&path).map_err(about)?.is_dir() {
                waiting.push(path);
            } else if fs::metadata(&path).map_err(about)?.is_file() {
                items.push(file(root, &path, strip_extension)?);
            }
        }
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    unique(items)
}

/// The names in a directory, but those that start with a dot.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let about = |error: std::io::Error| Failure::failed(format_args!("{}: {error}", dir.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(about)? {
        let entry = entry.map_err(about)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn file(root: &Path, path: &Path, strip_extension: bool) -> Result<Item, Failure> {
    let about =
        |what: &dyn fmt::Display| Failure::failed(format_args!("{}: {what}", path.display()));
    let content_type = content_type(path);
    let below = path.strip_prefix(root).map_err(|error| about(&error))?;
    let below = if strip_extension { below.with_extension("") } else { below.to_path_buf() };
    let names: Option<Vec<&str>> = below.iter().map(|name| name.to_str()).collect();
    let names = names.ok_or_else(|| about(&"the name is not UTF-8"))?;
    let key = Key::parse(&names.join("/")).map_err(|error| about(&error))?;
    let value = fs::read(path).map_err(|error| about(&error))?;
    if content_type == JSON {
        serde_json::from_slice::<&RawValue>(&value).map_err(|error| about(&error))?;
    }
    Ok(Item { key, content_type, value: value.into() })
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => JSON,
        Some("txt" | "conf" | "cfg" | "ini" | "properties") => "text/plain",
        Some("md") => "text/markdown",
        Some("html") => "text/html",
        Some("csv") => "text/csv",
        Some("yaml" | "yml") => "application/yaml",
        Some("toml") => "application/toml",
        _ => "application/octet-stream",
    }
}

fn unique(items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    let mut seen = HashSet::with_capacity(items.len());
    match items.iter().find(|item| !seen.insert(&item.key)) {
        Some(twice) => Err(Failure::failed(format_args!("the key {} appears twice", twice.key))
            .hint("every key may appear once; nothing was imported")),
        None => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn an_objects_members_keep_their_exact_text_and_order() {
        let items = object(br#"{"b/c": {"x":  1.50}, "a": null}"#).unwrap();
        let read: Vec<_> =
            items.iter().map(|item| (item.key.as_str(), item.value.as_ref())).collect();
        assert_eq!(read, [("b/c", br#"{"x":  1.50}"#.as_slice()), ("a", b"null")]);
    }

    #[test]
    fn what_is_no_object_and_a_key_that_appears_twice_are_refused() {
        assert!(object(b"[1]").unwrap_err().to_string().contains("one JSON object"));
        assert!(
            object(br#"{"a": 1, "a": 2}"#).unwrap_err().to_string().contains("a appears twice")
        );
        assert!(object(br#"{"a//b": 1}"#).unwrap_err().to_string().contains("empty segment"));
        assert!(object(br#"{"a": 1} x"#).is_err());
    }

    #[test]
    fn a_directorys_files_become_keys_and_hidden_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "db/pool.json", "{}");
        write(dir.path(), "motd.txt", "hi");
        write(dir.path(), ".git/config", "no");
        write(dir.path(), "db/.hidden", "no");
        let items = read(dir.path(), false).unwrap();
        let read: Vec<_> =
            items.iter().map(|item| (item.key.as_str(), item.content_type)).collect();
        assert_eq!(read, [("db/pool.json", "application/json"), ("motd.txt", "text/plain")]);
    }

    #[test]
    fn extensions_can_be_left_off_unless_two_keys_become_one() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "db/pool.json", "{}");
        assert_eq!(super::read(dir.path(), true).unwrap()[0].key.as_str(), "db/pool");
        write(dir.path(), "db/pool.txt", "x");
        assert!(
            super::read(dir.path(), true)
                .unwrap_err()
                .to_string()
                .contains("db/pool appears twice")
        );
    }

    #[test]
    fn a_json_file_that_is_not_json_is_refused_by_name_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bad.json", "{");
        assert!(super::read(dir.path(), false).unwrap_err().to_string().contains("bad.json"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_up_ends_nobody() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.txt", "x");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        assert_eq!(super::read(dir.path(), false).unwrap().len(), 1);
    }
}
