//! Which key a file is, and of which type: `<namespace>/<key>[.json|.txt|…]`.

use std::path::{Component, Path};

use headwater_schemas::{Key, Namespace};

/// The extensions that say a type and are no part of the key. All other names are keys as they stand.
const TYPES: [(&str, &str); 5] = [
    (".json", JSON),
    (".txt", TEXT),
    (".yaml", "application/yaml"),
    (".yml", "application/yaml"),
    (".toml", "application/toml"),
];

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// What is no text.
pub(super) const BYTES: &str = "application/octet-stream";

/// Where a file stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) namespace: Namespace,
    pub(super) key: Key,
    /// What its extension says.
    pub(super) content_type: Option<&'static str>,
}

/// Whether a name is nobody's configuration: hidden files (Kubernetes' `..data` and its folders among them) and what
/// editors leave while they save.
pub(super) fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#'))
}

/// The place of a file by its path below the folder.
pub(super) fn place(path: &Path) -> Result<Place, String> {
    if path.components().count() < 2 {
        let homeless = "it stands in no namespace's folder: move it to <folder>/<namespace>/<key>";
        return Err(homeless.to_owned());
    }
    let (namespace, key) = parts(path)?;
    let (key, content_type) = typed(&key);
    let key = Key::parse(key).map_err(|error| error.to_string())?;
    Ok(Place { namespace, key, content_type })
}

/// The namespace of a folder by its path, and the prefix of the keys below it.
pub(super) fn folder(path: &Path) -> Result<(Namespace, String), String> {
    let (namespace, prefix) = parts(path)?;
    let below = if prefix.is_empty() { prefix } else { prefix + "/" };
    Ok((namespace, below))
}

/// The first folder's namespace, and what follows it.
fn parts(path: &Path) -> Result<(Namespace, String), String> {
    let names = path.components().map(|part| match part {
        Component::Normal(name) => name.to_str().ok_or("its name is not UTF-8"),
        _ => Err("it is no path below the folder"),
    });
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let Some((namespace, key)) = names.split_first() else {
        return Err("it is no path below the folder".to_owned());
    };
    let namespace = Namespace::parse(namespace).map_err(|error| error.to_string())?;
    if namespace.is_system() {
        return Err("namespaces that begin with _ are the system's".to_owned());
    }
    Ok((namespace, key.join("/")))
}

fn typed(name: &str) -> (&str, Option<&'static str>) {
    for (extension, content_type) in TYPES {
        if let Some(key) = name.strip_suffix(extension) {
            return (key, Some(content_type));
        }
    }
    (name, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(path: &str) -> Option<(String, String, Option<&'static str>)> {
        let Place { namespace, key, content_type } = place(Path::new(path)).ok()?;
        Some((namespace.to_string(), key.to_string(), content_type))
    }

    #[test]
    fn the_first_folder_is_the_namespace_and_the_rest_the_key() {
        let of = |key: &str, content_type| {
            Some(("payments.prod".to_owned(), key.to_owned(), content_type))
        };
        assert_eq!(placed("payments.prod/db/pool.json"), of("db/pool", Some(JSON)));
        assert_eq!(placed("payments.prod/greeting.txt"), of("greeting", Some(TEXT)));
        assert_eq!(placed("payments.prod/log_level"), of("log_level", None));
        assert_eq!(placed("payments.prod/v1.2/logo.png"), of("v1.2/logo.png", None));
    }

    #[test]
    fn names_that_can_be_no_keys_are_refused() {
        for path in ["pool.json", "Not A Name/x.json", "_schemas/x.json", "app/a\u{1}b.json", "app"]
        {
            assert_eq!(placed(path), None, "{path}");
        }
    }

    #[test]
    fn what_kubernetes_and_editors_leave_is_passed_over() {
        for name in
            ["..data", "..2026_11_26", ".git", ".pool.json.swp", "pool.json~", "#pool.json#"]
        {
            assert!(is_passed_over(name), "{name}");
        }
        assert!(!is_passed_over("pool.json"));
    }
}
