//! A registry of Avro schemas that speaks Confluent's API, as far as a writer of one topic needs it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ClientError;
use crate::builder::{base, transport};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A registry of schemas.
#[derive(Debug, Clone)]
pub struct SchemaRegistry {
    http: reqwest::Client,
    base: String,
    /// The same without a password, for messages.
    shown: String,
}

/// What the registry refused, as it says it.
#[derive(Deserialize)]
struct Refusal {
    error_code: i64,
    message: String,
}

#[derive(Serialize)]
struct NewVersion<'a> {
    schema: &'a str,
    #[serde(rename = "schemaType")]
    schema_type: &'a str,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Stored {
    schema: String,
}

impl SchemaRegistry {
    /// A registry at `url`, with `user:password@` before the host where it asks for that. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Setting`] when the URL is none.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let base = base(url)?;
        let shown =
            match base.split_once("://").map(|(scheme, rest)| (scheme, rest.rsplit_once('@'))) {
                Some((scheme, Some((_, host)))) => format!("{scheme}://{host}"),
                _ => base.clone(),
            };
        Ok(Self { http: transport(base.starts_with("https://"))?, base, shown })
    }

    /// Registers an Avro schema for `subject`, and gives its id. A schema that is there already keeps its id.
    ///
    /// # Errors
    /// [`ClientError`]; a schema that is not compatible with the subject's earlier ones is refused.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, ClientError> {
        let url = format!("{}/subjects/{}/versions", self.base, encoded(subject));
        let asked = self.http.post(url).header("content-type", MEDIA_TYPE);
        let body = serde_json::to_vec(&NewVersion { schema, schema_type: "AVRO" });
        let body = body.map_err(|error| ClientError::Setting(error.to_string()))?;
        Ok(self.ask::<Registered>(asked.body(body)).await?.id)
    }

    /// The schema of an id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn schema(&self, id: u32) -> Result<String, ClientError> {
        let asked = self.http.get(format!("{}/schemas/ids/{id}", self.base));
        Ok(self.ask::<Stored>(asked).await?.schema)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let limit_ms = u64::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        let failed =
            |error: reqwest::Error| ClientError::of(&self.shown, limit_ms, &error.without_url());
        let request = request.header("accept", MEDIA_TYPE).timeout(CALL_TIMEOUT);
        let mut answer = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(self.nonsense("its answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        if !answer.status().is_success() {
            return Err(self.refused(answer.status(), &body));
        }
        serde_json::from_slice(&body).map_err(|error| self.nonsense(error))
    }

    fn refused(&self, status: reqwest::StatusCode, body: &[u8]) -> ClientError {
        let url = &self.shown;
        match serde_json::from_slice::<Refusal>(body) {
            Ok(Refusal { error_code, message }) => {
                ClientError::Setting(format!("{url} refused: {message} ({error_code})"))
            }
            Err(_) => ClientError::Setting(format!("{url} answered {status}")),
        }
    }

    fn nonsense(&self, why: impl ToString) -> ClientError {
        ClientError::Decode { url: self.shown.clone(), cause: why.to_string() }
    }
}

/// A subject as one segment of a path.
fn encoded(subject: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let mut out = String::with_capacity(subject.len());
    for byte in subject.as_bytes() {
        if plain(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_message_and_a_subject_is_one_segment() {
        let registry = SchemaRegistry::new("http://me:secret@registry:8081/").unwrap();
        assert_eq!(registry.shown, "http://registry:8081");
        assert!(SchemaRegistry::new("registry:8081").is_err());
        assert_eq!(encoded("a b/ü.config-value"), "a%20b%2F%C3%BC.config-value");
    }
}
