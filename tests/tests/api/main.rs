//! Every row of the HTTP API, asked from outside of a real server on either log.

mod bodies;
mod edge;
mod follow;
mod fuzz;
mod idempotency;
mod limits;
mod list;
mod methods;
mod names;
mod parameters;
mod past;
mod preconditions;
mod read;
mod rollback;
mod shapes;
mod watch;
mod write;

use headwater_tests::http::{Answer, Ask};
use headwater_tests::stand::{Log, Stand};

/// The shared server, and a namespace that nobody else uses.
struct Desk {
    stand: &'static Stand,
    namespace: String,
}

impl Desk {
    fn on(log: Log) -> Self {
        let namespace = format!("t{}", uuid::Uuid::new_v4().simple());
        Self { stand: Stand::shared(log), namespace }
    }

    /// The path of a key, with what follows.
    fn path(&self, key: &str) -> String {
        format!("/v1/config/{}/{key}", self.namespace)
    }

    async fn ask(&self, ask: Ask) -> Answer {
        self.stand.ask(ask).await
    }

    async fn get(&self, key: &str) -> Answer {
        self.ask(Ask::get(self.path(key))).await
    }

    /// Sets a value and gives the revision.
    async fn put(&self, key: &str, value: &str) -> u64 {
        let answer = self.ask(Ask::put(self.path(key), value.to_owned())).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.revision()
    }

    /// What this namespace holds: key → value.
    async fn held(&self) -> Vec<(String, serde_json::Value)> {
        let list = Ask::get(format!("/v1/config/{}?limit=1000", self.namespace));
        let body: serde_json::Value = self.ask(list).await.is(200).json();
        let entries = body["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| (entry["key"].as_str().unwrap().to_owned(), entry["value"].clone()))
            .collect()
    }

    /// A put as it stands in `POST /v1/commits`.
    fn change(&self, key: &str, value: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({ "namespace": self.namespace, "key": key, "put": { "value": value } })
    }

    fn deletion(&self, key: &str) -> serde_json::Value {
        serde_json::json!({ "namespace": self.namespace, "key": key, "delete": true })
    }
}

/// `POST /v1/commits` with these changes.
fn commit(changes: &[serde_json::Value]) -> Ask {
    Ask::post("/v1/commits", &serde_json::json!({ "changes": changes }))
}
