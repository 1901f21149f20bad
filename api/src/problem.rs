//! Errors as the API tells them: RFC 9457 problems with a code.

use std::fmt;
use std::time::Duration;

use headwater_schemas::{Key, Namespace, StreamId};
use serde_json::{Map, Value};

use crate::value::JsonError;

/// The codes, one per kind of refusal. What a client does depends on the code alone.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong. A variant's comment says what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status it is answered with.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// A short, fixed summary.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// Mend the request.
    InvalidRequest = "invalid_request", 400, "The request is not valid";
    /// Mend the namespace or key.
    InvalidName = "invalid_name", 400, "Not a valid name";
    /// Mend the JSON at the line and column given.
    InvalidJson = "invalid_json", 400, "Not valid JSON";
    /// Begin the list again, without a cursor.
    InvalidCursor = "invalid_cursor", 400, "Not a valid cursor";
    /// Choose a namespace that does not start with `_`.
    ReservedNamespace = "reserved_namespace", 403, "The namespace is reserved";
    /// There is no such key.
    KeyNotFound = "key_not_found", 404, "No such key";
    /// Wait for the revision with `min_revision`.
    RevisionInFuture = "revision_in_future", 404, "The revision is above the head";
    /// There is no such resource.
    NotFound = "not_found", 404, "No such resource";
    /// Use a method that `Allow` names.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// Accept a type that is offered.
    NotAcceptable = "not_acceptable", 406, "No acceptable representation";
    /// Send the request faster.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// Ask for a revision that is still kept, or take an image.
    RevisionCompacted = "revision_compacted", 410, "The revision is no longer kept";
    /// Read again, decide again, send again.
    Conflict = "conflict", 409, "A precondition does not hold";
    /// Wait for the first request.
    IdempotencyKeyInUse = "idempotency_key_in_use", 409, "The same request is still under way";
    /// This server serves another history: begin anew.
    WrongStream = "wrong_stream", 409, "Another stream";
    /// The server's chain differs from the client's: begin anew from an image, elsewhere.
    WrongChain = "wrong_chain", 409, "Another chain";
    /// Read again, decide again, send again.
    PreconditionFailed = "precondition_failed", 412, "A precondition does not hold";
    /// Send `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415, "Unsupported media type";
    /// Ask for a range within the length.
    RangeNotSatisfiable = "range_not_satisfiable", 416, "The range is not within the file";
    /// Use a fresh key for another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key belongs to another request";
    /// Send fewer or shorter headers.
    HeadersTooLarge = "headers_too_large", 431, "The request's headers are too large";
    /// Send a smaller value.
    ValueTooLarge = "value_too_large", 413, "The value is too large";
    /// Split the commit.
    CommitTooLarge = "commit_too_large", 413, "The commit is too large";
    /// Split the commit.
    TooManyChanges = "too_many_changes", 413, "Too many changes in one commit";
    /// Try again after `Retry-After`.
    Overloaded = "overloaded", 429, "The server is overloaded";
    /// Try again after `Retry-After`.
    LogUnavailable = "log_unavailable", 503, "The log cannot be reached";
    /// Try again after `Retry-After`.
    NotReady = "not_ready", 503, "The server is not ready yet";
    /// Try again after `Retry-After`.
    Contended = "contended", 503, "Other writers were faster, eight times in a row";
    /// Try again after `Retry-After`, best at another server.
    ShuttingDown = "shutting_down", 503, "The server is shutting down";
    /// The write may or may not happen: retry it with the same Idempotency-Key.
    OutcomeUnknown = "outcome_unknown", 504, "The outcome of the write is not known";
    /// Wait longer.
    RevisionNotReached = "revision_not_reached", 504, "The revision was not reached in time";
    /// Report the id: the cause stands in the server's log.
    Internal = "internal", 500, "Internal error";
}

