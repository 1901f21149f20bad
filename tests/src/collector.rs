//! A collector of traces: takes OTLP over HTTP, as every real one does, and remembers the spans.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running collector. Dropped: gone.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    seen: Arc<Mutex<Vec<SeenSpan>>>,
    task: JoinHandle<()>,
}

/// A span as it came in.
#[derive(Debug, Clone)]
pub struct SeenSpan {
    /// `service.name` of who sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// The trace, in hex.
    pub trace_id: String,
    /// The span, in hex.
    pub span_id: String,
    /// What it continues; empty at the root.
    pub parent_id: String,
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&seen)));
        Self { port, seen, task }
    }

    /// Its OTLP endpoint.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<SeenSpan> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<SeenSpan>>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let seen = Arc::clone(&seen);
        let service = service_fn(move |request| {
            let seen = Arc::clone(&seen);
            async move { Ok::<_, Infallible>(take(&seen, request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move { drop(connection.await) });
    }
}

async fn take(seen: &Mutex<Vec<SeenSpan>>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let is_ours = request.method() == "POST"
        && request.uri().path() == "/v1/traces"
        && request.headers().get("content-type").is_some_and(|it| it == "application/x-protobuf");
    let body = request.into_body().collect().await.map(|body| body.to_bytes());
    let decoded = body.ok().and_then(|body| ExportTraceServiceRequest::decode(body).ok());
    let Some(decoded) = decoded.filter(|_| is_ours) else {
        let mut refused = Response::new(Full::new(Bytes::from_static(b"not OTLP")));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return refused;
    };
    seen.lock().expect("no panic").extend(spans(decoded));
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    Response::new(Full::new(answer.into()))
}

fn spans(request: ExportTraceServiceRequest) -> Vec<SeenSpan> {
    let mut seen = Vec::new();
    for from in request.resource_spans {
        let resource = from.resource.map(|it| texts(&it.attributes)).unwrap_or_default();
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for span in from.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            seen.push(SeenSpan {
                service: service.clone(),
                name: span.name,
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_id: hex(&span.parent_span_id),
                took_ns: span.end_time_unix_nano - span.start_time_unix_nano,
                attributes: texts(&span.attributes),
            });
        }
    }
    seen
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match &attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(flag) => Some(flag.to_string()),
        other => Some(format!("{other:?}")),
    };
    attributes.iter().filter_map(|it| Some((it.key.clone(), text(it)?))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
