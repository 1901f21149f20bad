//! What a settings file can say.

/// Settings of a relay.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often a stream or a watch says where the head is, in milliseconds. Default 5,000: a client that hears nothing for
    /// three times as long looks for another relay.
    pub heartbeat_ms: u64,
    /// How many commits one send takes from the tail, in bytes. Default 256 KiB: what a client that is behind holds of
    /// this server's memory.
    pub send_bytes: usize,
    /// How many older states are kept for cursors. Default 64. States share what they have in common; a client that
    /// pages more slowly than so many commits with open cursors begins again.
    pub cursor_states: usize,
    /// How long a state is kept for a cursor that nobody used, in seconds. Default 300.
    pub cursor_seconds: u64,
    /// About how large a page's values, or a long poll's commits, may become, in bytes; it ends early then. Default 4 MiB.
    pub page_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat_ms: 5_000,
            send_bytes: 256 * 1024,
            cursor_states: 64,
            cursor_seconds: 300,
            page_bytes: 4 * 1024 * 1024,
        }
    }
}