impl Code {
    /// Whether the same request, sent again later, can end better. A write whose outcome is unknown must
    /// then carry its Idempotency-Key.
    pub fn is_retryable(self) -> bool {
        self.nothing_done()
            || matches!(
                self,
                Self::RequestTimeout
                    | Self::IdempotencyKeyInUse
                    | Self::OutcomeUnknown
                    | Self::RevisionNotReached
            )
    }

    /// Whether the server certainly did nothing and asks to be tried again: even a write without an
    /// Idempotency-Key may be sent again. These carry `Retry-After`.
    pub fn nothing_done(self) -> bool {
        matches!(self.status(), 429 | 503)
    }

    /// The nearest code for a status, for an answer whose own code this build does not know.
    pub fn of_status(status: u16) -> Self {
        match status {
            403 => Self::ReservedNamespace,
            404 => Self::NotFound,
            429 => Self::Overloaded,
            502 | 503 => Self::NotReady,
            504 => Self::OutcomeUnknown,
            500..=599 => Self::Internal,
            _ => Self::ALL
                .iter()
                .copied()
                .find(|code| code.status() == status)
                .unwrap_or(Self::InvalidRequest),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The wait that is named when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
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
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    pub fields: Map<String, Value>,
    /// How long to wait: the header `Retry-After`.
    #[serde(skip)]
    #[schema(ignore)]
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

/// What a failed precondition expected.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "ExpectedWire", into = "ExpectedWire")]
#[schema(as = Expected)]
pub enum Expected {
    /// The key was last changed by this revision; 0 = absent.
    Revision(u64),
    /// The key is absent.
    Absent,
    /// The key is there.
    Exists,
    /// The key was not changed after this revision.
    BaseRevision(u64),
}

impl Expected {
    /// Whether it holds for a key that was last changed by `current` (0 = absent). For a base revision a
    /// deletion counts as a change, so the caller says when the key was last changed or deleted.
    pub fn holds(self, current: u64) -> bool {
        match self {
            Self::Revision(revision) => current == revision,
            Self::Absent => current == 0,
            Self::Exists => current != 0,
            Self::BaseRevision(base) => current <= base,
        }
    }
}

/// [`Expected`] as it stands on the wire: exactly one of the fields.
#[derive(Default, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Expected)]
struct ExpectedWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_revision: Option<u64>,
}

impl From<Expected> for ExpectedWire {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Revision(revision) => Self { revision: Some(revision), ..Self::default() },
            Expected::Absent => Self { absent: Some(true), ..Self::default() },
            Expected::Exists => Self { exists: Some(true), ..Self::default() },
            Expected::BaseRevision(base) => Self { base_revision: Some(base), ..Self::default() },
        }
    }
}

impl TryFrom<ExpectedWire> for Expected {
    type Error = &'static str;

    fn try_from(wire: ExpectedWire) -> Result<Self, Self::Error> {
        match (wire.revision, wire.absent, wire.exists, wire.base_revision) {
            (Some(revision), None, None, None) => Ok(Self::Revision(revision)),
            (None, Some(true), None, None) => Ok(Self::Absent),
            (None, None, Some(true), None) => Ok(Self::Exists),
            (None, None, None, Some(base)) => Ok(Self::BaseRevision(base)),
            _ => Err("give exactly one of revision, absent: true, exists: true"),
        }
    }
}

/// One precondition of a change set that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// The index in `changes`; null for one of `expects`.
    pub index: Option<usize>,
    /// The namespace of the key.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// The key.
    #[schema(value_type = String)]
    pub key: Key,
    /// What was expected.
    #[schema(value_type = ExpectedWire)]
    pub expected: Expected,
    /// What is: the revision that last changed the key; 0 = absent.
    pub current_revision: u64,
}

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

/// One constructor per code that has fields or a fixed text.
impl Problem {
    /// The request has a mistake; `detail` names it.
    pub fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// A namespace, key or stream that is no name.
    pub fn invalid_name(error: &dyn fmt::Display) -> Self {
        Self::new(Code::InvalidName, error.to_string())
    }

