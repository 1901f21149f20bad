use std::sync::Arc;
use std::time::Duration;

use headwater::{Client, ConnectError, Phase};
use headwater_log::MemoryLog;

use crate::stream::{Stream, soon};

const BRIEFLY: Duration = Duration::from_millis(200);

/// A log that was never founded gives no state.
fn nothing() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new())
}

#[tokio::test]
async fn without_a_state_and_a_cache_the_start_fails_with_reasons() {
    let refused = Client::builder()
        .log(nothing())
        .namespaces(["app"])
        .startup_timeout(BRIEFLY)
        .connect()
        .await;
    match refused {
        Err(ConnectError::NoState { reasons, .. }) => assert!(!reasons.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn allowed_to_be_empty_it_starts_and_takes_what_comes() {
    let builder =
        Client::builder().log(nothing()).namespaces(["app"]).startup_timeout(BRIEFLY).allow_empty();
    let hw = builder.connect().await.unwrap();
    assert_eq!(
        (hw.get::<u32>("n").unwrap(), *hw.bind("n").default(7u32).build().load()),
        (None, 7)
    );
    assert!(hw.status().stale);
}

#[tokio::test]
async fn with_everything_down_it_starts_from_the_cache_marked_stale() {
    let dir = tempfile::tempdir().unwrap();
    let stream = Stream::found().await;
    let revision = stream.put("app", "n", "5").await;
    let hw = stream.builder().namespaces(["app"]).cache_dir(dir.path()).connect().await.unwrap();
    soon(hw.wait_for(revision)).await.unwrap();
    soon(hw.close()).await;
    let down = "http://127.0.0.1:1";
    let again = Client::builder()
        .relay(down)
        .namespaces(["app"])
        .cache_dir(dir.path())
        .startup_timeout(BRIEFLY);
    let hw = again.connect().await.unwrap();
    let status = hw.status();
    assert_eq!((hw.get::<u32>("n").unwrap(), status.revision), (Some(5), revision));
    assert!(status.stale && status.phase != Phase::Live, "{status:?}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let both = Client::builder().log(nothing()).relay("http://127.0.0.1:1").connect().await;
    let none = Client::builder().connect().await;
    let name = Client::builder().log(nothing()).namespaces(["Not A Name"]).connect().await;
    for refused in [both, none, name] {
        assert!(matches!(refused, Err(ConnectError::Settings(_))), "{refused:?}");
    }
}

#[test]
fn connecting_needs_no_runtime() {
    let stream =
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(Stream::found());
    let hw = stream.builder().namespaces(["app"]).connect_blocking().unwrap();
    assert_eq!(hw.status().phase, Phase::Live);
}

#[tokio::test]
async fn a_connect_that_is_dropped_ends_the_client() {
    let log = nothing();
    let connecting =
        Client::builder().log(log.clone()).startup_timeout(Duration::from_secs(60)).connect();
    assert!(tokio::time::timeout(Duration::from_millis(50), connecting).await.is_err());
    // The client's own thread holds the log for as long as it runs.
    let ended = async {
        while Arc::strong_count(&log) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(ended).await;
}
