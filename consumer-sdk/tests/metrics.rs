//! What a service's own recorder of metrics learns. Alone in its process: there is one recorder.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[allow(dead_code, reason = "shared with the other suite")]
#[path = "sdk/stream.rs"]
mod stream;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::{Handle, HookOutcome};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::stream::{Stream, soon};

/// A panic, too, takes its time: it prints where it happened.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Counters by name and labels.
#[derive(Clone, Default)]
struct Counters(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Counters {
    fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |count| count.load(Ordering::SeqCst))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<&str> = key.labels().map(|label| label.value()).collect();
        let name = format!("{} {}", key.name(), labels.join(","));
        Counter::from_arc(self.0.lock().unwrap().entry(name).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn each_outcome_of_a_hook_is_counted() {
    let counters = Counters::default();
    metrics::set_global_recorder(counters.clone()).unwrap();
    let stream = Stream::found().await;
    stream.put("app", "n", "0").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    let hook = n.on_change_within(TIME_LIMIT, |change| async move {
        match **change.new {
            1 => Ok(()),
            2 => Err("no"),
            3 => panic!("hook bomb"),
            _ => std::future::pending().await,
        }
    });
    for (value, outcome) in [(1, "applied"), (2, "rejected"), (3, "panicked"), (4, "timed_out")] {
        let revision = stream.put("app", "n", &value.to_string()).await;
        let ended = async {
            while hook.status().revision < revision || hook.status().running {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon(ended).await;
        assert_eq!(
            counters.get(&format!("headwater_sdk_hook_calls_total {outcome}")),
            1,
            "{outcome}"
        );
    }
    assert_eq!(hook.status().outcome, Some(HookOutcome::TimedOut));
}
