//! A server with a data directory of its own, and how these tests write to it.

use headwater_tests::field::headwater;
use headwater_tests::http::{Ask, ask};
use headwater_tests::process::Headwater;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Server {
    pub(crate) process: Headwater,
    dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { process: Headwater::serve(&dir.path().join("data"), &[]), dir }
    }

    pub(crate) fn url(&self) -> String {
        self.process.url()
    }

    /// A folder for a service's cache.
    pub(crate) fn cache(&self) -> String {
        self.dir.path().join("cache").display().to_string()
    }

    /// Runs one command of the binary against it.
    pub(crate) fn run(&self, args: &[&str]) {
        let (code, said) = headwater(&[args, &["--server", &self.url()]].concat());
        assert_eq!(code, 0, "{args:?}: {said}");
    }

    /// Puts JSON, and gives the revision.
    pub(crate) async fn put(&self, namespace: &str, key: &str, value: &Value) -> u64 {
        self.commit(&[(namespace, key, Some(value.clone()))]).await
    }

    /// Commits puts, and deletes of what has no value, at once, and gives the revision.
    pub(crate) async fn commit(&self, changes: &[(&str, &str, Option<Value>)]) -> u64 {
        let change = |(namespace, key, value): &(&str, &str, Option<Value>)| match value {
            Some(value) => json!({ "namespace": namespace, "key": key, "put": { "value": value } }),
            None => json!({ "namespace": namespace, "key": key, "delete": true }),
        };
        let changes: Vec<Value> = changes.iter().map(change).collect();
        let post = Ask::post("/v1/commits", &json!({ "changes": changes }));
        ask(self.process.host(), &post).await.is(200).revision()
    }
}

/// A file of `examples/data`.
pub(crate) fn data(file: &str) -> String {
    format!("{}/../examples/data/{file}", env!("CARGO_MANIFEST_DIR"))
}
