//! Header names and media types of our own.

use http::HeaderName;

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        $($(#[$doc])* pub const $constant: HeaderName = HeaderName::from_static($name);)*
    };
}

names! {
    /// The revision of the state an answer was read from.
    REVISION = "headwater-revision";
    /// The stream id.
    STREAM = "headwater-stream";
    /// The version of the key.
    VERSION = "headwater-version";
    /// The revision that created the key.
    CREATE_REVISION = "headwater-create-revision";
    /// Who writes, percent-encoded UTF-8 allowed.
    ACTOR = "headwater-actor";
    /// Why, percent-encoded UTF-8 allowed.
    REASON = "headwater-reason";
    /// What makes a retried write land once.
    IDEMPOTENCY_KEY = "idempotency-key";
    /// `true` on an answer that was given before.
    IDEMPOTENT_REPLAYED = "idempotent-replayed";
    /// The revision up to which a watcher was sent everything, as it resumes.
    LAST_EVENT_ID = "last-event-id";
    /// The trace context, kept with the commit.
    TRACEPARENT = "traceparent";
}

/// An error.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// An entry instead of the raw value.
pub const ENTRY_JSON: &str = "application/vnd.headwater.entry+json";
/// A commit's record, as stored.
pub const COMMIT_AVRO: &str = "application/vnd.headwater.commit+avro";
/// The binary stream.
pub const STREAM_AVRO: &str = "application/vnd.headwater.stream+avro";
/// Server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";
/// An image's wire form.
pub const IMAGE: &str = "application/vnd.headwater.image";
