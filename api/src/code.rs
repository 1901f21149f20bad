//! The codes of problems, and their statuses.

use std::fmt;

/// The codes, one per kind of refusal. What a client does depends on the code alone.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong. A variant's comment says what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $variant,)*
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
