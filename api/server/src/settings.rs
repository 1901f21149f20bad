//! What the edge bounds, and by how much.

use std::time::Duration;

/// The limits of a server. Every default stands here with its reason.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// The most connections at once; each costs a few KiB and a file descriptor. More are told 429 and closed.
    pub max_connections: usize,
    /// The most requests being answered at once; streams count only until their first byte. More are told 429.
    pub max_requests: usize,
    /// The largest request line and headers together, in bytes; a key in a path needs up to 1.5 KiB of it.
    pub max_header_bytes: usize,
    /// How many bytes of bodies all requests may hold together, counted as they arrive; the next ones are told 429.
    /// How large one body may be is its route's limit. Too little refuses writers at busy times, too much is memory.
    pub max_held_body_bytes: usize,
    /// How long a request's headers may take from their first byte, in milliseconds. Too little cuts off slow
    /// networks, too much lets a slow client hold a connection.
    pub header_timeout_ms: u64,
    /// How long a request's body may take, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long a connection may stand idle between requests, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a client may take none of an answer's bytes, in milliseconds, before it is cut off.
    pub write_timeout_ms: u64,
    /// How long requests in flight may take to finish once the server shuts down, in milliseconds.
    pub drain_timeout_ms: u64,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            max_connections: 8_192,
            max_requests: 2_048,
            max_header_bytes: 16 * 1024,
            max_held_body_bytes: 64 * 1024 * 1024,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            idle_timeout_ms: 75_000,
            write_timeout_ms: 30_000,
            drain_timeout_ms: 10_000,
        }
    }
}

impl ServerSettings {
    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}
