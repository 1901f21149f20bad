//! Names of what is measured; listed in `docs/metrics.md`.

use std::time::Duration;

/// Gauge: the revision of the rows.
pub const REVISION: &str = "headwater_snapshotter_revision";
/// Gauge: 1 while an alarm stands, else 0.
pub const ALARM: &str = "headwater_snapshotter_alarm";
/// Histogram: commits written in one batch.
pub const BATCH_COMMITS: &str = "headwater_snapshotter_batch_commits";
/// Histogram: seconds to write one batch.
pub const BATCH_SECONDS: &str = "headwater_snapshotter_batch_seconds";
/// Counter: failures of the store.
pub const STORE_ERRORS: &str = "headwater_snapshotter_store_errors_total";
/// Gauge: the revision of the announced image.
pub const IMAGE_REVISION: &str = "headwater_snapshotter_image_revision";
/// Gauge: bytes of the announced image.
pub const IMAGE_BYTES: &str = "headwater_snapshotter_image_bytes";
/// Histogram: seconds to cut and prove one image.
pub const CUT_SECONDS: &str = "headwater_snapshotter_cut_seconds";
/// Counter: images cut and announced.
pub const IMAGES_CUT: &str = "headwater_snapshotter_images_cut_total";
/// Gauge: seconds since the announced image was cut.
pub const IMAGE_AGE: &str = "headwater_snapshotter_image_age_seconds";
/// Gauge: bytes that RocksDB uses, by `kind`: tables on disk, memtables and cache in memory.
pub const STORE_BYTES: &str = "headwater_snapshotter_store_bytes";
/// Counter: images that could not be cut, or did not prove themselves.
pub const CUT_ERRORS: &str = "headwater_snapshotter_cut_errors_total";
/// Gauge: the revision announced where images are shared.
pub const SHARED_REVISION: &str = "headwater_snapshotter_shared_revision";
/// Histogram: seconds to put, read back and announce one image there.
pub const SHARE_SECONDS: &str = "headwater_snapshotter_share_seconds";
/// Counter: tries to share an image that failed.
pub const SHARE_ERRORS: &str = "headwater_snapshotter_share_errors_total";

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn gauge(name: &'static str, value: u64) {
    ::metrics::gauge!(name).set(value as f64);
}

#[expect(clippy::cast_precision_loss, reason = "a histogram takes floats")]
pub(crate) fn batch(commits: u64, revision: u64, took: Duration) {
    gauge(REVISION, revision);
    ::metrics::histogram!(BATCH_COMMITS).record(commits as f64);
    ::metrics::histogram!(BATCH_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn alarm(stands: bool) {
    gauge(ALARM, u64::from(stands));
}

pub(crate) fn store_error() {
    ::metrics::counter!(STORE_ERRORS).increment(1);
}

pub(crate) fn announced(revision: u64, bytes: u64) {
    gauge(IMAGE_REVISION, revision);
    gauge(IMAGE_BYTES, bytes);
}

/// Begins the counters at nothing, so that the first of what they count is an increase. Called once, when a recorder
/// is there.
pub fn describe() {
    for name in [IMAGES_CUT, CUT_ERRORS, SHARE_ERRORS, STORE_ERRORS] {
        ::metrics::counter!(name).increment(0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn image_age(milliseconds: i64) {
    ::metrics::gauge!(IMAGE_AGE).set(milliseconds.max(0) as f64 / 1_000.0);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn store_bytes(kind: &'static str, bytes: u64) {
    ::metrics::gauge!(STORE_BYTES, "kind" => kind).set(bytes as f64);
}

pub(crate) fn cut(took: Duration) {
    ::metrics::histogram!(CUT_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn image_cut() {
    ::metrics::counter!(IMAGES_CUT).increment(1);
}

pub(crate) fn cut_error() {
    ::metrics::counter!(CUT_ERRORS).increment(1);
}

pub(crate) fn shared(revision: u64) {
    gauge(SHARED_REVISION, revision);
}

pub(crate) fn share(took: Duration) {
    ::metrics::histogram!(SHARE_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn share_error() {
    ::metrics::counter!(SHARE_ERRORS).increment(1);
}
