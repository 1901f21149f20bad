//! A change's trace, from the request over the log to who applies it, as a real collector gets it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_tests::collector::{Collector, SeenSpan};
use headwater_tests::http::{Ask, ask};
use headwater_tests::on_both_logs;
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, bounded};
use headwater_tests::{broker, topic};
use tokio::net::TcpListener;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

const SOON: Duration = Duration::from_secs(30);
/// Not every five seconds, which is the default.
const FAST: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");
const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A server whose environment names a collector, or none.
fn server(log: Log, folder: &std::path::Path, environment: &[(&str, &str)]) -> Headwater {
    let stream = topic::fresh_name("traces");
    let mut flags = vec!["--stream", &stream];
    if log == Log::Kafka {
        flags.extend(["--kafka", broker::shared()]);
    }
    Headwater::serve_in(folder, &flags, environment)
}

/// The spans of a trace, once they are all there.
async fn spans(collector: &Collector, trace: &str, names: &[&str]) -> Vec<SeenSpan> {
    let deadline = Instant::now() + SOON;
    loop {
        let all = collector.spans();
        let of_it: Vec<_> = all.iter().filter(|span| span.trace_id == trace).cloned().collect();
        if names.iter().all(|name| of_it.iter().any(|span| span.name == *name)) {
            return of_it;
        }
        assert!(Instant::now() < deadline, "{names:?} of {trace} among {all:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn named<'a>(spans: &'a [SeenSpan], name: &str) -> &'a SeenSpan {
    let mut of_it = spans.iter().filter(|span| span.name == name);
    let found = of_it.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(of_it.next().is_none(), "{name} is there twice: {spans:#?}");
    found
}

/// What this process's own spans say, as a service sees those of the SDK.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(String, String, u64)>>>);

#[derive(Default)]
struct Fields(String, u64);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "traceparent" {
            self.0 = value.to_owned();
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "revision" {
            self.1 = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Heard {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let meta = attributes.metadata();
        if meta.target() == headwater_api::trace::TARGET {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            let heard = (meta.name().to_owned(), fields.0, fields.1);
            self.0.lock().unwrap().push(heard);
        }
    }
}

/// One subscriber for all tests of this process.
fn heard() -> &'static Heard {
    static HEARD: std::sync::OnceLock<Heard> = std::sync::OnceLock::new();
    HEARD.get_or_init(|| {
        let heard = Heard::default();
        let all = tracing_subscriber::registry().with(heard.clone());
        tracing::subscriber::set_global_default(all).expect("no other subscriber");
        heard
    })
}

on_both_logs! {
    async fn a_trace_runs_from_the_request_over_the_log_to_the_apply_of_a_service(log) {
        let heard = heard();
        let (collector, folder) = (Collector::start().await, tempfile::tempdir().unwrap());
        let url = collector.url();
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), FAST];
        let server = server(log, folder.path(), &environment);
        let hw = headwater::Client::builder().relay(server.url()).namespaces(["app"]);
        let hw = hw.connect().await.unwrap();
        let limit = hw.bind("limit").default(0u32).build();

        let put = Ask::put("/v1/config/app/limit", "7").header("traceparent", THEIRS);
        let revision = ask(server.host(), &put).await.is(201).revision();
        hw.wait_for(revision).await.unwrap();
        assert_eq!(*limit.load(), 7);

        let seen = spans(&collector, TRACE, &["PUT", "append", "apply"]).await;
        let (request, append, apply) =
            (named(&seen, "PUT"), named(&seen, "append"), named(&seen, "apply"));
        assert_eq!(request.parent_id, "b7ad6b7169203331", "it continues the client's");
        assert_eq!(append.parent_id, request.span_id);
        assert_eq!(apply.parent_id, request.span_id, "over the log");
        assert_eq!(request.service, "headwater-serve");
        assert_eq!(request.attributes["http.response.status_code"], "201");
        assert_eq!(request.attributes["url.path"], "/v1/config/app/limit");
        for span in [append, apply] {
            assert_eq!(span.attributes["revision"], revision.to_string());
        }
        assert!(request.took_ns >= append.took_ns && append.took_ns > 0, "{seen:#?}");

        // The commit says where its readers go on, and a service's own spans do.
        let commits = ask(server.host(), &Ask::get("/v1/commits?limit=1000")).await.is(200);
        let commits: serde_json::Value = commits.json();
        let commits = commits["commits"].as_array().unwrap();
        let commit = commits.iter().find(|it| it["revision"] == revision).unwrap();
        let carried = format!("00-{TRACE}-{}-01", request.span_id);
        assert_eq!(commit["attributes"]["traceparent"], carried);
        for name in ["apply", "hand_over"] {
            let ours = (name.to_owned(), carried.clone(), revision);
            assert!(heard.0.lock().unwrap().contains(&ours), "{ours:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_trace_begins_one_and_one_that_is_not_sampled_is_not_sent() {
    let claim = async {
        let (collector, folder) = (Collector::start().await, tempfile::tempdir().unwrap());
        let flags = ["--otlp-endpoint", &collector.url()];
        let server = Headwater::serve_in(folder.path(), &flags, &[FAST]);
        let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let put = Ask::put("/v1/config/app/a", "1").header("traceparent", unsampled);
        ask(server.host(), &put).await.is(201);
        ask(server.host(), &Ask::put("/v1/config/app/b", "1")).await.is(201);
        ask(server.host(), &Ask::get("/metrics")).await.is(200);
        let begun = loop {
            let apply = collector.spans().into_iter().find(|span| span.name == "apply");
            if let Some(apply) = apply {
                break apply;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let seen = spans(&collector, &begun.trace_id, &["PUT", "append", "apply"]).await;
        assert_eq!(named(&seen, "PUT").parent_id, "", "a trace of its own");
        let all = collector.spans();
        assert!(all.iter().all(|span| span.trace_id != TRACE), "{all:#?}");
        let metrics = all.iter().filter(|it| it.attributes.values().any(|it| it == "/metrics"));
        assert_eq!(metrics.count(), 0);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_caught_up_with_is_traced_no_second_time() {
    let claim = async {
        let (collector, folder) = (Collector::start().await, tempfile::tempdir().unwrap());
        let flags = ["--otlp-endpoint", &collector.url()];
        let mut server = Headwater::serve_in(folder.path(), &flags, &[FAST]);
        let put = Ask::put("/v1/config/app/a", "1").header("traceparent", THEIRS);
        ask(server.host(), &put).await.is(201);
        spans(&collector, TRACE, &["apply"]).await;
        // It leaves no cache, so that the commit is read from the log again.
        server.kill9();
        server.restart();
        let other = THEIRS.replace(TRACE, "11111111111111111111111111111111");
        let put = Ask::put("/v1/config/app/b", "1").header("traceparent", other);
        ask(server.host(), &put).await.is(201);
        spans(&collector, "11111111111111111111111111111111", &["apply"]).await;
        let all = collector.spans();
        let first: Vec<_> = all.iter().filter(|span| span.trace_id == TRACE).collect();
        assert_eq!(first.iter().filter(|span| span.name == "apply").count(), 1, "{first:#?}");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_is_sent_and_a_clients_trace_is_handed_on_as_it_came() {
    let claim = async {
        let (collector, folder) = (Collector::start().await, tempfile::tempdir().unwrap());
        let url = collector.url();
        let off =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_SDK_DISABLED", "true"), FAST];
        for environment in [&off[..], &[FAST]] {
            let data = folder.path().join(environment.len().to_string());
            let mut server = Headwater::serve_in(&data, &[], environment);
            let put = Ask::put("/v1/config/app/limit", "7").header("traceparent", THEIRS);
            ask(server.host(), &put).await.is(201);
            let commits = ask(server.host(), &Ask::get("/v1/commits?limit=1000")).await.is(200);
            let commits: serde_json::Value = commits.json();
            let commits = commits["commits"].as_array().unwrap();
            assert_eq!(commits.last().unwrap()["attributes"]["traceparent"], THEIRS);
            ask(server.host(), &Ask::put("/v1/config/app/other", "7")).await.is(201);
            // Its end would send what is left.
            assert_eq!(server.terminate(Duration::from_secs(10)), 0);
        }
        assert!(collector.spans().is_empty(), "{:#?}", collector.spans());
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_or_is_gone_delays_no_write_and_no_end_and_is_told_of_once() {
    let claim = async {
        // It takes connections, and never answers.
        let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hangs = format!("http://{}", hanging.local_addr().unwrap());
        let gone = format!("http://127.0.0.1:{}", broker::free_port());
        for (url, name) in [(hangs, "hangs"), (gone, "gone")] {
            let folder = tempfile::tempdir().unwrap();
            let flags = ["--otlp-endpoint", &url];
            let mut server = Headwater::serve_in(&folder.path().join(name), &flags, &[FAST]);
            let began = Instant::now();
            for key in 0..200 {
                ask(server.host(), &Ask::put(format!("/v1/config/app/k{key}"), "1")).await.is(201);
            }
            let took = began.elapsed();
            assert!(took < Duration::from_secs(60), "{name}: 200 writes took {took:?}");
            if name == "gone" {
                let told = || server.log().matches("the collector takes no spans").count();
                let deadline = Instant::now() + SOON;
                while told() == 0 {
                    assert!(Instant::now() < deadline, "{}", server.log());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert_eq!(told(), 1, "{}", server.log());
            }
            assert_eq!(server.terminate(Duration::from_secs(10)), 0, "{name}: {}", server.log());
        }
    };
    bounded(claim).await;
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let args = ["serve", "--data", &data, "--otlp-endpoint", "not a url"];
    let mut server = Headwater::start_unready(&args, &[]);
    assert_eq!(server.wait(SOON), 1);
    assert!(server.log().contains("otlp_endpoint: "), "{}", server.log());
}
