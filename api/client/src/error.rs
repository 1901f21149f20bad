//! How calls fail.

use headwater_api::{Code, Problem};

/// Why a call failed. A variant's comment says what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The server refused; its code decides what to do.
    #[error("{0}")]
    Problem(Problem),
    /// The server cannot be reached or went away: try again, or another server.
    #[error("{url} cannot be reached: {cause}")]
    Transport {
        /// The server.
        url: String,
        /// What the network says.
        cause: String,
        /// Whether no connection came about, so that the server certainly saw nothing.
        unsent: bool,
    },
    /// The server did not answer, or stopped sending, in time: try again, or another server.
    #[error("{url} did not answer within {limit_ms} ms")]
    Timeout {
        /// The server.
        url: String,
        /// The limit.
        limit_ms: u64,
    },
    /// The answer is not what the API says: the server is broken, much newer, or no Headwater.
    #[error("{url} answered what is no answer of Headwater's API: {cause}")]
    Decode {
        /// The server.
        url: String,
        /// What is wrong.
        cause: String,
    },
    /// The client cannot be built: mend the setting.
    #[error("{0}")]
    Setting(String),
}

impl ClientError {
    /// Whether the same call, made again later, can end better. A write without an Idempotency-Key must be
    /// made again only if [`ClientError::nothing_done`].
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.is_retryable(),
            Self::Transport { .. } | Self::Timeout { .. } => true,
            Self::Decode { .. } | Self::Setting(_) => false,
        }
    }

    /// Whether the server certainly did nothing.
    pub fn nothing_done(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.code.nothing_done(),
            Self::Transport { unsent, .. } => *unsent,
            Self::Timeout { .. } | Self::Decode { .. } => false,
            Self::Setting(_) => true,
        }
    }

    /// The code, when the server refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            _ => None,
        }
    }

    /// What reqwest reports, as one line with all its causes.
    pub(crate) fn of(url: &str, limit_ms: u64, error: &reqwest::Error) -> Self {
        let url = url.to_owned();
        if error.is_timeout() && !error.is_connect() {
            return Self::Timeout { url, limit_ms };
        }
        let mut causes = Vec::new();
        let mut source: Option<&dyn std::error::Error> = Some(error);
        while let Some(cause) = source {
            let told = cause.to_string();
            if causes.last() != Some(&told) {
                causes.push(told);
            }
            source = cause.source();
        }
        let cause = causes.pop().unwrap_or_default();
        if error.is_decode() {
            return Self::Decode { url, cause };
        }
        Self::Transport { url, cause, unsent: error.is_connect() }
    }
}