    /// What is not JSON, and where.
    pub fn invalid_json(error: &JsonError) -> Self {
        Self::new(Code::InvalidJson, error.to_string())
            .with("line", error.line)
            .with("column", error.column)
    }

    /// A cursor that cannot be used.
    pub fn invalid_cursor(error: &dyn fmt::Display) -> Self {
        Self::new(Code::InvalidCursor, error.to_string())
    }

    /// A namespace of the system's.
    pub fn reserved_namespace(namespace: &Namespace) -> Self {
        Self::new(
            Code::ReservedNamespace,
            format!("{namespace} is the system's; choose a namespace that does not start with _"),
        )
    }

    /// No such key.
    pub fn key_not_found(namespace: &Namespace, key: &Key) -> Self {
        Self::new(Code::KeyNotFound, format!("there is no key {key} in {namespace}"))
    }

    /// A revision above the head.
    pub fn revision_in_future(revision: u64, head: u64) -> Self {
        Self::new(
            Code::RevisionInFuture,
            format!("revision {revision} is above the head, {head}; wait for it with min_revision={revision}"),
        )
        .with("head_revision", head)
    }

    /// No such resource.
    pub fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::new(
            Code::NotFound,
            format!("there is nothing at {path}; /openapi.json lists what there is"),
        )
    }

    /// A method that is not allowed here.
    pub fn method_not_allowed(method: &str) -> Self {
        Self::new(
            Code::MethodNotAllowed,
            format!("{method} is not allowed here; the header Allow names the methods that are"),
        )
    }

    /// None of the representations on offer is accepted.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        Self::new(Code::NotAcceptable, format!("accept one of: {}", offered.join(", ")))
    }

    /// The request did not arrive in time.
    pub fn request_timeout(limit: Duration) -> Self {
        Self::new(
            Code::RequestTimeout,
            format!(
                "the request did not arrive whole within {} s; send it again",
                limit.as_secs_f32()
            ),
        )
    }

    /// A revision that is no longer kept.
    pub fn revision_compacted(revision: u64, oldest_revision: u64) -> Self {
        Self::new(
            Code::RevisionCompacted,
            format!("revision {revision} is no longer kept; the oldest is {oldest_revision}. Take an image from /v1/images/latest, or ask for a newer revision"),
        )
        .with("oldest_revision", oldest_revision)
    }

    /// Preconditions of a change set that do not hold: all of them.
    pub fn conflict(failures: &[Failure]) -> Self {
        let value = serde_json::to_value(failures).unwrap_or_default();
        Self::new(
            Code::Conflict,
            format!("{} of the preconditions do not hold, nothing was written; read the keys in failures again", failures.len()),
        )
        .with("failures", value)
    }

    /// The same request is still under way.
    pub fn idempotency_key_in_use() -> Self {
        Self::new(
            Code::IdempotencyKeyInUse,
            "the first request with this Idempotency-Key is still under way; send it again in a moment",
        )
    }

    /// The key belongs to another request.
    pub fn idempotency_key_reused() -> Self {
        Self::new(
            Code::IdempotencyKeyReused,
            "this Idempotency-Key was used for another request; use a fresh key for each request",
        )
    }

    /// The server serves another stream.
    pub fn wrong_stream(asked: &str, here: StreamId) -> Self {
        let asked: String = asked.chars().take(64).collect();
        Self::new(
            Code::WrongStream,
            format!("this server serves stream {here}, not {asked}; forget what was read from the other and begin anew"),
        )
        .with("stream_id", here.to_string())
    }

    /// The server's chain has another hash at the client's revision.
    pub fn wrong_chain(revision: u64) -> Self {
        Self::new(
            Code::WrongChain,
            format!("this server has another hash at revision {revision}; one of the two is not on the chain: bootstrap again elsewhere"),
        )
        .with("revision", revision)
    }

    /// `If-Match` or `If-None-Match` does not hold.
    pub fn precondition_failed(current_revision: u64) -> Self {
        let now = match current_revision {
            0 => "the key is absent".to_owned(),
            revision => format!("the key was last changed by revision {revision}"),
        };
        Self::new(
            Code::PreconditionFailed,
            format!("{now}, nothing was written; read it again and decide again"),
        )
        .with("current_revision", current_revision)
    }

    /// A content type that this call does not take.
    pub fn unsupported_media_type(wanted: &str) -> Self {
        Self::new(Code::UnsupportedMediaType, format!("send the header Content-Type: {wanted}"))
    }

    /// A range outside the file.
    pub fn range_not_satisfiable(size: u64) -> Self {
        Self::new(Code::RangeNotSatisfiable, format!("the file has {size} bytes"))
    }

    /// The request's headers are too large.
    pub fn headers_too_large() -> Self {
        Self::new(
            Code::HeadersTooLarge,
            "the request's line and headers are too large; send fewer or shorter ones",
        )
    }

    /// A value over the limit, in bytes.
    pub fn value_too_large(limit: usize, actual: usize) -> Self {
        Self::over(Code::ValueTooLarge, limit, actual, "bytes; store a reference to it instead")
    }

    /// A commit over the limit, in bytes of encoded record.
    pub fn commit_too_large(limit: usize, actual: usize) -> Self {
        Self::over(Code::CommitTooLarge, limit, actual, "bytes; split it")
    }

    /// A commit with too many changes.
    pub fn too_many_changes(limit: usize, actual: usize) -> Self {
        Self::over(Code::TooManyChanges, limit, actual, "changes; split it")
    }

    fn over(code: Code, limit: usize, actual: usize, unit: &str) -> Self {
        Self::new(code, format!("{actual}; the most is {limit} {unit}"))
            .with("limit", limit)
            .with("actual", actual)
    }

    /// Too much at once; `what` is full.
    pub fn overloaded(what: &str) -> Self {
        Self::new(
            Code::Overloaded,
            format!("{what}; nothing was done, try again after Retry-After"),
        )
    }

    /// The log cannot be reached.
    pub fn log_unavailable(why: &str) -> Self {
        Self::new(
            Code::LogUnavailable,
            format!(
                "the log cannot take writes now ({why}); nothing was handed to it, try again after Retry-After"
            ),
        )
    }

    /// Not ready yet.
    pub fn not_ready(why: &str) -> Self {
        Self::new(Code::NotReady, format!("{why}; try again after Retry-After"))
    }

    /// Eight conflicts in a row.
    pub fn contended() -> Self {
        Self::new(
            Code::Contended,
            "other writers were faster eight times in a row; nothing was written, try again after Retry-After",
        )
    }

    /// The server drains.
    pub fn shutting_down() -> Self {
        Self::new(
            Code::ShuttingDown,
            "the server is shutting down; nothing was done, try another or again after Retry-After",
        )
    }

    /// Nobody knows whether the write happened.
    pub fn outcome_unknown() -> Self {
        Self::new(
            Code::OutcomeUnknown,
            "the write may or may not have happened; retry it with the same Idempotency-Key, or read the key before you decide",
        )
    }

    /// `min_revision` was not reached in time.
    pub fn revision_not_reached(wanted: u64, reached: u64) -> Self {
        Self::new(
            Code::RevisionNotReached,
            format!("revision {wanted} was not reached in time, this server is at {reached}; wait longer"),
        )
        .with("revision", reached)
    }

    /// Our own mistake; the cause stands in the server's log beside the id.
    pub fn internal(id: &str) -> Self {
        Self::new(
            Code::Internal,
            format!("the server made a mistake; its log has the cause beside {id}"),
        )
        .with("id", id)
    }
}
