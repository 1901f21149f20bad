use std::io;
use std::sync::{Arc, Mutex};

use headwater::log_filter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::stream::{Stream, delete, put, soon, typed};

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn hold(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(text)
    }
}

/// Waits until a filter of this text is in force.
async fn in_force(filter: &reload::Handle<EnvFilter, Registry>, text: &str) {
    let looking = async {
        while filter.with_current(ToString::to_string).unwrap() != text {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon(looking).await;
}

/// Waits until this text is told to be in force.
async fn told(bound: &log_filter::LogFilter, text: &str) {
    let looking = async {
        while *bound.load() != text {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon(looking).await;
}

#[tokio::test]
async fn a_log_filter_follows_its_key_keeps_the_last_good_one_and_goes_back_when_it_is_deleted() {
    let lines = Lines::default();
    let (layer, filter) = reload::Layer::new(EnvFilter::try_new("warn").unwrap());
    let all = tracing_subscriber::registry()
        .with(fmt::layer().with_writer(lines.clone()).with_filter(layer));
    let _here = tracing::subscriber::set_default(all);

    let stream = Stream::found().await;
    let hw = stream.client(&["app"]).await;
    let bound = log_filter::bind(&hw, "logs", filter.clone());
    tracing::info!("not wanted yet");
    stream.put("app", "logs", "\"info\"").await;
    in_force(&filter, "info").await;
    tracing::info!("wanted");
    assert!(lines.hold("wanted") && !lines.hold("not wanted yet"));
    assert_eq!(*bound.load(), "info");

    for bad in ["\"info,app=loud\"", "\"\"", "7"] {
        let revision = stream.put("app", "logs", bad).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!(bound.rejected().unwrap().revision, revision);
        assert!(hw.status().handles[0].rejected.is_some());
        assert_eq!(filter.with_current(ToString::to_string).unwrap(), "info");
    }

    stream.commit([typed("app", "logs", "text/plain", "error")]).await;
    in_force(&filter, "error").await;
    assert!(bound.rejected().is_none());
    stream.commit([delete("app", "logs")]).await;
    in_force(&filter, "warn").await;

    drop(bound);
    let revision = stream.put("app", "logs", "\"trace\"").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(filter.with_current(ToString::to_string).unwrap(), "warn", "nobody follows");
}

#[tokio::test]
async fn a_key_that_is_there_already_counts_from_the_start() {
    let (layer, filter) = reload::Layer::new(EnvFilter::try_new("warn").unwrap());
    let _kept = tracing_subscriber::registry().with(fmt::layer().with_filter(layer));
    let stream = Stream::found().await;
    stream.put("app", "logs", "\"debug\"").await;
    let hw = stream.client(&["app"]).await;
    let _bound = log_filter::bind(&hw, "logs", filter.clone());
    in_force(&filter, "debug").await;
}

/// Puts the key at the time that the clock tells.
async fn put_now(stream: &Stream, json: &str) -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    stream.commit_at(now.try_into().unwrap(), [put("app", "logs", json)]).await
}

#[tokio::test]
async fn a_filter_for_a_while_ends_by_itself_and_a_start_after_its_end_does_not_revive_it() {
    let (layer, filter) = reload::Layer::new(EnvFilter::try_new("warn").unwrap());
    let _kept = tracing_subscriber::registry().with(fmt::layer().with_filter(layer));
    let stream = Stream::found().await;
    let hw = stream.client(&["app"]).await;
    let bound = log_filter::bind(&hw, "logs", filter.clone());
    for (value, then) in [
        (r#"{"filter": "warn,app=debug", "for": "1s"}"#, "warn"),
        (r#"{"filter": "warn,app=debug", "for": "1s", "then": "error"}"#, "error"),
    ] {
        put_now(&stream, value).await;
        told(&bound, "warn,app=debug").await;
        told(&bound, then).await;
        in_force(&filter, then).await;
    }
    for bad in [
        r#"{"filter": "warn,app=loud", "for": "1s"}"#,
        r#"{"filter": "warn", "for": "1s", "then": "a=b=c"}"#,
        r#"{"filter": "warn", "for": "for ever"}"#,
    ] {
        let revision = put_now(&stream, bad).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!(bound.rejected().unwrap().revision, revision);
        assert_eq!(*bound.load(), "error");
    }
    let over = r#"{"filter": "warn,app=debug", "for": "1s", "then": "info"}"#;
    put_now(&stream, over).await;
    in_force(&filter, "info").await;

    let (layer, later) = reload::Layer::new(EnvFilter::try_new("warn").unwrap());
    let _kept = tracing_subscriber::registry().with(fmt::layer().with_filter(layer));
    let _bound = log_filter::bind(&stream.client(&["app"]).await, "logs", later.clone());
    in_force(&later, "info").await;
}
