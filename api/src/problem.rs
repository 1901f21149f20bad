//! Errors as the API tells them: RFC 9457 problems with a code.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::{Code, Failure};

/// The wait that is named when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI of the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short, fixed summary.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
    /// What a program decides by.
    pub code: Code,
    /// The fields of this code.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub fields: Map<String, Value>,
    /// How long to wait: the header `Retry-After`.
    #[serde(skip)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// A problem of this code; `detail` says what is wrong and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:headwater:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            fields: Map::new(),
            retry_after: code.nothing_done().then_some(RETRY_AFTER),
        }
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The same with another `Retry-After`; a header counts whole seconds, so it is rounded up.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Whether the same request, sent again later, can end better.
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }

    /// A field that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    /// The failures of a `conflict`.
    pub fn failures(&self) -> Vec<Failure> {
        let failures = self.fields.get("failures").cloned();
        failures.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }

    /// The body.
    pub fn to_json(&self) -> String {
        // Strings, numbers and JSON values always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads an error answer of any server, ours or a proxy's between.
    pub fn of_answer(status: u16, body: &[u8]) -> Self {
        if let Ok(problem) = serde_json::from_slice::<Self>(body) {
            return problem;
        }
        let told: Option<Value> = serde_json::from_slice(body).ok();
        let detail = told.as_ref().and_then(|value| value.get("detail")).and_then(Value::as_str);
        let detail = detail.map_or_else(
            || {
                let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
                format!("the server answered {status}: {}", text.trim())
            },
            str::to_owned,
        );
        Self { status, ..Self::new(Code::of_status(status), detail) }
    }
}
