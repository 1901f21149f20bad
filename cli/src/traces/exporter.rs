//! Sends spans, and says when that fails: once in a while, for a collector may be away for days.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::metrics;

/// The least time between two lines about a collector that does not take spans.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// An exporter that is watched.
#[derive(Debug)]
pub(super) struct Exporter {
    inner: opentelemetry_otlp::SpanExporter,
    /// When a failure was told last.
    told: Mutex<Option<Instant>>,
}

impl Exporter {
    pub(super) fn new(inner: opentelemetry_otlp::SpanExporter) -> Self {
        Self { inner, told: Mutex::default() }
    }

    /// Whether it is time for a line.
    fn is_due(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.inner.export(batch).await;
        metrics::spans(sent.is_ok(), spans);
        if let Err(error) = &sent
            && self.is_due(Instant::now())
        {
            tracing::warn!(%error, spans, "the collector takes no spans; they are lost, and it is tried on");
        }
        sent
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
