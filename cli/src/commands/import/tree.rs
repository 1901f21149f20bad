//! A directory to be imported: a file for each key.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use headwater_api::{check_json, is_json};
use headwater_schemas::Key;

use super::source::{Item, put, some, unique};
use crate::commands::export::{CONTENTS, Contents};
use crate::exit::Failure;
use crate::filetype;

/// Every file becomes a key: its path below the directory.
pub(super) fn read(root: &Path, strip_extension: bool) -> Result<Vec<Item>, Failure> {
    let contents = contents(root)?;
    let is_exported = contents.is_some();
    let filed = contents.unwrap_or_default();
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
                items.push(file(root, &path, strip_extension, &filed)?);
            }
        }
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    let items = unique(items)?;
    if is_exported { Ok(items) } else { some(items).map_err(|error| error.while_(root.display())) }
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

/// What the files of an exported tree are; a file that is not listed speaks for itself.
type ByFile = HashMap<String, (Key, String)>;

/// None where the tree was not exported.
fn contents(root: &Path) -> Result<Option<ByFile>, Failure> {
    let path = root.join(CONTENTS);
    let about =
        |what: &dyn fmt::Display| Failure::failed(format_args!("{}: {what}", path.display()));
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| about(&error))?,
    };
    let contents: Contents = serde_json::from_slice(&text).map_err(|error| about(&error))?;
    let files = contents.files.into_iter();
    Ok(Some(files.map(|filed| (filed.file, (filed.key, filed.content_type))).collect()))
}

fn file(root: &Path, path: &Path, strip_extension: bool, filed: &ByFile) -> Result<Item, Failure> {
    let about =
        |what: &dyn fmt::Display| Failure::failed(format_args!("{}: {what}", path.display()));
    let below = path.strip_prefix(root).map_err(|error| about(&error))?;
    let named = |path: &Path| {
        let names: Option<Vec<&str>> = path.iter().map(|name| name.to_str()).collect();
        names.map(|names| names.join("/")).ok_or_else(|| about(&"the name is not UTF-8"))
    };
    let (key, content_type) = match filed.get(&named(below)?) {
        Some((key, content_type)) => (key.clone(), Cow::Owned(content_type.clone())),
        None => {
            let stem = if strip_extension { below.with_extension("") } else { below.to_path_buf() };
            let key = Key::parse(&named(&stem)?).map_err(|error| about(&error))?;
            (key, Cow::Borrowed(filetype::media_type(path)))
        }
    };
    let value = fs::read(path).map_err(|error| about(&error))?;
    if is_json(&content_type) {
        check_json(&value).map_err(|error| about(&error))?;
    }
    Ok(put(key, content_type, value.into()))
}

#[cfg(test)]
mod tests {
    use super::super::source::Change;
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn shown(item: &Item) -> (String, String) {
        match &item.change {
            Change::Put { content_type, .. } => (item.key.to_string(), content_type.to_string()),
            Change::Delete { .. } => panic!("a value"),
        }
    }

    #[test]
    fn a_directorys_files_become_keys_and_hidden_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "db/pool.json", "{}");
        write(dir.path(), "motd.txt", "hi");
        write(dir.path(), ".git/config", "no");
        write(dir.path(), "db/.hidden", "no");
        let items = read(dir.path(), false).unwrap();
        let read: Vec<_> = items.iter().map(shown).collect();
        let wanted = [("db/pool.json", "application/json"), ("motd.txt", "text/plain")];
        assert_eq!(read, wanted.map(|(key, kind)| (key.to_owned(), kind.to_owned())));
    }

    #[test]
    fn a_trees_page_of_contents_tells_keys_and_types_and_a_new_file_speaks_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "db/pool.json", "{}");
        write(dir.path(), "new.txt", "x");
        write(
            dir.path(),
            CONTENTS,
            r#"{"namespace":"a","revision":1,"hash":"0000000000000000000000000000000000000000000000000000000000000000","files":[{"file":"db/pool.json","key":"db/pool","content_type":"application/vnd.x+json"},{"file":"gone.json","key":"gone","content_type":"application/json"}]}"#,
        );
        let read: Vec<_> = read(dir.path(), false).unwrap().iter().map(shown).collect();
        assert_eq!(read[0].0, "db/pool");
        assert_eq!(read[0].1, "application/vnd.x+json");
        assert_eq!((read[1].0.as_str(), read.len()), ("new.txt", 2));
    }

    #[test]
    fn extensions_can_be_left_off_unless_two_keys_become_one() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "db/pool.json", "{}");
        assert_eq!(read(dir.path(), true).unwrap()[0].key.as_str(), "db/pool");
        write(dir.path(), "db/pool.txt", "x");
        assert!(read(dir.path(), true).unwrap_err().to_string().contains("db/pool appears twice"));
    }

    #[test]
    fn a_json_file_that_is_not_json_is_refused_by_name_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bad.json", "{");
        assert!(read(dir.path(), false).unwrap_err().to_string().contains("bad.json"));
    }

    #[test]
    fn a_link_that_leads_back_up_ends_nobody() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.txt", "x");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        assert_eq!(read(dir.path(), false).unwrap().len(), 1);
    }
}
