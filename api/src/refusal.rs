//! The problems there are: one constructor per code that has fields or a fixed text.

use std::fmt;
use std::time::Duration;

use headwater_schemas::{Key, Namespace, Point, StreamId};

use crate::{Code, Failure, JsonError, Problem};

/// How a server's chain came about where an operator led the stream to it: a field of `wrong_chain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Succession {
    /// The point from which the chain goes on.
    pub from: Point,
    /// The revision of the commit that says so.
    pub since: u64,
    /// Whether this server was itself at the client's place on the chain that was left.
    pub known: bool,
}

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

    /// The same, with how that came about: an operator led the stream to this chain.
    #[must_use]
    pub fn led_on(self, succession: Option<&Succession>) -> Self {
        let told = succession.and_then(|succession| serde_json::to_value(succession).ok());
        match told {
            Some(told) => self.with("succession", told),
            None => self,
        }
    }

    /// How the chain of a `wrong_chain` came about, if an operator led the stream to it.
    pub fn succession(&self) -> Option<Succession> {
        serde_json::from_value(self.fields.get("succession")?.clone()).ok()
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

    /// A body under a content coding, such as `gzip`.
    pub fn content_encoded() -> Self {
        let detail = "a value is stored as its plain bytes; send it without Content-Encoding";
        Self::new(Code::UnsupportedMediaType, detail.to_owned())
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
        let detail = format!(
            "the value has {actual} bytes, the most is {limit}; store a reference to it instead"
        );
        Self::over(Code::ValueTooLarge, detail, limit, actual)
    }

    /// A commit over the limit, in bytes of encoded record.
    pub fn commit_too_large(limit: usize, actual: usize) -> Self {
        let detail = format!("the commit has {actual} bytes, the most is {limit}; split it");
        Self::over(Code::CommitTooLarge, detail, limit, actual)
    }

    /// The same for a commit that would restore `to_revision`: how it is done in steps.
    #[must_use]
    pub fn in_steps(self, to_revision: u64) -> Self {
        let detail = format!(
            "going back to revision {to_revision} takes more than one commit: {}. Nothing was changed: send it again for \
             narrower prefixes (a/, b/ …), or for single keys, each with the same to_revision",
            self.detail.trim_end_matches("; split it")
        );
        Self { detail, ..self }
    }

    /// A commit with too many changes.
    pub fn too_many_changes(limit: usize, actual: usize) -> Self {
        let detail = format!("the commit has {actual} changes, the most is {limit}; split it");
        Self::over(Code::TooManyChanges, detail, limit, actual)
    }

    fn over(code: Code, detail: String, limit: usize, actual: usize) -> Self {
        Self::new(code, detail).with("limit", limit).with("actual", actual)
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
