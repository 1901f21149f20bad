//! Names of what is measured; listed in `docs/metrics.md`.

use metrics::{counter, gauge};

/// Gauge: streams open now.
pub const STREAMS: &str = "headwater_relay_streams";
/// Counter: bytes of frames sent.
pub const STREAM_BYTES: &str = "headwater_relay_stream_bytes_total";
/// Counter: streams that the relay ended, by the `code` of the problem it told.
pub const STREAMS_ENDED: &str = "headwater_relay_streams_ended_total";
/// Gauge: watches open now, long polls among them.
pub const WATCHES: &str = "headwater_relay_watches";
/// Counter: bytes of events and polled answers sent.
pub const WATCH_BYTES: &str = "headwater_relay_watch_bytes_total";
/// Counter: watches that the relay ended, by the `code` of the problem it told; `revision_compacted` was too slow.
pub const WATCHES_ENDED: &str = "headwater_relay_watches_ended_total";
/// Counter: bytes of images sent.
pub const IMAGE_BYTES: &str = "headwater_relay_image_bytes_total";
/// Gauge: older states kept for cursors.
pub const CURSOR_STATES: &str = "headwater_relay_cursor_states";

/// An open stream; the gauge goes down when it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(());

impl OpenStream {
    pub(crate) fn new() -> Self {
        gauge!(STREAMS).increment(1.0);
        Self(())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        gauge!(STREAMS).decrement(1.0);
    }
}

/// An open watch; the gauge goes down when it is dropped.
#[derive(Debug)]
pub(crate) struct OpenWatch(());

impl OpenWatch {
    pub(crate) fn new() -> Self {
        gauge!(WATCHES).increment(1.0);
        Self(())
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        gauge!(WATCHES).decrement(1.0);
    }
}

pub(crate) fn watch_sent(bytes: usize) {
    counter!(WATCH_BYTES).increment(bytes as u64);
}

pub(crate) fn watch_ended(code: headwater_api::Code) {
    counter!(WATCHES_ENDED, "code" => code.as_str()).increment(1);
}

pub(crate) fn sent(bytes: usize) {
    counter!(STREAM_BYTES).increment(bytes as u64);
}

pub(crate) fn ended(code: headwater_api::Code) {
    counter!(STREAMS_ENDED, "code" => code.as_str()).increment(1);
}

pub(crate) fn image_sent(bytes: usize) {
    counter!(IMAGE_BYTES).increment(bytes as u64);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn cursor_states(states: usize) {
    gauge!(CURSOR_STATES).set(states as f64);
}
