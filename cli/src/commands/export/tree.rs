//! Entries into a directory: a file for each key.

use std::collections::HashSet;
use std::path::Path;

use headwater_schemas::{Hash, Key, Namespace};

use super::{Exported, Report, Sink};
use crate::exit::Failure;
use crate::file_output::NewFolder;
use crate::filetype::extension;

/// What the files of a tree are, in the tree itself.
pub(in crate::commands) const CONTENTS: &str = ".headwater.json";
/// The longest name most file systems take is 255 bytes; an end comes on top.
const MAX_NAME_BYTES: usize = 200;

/// The page of contents of a tree.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(in crate::commands) struct Contents {
    pub(in crate::commands) namespace: Namespace,
    pub(in crate::commands) revision: u64,
    pub(in crate::commands) hash: Hash,
    pub(in crate::commands) files: Vec<Filed>,
}

/// What one file is.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(in crate::commands) struct Filed {
    /// Below the tree, with `/` between names.
    pub(in crate::commands) file: String,
    pub(in crate::commands) key: Key,
    pub(in crate::commands) content_type: String,
}

/// A tree that gets its name when it is whole.
pub(super) struct Tree {
    folder: NewFolder,
    branch: Branch,
}

impl Tree {
    pub(super) fn begin(namespace: &Namespace, dir: &Path) -> Result<Self, Failure> {
        let folder = NewFolder::create(dir)?;
        Ok(Self { folder, branch: Branch::new(namespace.clone(), String::new()) })
    }
}

impl Sink for Tree {
    fn take(&mut self, exported: Exported) -> Result<(), Failure> {
        let Exported { entry, value } = exported;
        self.branch.put(&mut self.folder, entry.key, entry.content_type, &value)
    }

    fn finish(mut self: Box<Self>, about: &Report) -> Result<(), Failure> {
        self.branch.end(&mut self.folder, about.revision, about.hash)?;
        self.folder.name()
    }
}

/// The files of one namespace in a folder.
pub(in crate::commands) struct Branch {
    /// What stands before each file's name.
    below: String,
    names: Names,
    contents: Contents,
}

impl Branch {
    pub(in crate::commands) fn new(namespace: Namespace, below: String) -> Self {
        let (revision, hash, files) = (0, Hash::default(), Vec::new());
        let contents = Contents { namespace, revision, hash, files };
        Self { below, names: Names::default(), contents }
    }

    /// Adds a key's file; keys come in order.
    pub(in crate::commands) fn put(
        &mut self,
        folder: &mut NewFolder,
        key: Key,
        content_type: String,
        value: &[u8],
    ) -> Result<(), Failure> {
        let file = self.names.give(&key, extension(&content_type));
        folder.put(&format!("{}{file}", self.below), value)?;
        self.contents.files.push(Filed { file, key, content_type });
        Ok(())
    }

    /// Adds the page of contents.
    pub(in crate::commands) fn end(
        mut self,
        folder: &mut NewFolder,
        revision: u64,
        hash: Hash,
    ) -> Result<(), Failure> {
        (self.contents.revision, self.contents.hash) = (revision, hash);
        let contents = serde_json::to_vec_pretty(&self.contents).map_err(Failure::failed)?;
        folder.put(&format!("{}{CONTENTS}", self.below), &contents)
    }
}

/// The names given so far. Nothing that a key says leads out of the tree, hides a file, or takes another's place.
#[derive(Default)]
struct Names {
    files: HashSet<String>,
    dirs: HashSet<String>,
}

impl Names {
    fn give(&mut self, key: &Key, end: &str) -> String {
        let natural = natural(key, end).filter(|name| self.is_free(name));
        let name = natural.unwrap_or_else(|| {
            let hash = Hash::of(key.as_str().as_bytes()).to_string();
            format!("~{hash}.{end}")
        });
        self.dirs.extend(ancestors(&name).map(str::to_lowercase));
        self.files.insert(name.to_lowercase());
        name
    }

    /// Not a file, not a directory and not below a file; on file systems without capital letters, too.
    fn is_free(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        !self.files.contains(&name)
            && !self.dirs.contains(&name)
            && ancestors(&name).all(|dir| !self.files.contains(dir))
    }
}

fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

/// The key itself with the end of its type; none where it makes no good name.
fn natural(key: &Key, end: &str) -> Option<String> {
    let good = |segment: &str| {
        segment.len() <= MAX_NAME_BYTES
            && !segment.starts_with(['.', '~'])
            && !segment.contains('\\')
    };
    key.as_str().split('/').all(good).then(|| {
        let has_end = Path::new(key.as_str()).extension().is_some_and(|own| own == end);
        if has_end { key.to_string() } else { format!("{key}.{end}") }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn names(keys: &[&str]) -> Vec<String> {
        let mut names = Names::default();
        keys.iter().map(|key| names.give(&key.parse().unwrap(), "json")).collect()
    }

    #[test]
    fn a_key_is_its_files_name_where_that_can_be() {
        assert_eq!(
            names(&["db/pool", "db/pool/x", "a.json"]),
            ["db/pool.json", "db/pool/x.json", "a.json"]
        );
        for bad in [".ssh/config", "~root", "a\\b"] {
            assert!(names(&[bad])[0].starts_with('~'), "{bad}");
        }
        // Both would be a.json; and a file is no directory.
        let taken = names(&["a", "a.json", "a.json/b", "A"]);
        assert_eq!(taken[0], "a.json");
        assert!(taken[1..].iter().all(|name| name.starts_with('~')), "{taken:?}");
    }

    proptest! {
        #[test]
        fn no_two_keys_share_a_file_and_none_leaves_the_tree(
            keys in prop::collection::btree_set("[aA.~]{1,3}(/[ab.]{1,3}){0,2}|[a-z]{300}", 1..20)
        ) {
            let keys: Vec<Key> = keys.iter().filter_map(|key| key.parse().ok()).collect();
            let (mut names, tree) = (Names::default(), tempfile::tempdir().unwrap());
            let mut given = HashSet::new();
            for key in &keys {
                let name = names.give(key, "json");
                let path = tree.path().join(&name);
                prop_assert!(!name.contains("..") || !name.split('/').any(|part| part == ".."));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, key.as_str()).unwrap();
                prop_assert!(given.insert(name));
            }
            for (key, name) in keys.iter().zip(keys.iter().scan(Names::default(), |names, key| Some(names.give(key, "json")))) {
                prop_assert_eq!(fs::read_to_string(tree.path().join(name)).unwrap(), key.as_str());
            }
        }
    }
}
