//! From `tracing`'s spans to OpenTelemetry's.
//!
//! Parts of Headwater know no OpenTelemetry: a span of theirs says in its field `traceparent` what it continues, also across
//! processes. That field is read here, where the span begins.

use std::collections::HashMap;
use std::fmt;

use headwater_api::trace::{ATTRIBUTE, is_traceparent};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Hands spans over to a tracer.
pub(super) struct SpanLayer {
    tracer: SdkTracer,
}

/// The OpenTelemetry span beside one of `tracing`'s.
struct Open(Span);

impl SpanLayer {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self { tracer }
    }

    /// Begins a span, if it has a place in a trace: only a request may begin one.
    fn begin(&self, name: &'static str, told: Told) -> Option<Span> {
        let parent = told.parent.as_deref().and_then(context);
        if parent.is_none() && !told.is_request {
            return None;
        }
        let kind = if told.is_request { SpanKind::Server } else { SpanKind::Internal };
        let builder = self.tracer.span_builder(told.name.unwrap_or_else(|| name.to_owned()));
        let builder = builder.with_kind(kind).with_attributes(told.attributes);
        Some(builder.start_with_context(&self.tracer, &parent.unwrap_or_default()))
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, within: layer::Context<'_, S>) {
        let mut told = Told::default();
        attributes.record(&mut told);
        let begun = self.begin(attributes.metadata().name(), told);
        if let (Some(span), Some(begun)) = (within.span(id), begun) {
            span.extensions_mut().insert(Open(begun));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, within: layer::Context<'_, S>) {
        let Some(span) = within.span(id) else { return };
        let mut told = Told::default();
        values.record(&mut told);
        if let Some(Open(open)) = span.extensions_mut().get_mut() {
            told.attributes.into_iter().for_each(|attribute| open.set_attribute(attribute));
        }
    }

    fn on_close(&self, id: Id, within: layer::Context<'_, S>) {
        let ended = within.span(&id).and_then(|span| span.extensions_mut().remove::<Open>());
        if let Some(Open(mut ended)) = ended {
            ended.end();
        }
    }
}

/// Under which `traceparent` others continue a span; none when it is no part of a trace.
pub(super) fn traceparent(span: &tracing::Span) -> Option<String> {
    span.with_subscriber(|(id, dispatch): (&Id, &Dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let extensions = span.extensions();
        let Open(open) = extensions.get()?;
        let within = Context::new().with_remote_span_context(open.span_context().clone());
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&within, &mut carrier);
        carrier.remove(ATTRIBUTE)
    })
    .flatten()
}

/// The place of a parent, if the text is one.
fn context(traceparent: &str) -> Option<Context> {
    if !is_traceparent(traceparent) {
        return None;
    }
    let carrier = HashMap::from([(ATTRIBUTE.to_owned(), traceparent.to_owned())]);
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    parent.span().span_context().is_valid().then_some(parent)
}

/// What a span says of itself.
#[derive(Default)]
struct Told {
    name: Option<String>,
    is_request: bool,
    parent: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Told {
    fn tell(&mut self, field: &Field, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.name" => self.name = Some(value.to_owned()),
            "otel.kind" => self.is_request = value == "server",
            ATTRIBUTE => self.parent = Some(value.to_owned()),
            _ => self.tell(field, value.to_owned()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.tell(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.tell(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.tell(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.tell(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_is_a_place_in_a_trace() {
        assert!(context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_some());
        for none in
            ["", "x", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7-b7ad-01"]
        {
            assert!(context(none).is_none(), "{none:?}");
        }
    }
}
