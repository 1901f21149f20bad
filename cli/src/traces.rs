//! Traces, sent to a collector by OTLP over HTTP. Off unless one is named.
//!
//! ```text
//!   request ──▶ append                in the process that was asked
//!      │  └───▶ apply                 in every server and service that reads the commit, which carries the request's
//!      └──────▶ hand_over             `traceparent`
//! ```
//! Spans wait in a bounded queue for a thread of their own; what does not fit is lost, and nothing waits for it.

mod exporter;
mod layer;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use headwater_server::Continue;
use http::HeaderValue;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Layer;

use crate::exit::Failure;
use crate::settings::Settings;
use crate::traces::exporter::Exporter;
use crate::traces::layer::SpanLayer;
use crate::traces::transport::Transport;

/// How long the last spans may take to be sent when the process ends.
const FLUSH: Duration = Duration::from_millis(500);
/// Where a collector takes spans.
const PATH: &str = "/v1/traces";
/// The variables of OpenTelemetry that name a collector: for spans alone, or for everything.
const VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Where a process sends its spans.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins, if a collector is named by the settings or by OpenTelemetry's own variables, which also say the rest:
    /// sampling, time-outs, headers. Nothing is sent yet.
    pub(crate) fn of(
        settings: &Settings,
        role: &str,
        runtime: &Handle,
    ) -> Result<Option<Self>, Failure> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let standard = VARIABLES.iter().find_map(|name| set(name));
        let is_disabled =
            set("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let Some(url) =
            settings.otlp_endpoint.as_ref().or(standard.as_ref()).filter(|_| !is_disabled)
        else {
            return Ok(None);
        };
        let refused = |why: &dyn std::fmt::Display| {
            Failure::failed(format_args!("otlp_endpoint: {why}"))
                .hint("name a collector's OTLP/HTTP endpoint, such as http://127.0.0.1:4318")
        };
        let transport = Transport::new(url, runtime.clone()).map_err(|error| refused(&error))?;
        let mut builder = SpanExporter::builder().with_http().with_http_client(transport);
        if let Some(base) = &settings.otlp_endpoint {
            builder = builder.with_endpoint(format!("{}{PATH}", base.trim_end_matches('/')));
        }
        let exporter = Exporter::new(builder.build().map_err(|error| refused(&error))?);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).build())
            .with_resource(resource(role, set("OTEL_SERVICE_NAME")))
            .build();
        Ok(Some(Self { provider }))
    }

    /// What takes spans in.
    pub(crate) fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let ours = Targets::new().with_target(headwater_api::trace::TARGET, LevelFilter::DEBUG);
        SpanLayer::new(self.provider.tracer("headwater")).with_filter(ours).boxed()
    }

    /// How the server learns what others continue its spans by.
    pub(crate) fn continued(&self) -> Continue {
        Arc::new(|span| HeaderValue::try_from(layer::traceparent(span)?).ok())
    }

    /// Sends what is left, for a moment at most.
    pub(crate) fn finish(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

fn resource(role: &str, named: Option<String>) -> Resource {
    let name = named.unwrap_or_else(|| format!("headwater-{role}"));
    Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
