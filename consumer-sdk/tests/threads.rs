//! A client's thread lives exactly as long as something that reads does. Alone in its process: it counts threads.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must fail")]

#[allow(dead_code, reason = "shared with the other suite")]
#[path = "sdk/stream.rs"]
mod stream;

use std::any::Any;
use std::fs;
use std::time::Duration;

use headwater::{Client, Handle};

use crate::stream::{Stream, soon};

/// How many threads of this process are a client's.
fn clients() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "headwater").count()
}

/// Makes one thing that keeps a client alive, and lets go of the rest.
type Hold = fn(Client, Handle<u32>) -> Box<dyn Any>;

/// All that keeps a client alive.
fn holders() -> [(&'static str, Hold); 9] {
    [
        ("client", |hw, _| Box::new(hw)),
        ("handle", |_, n| Box::new(n)),
        ("reader", |_, n| Box::new(n.reader())),
        ("subscription", |_, n| Box::new(n.subscribe())),
        ("changes", |_, n| Box::new(n.changes())),
        ("hook", |_, n| Box::new(n.on_change(|_| async { Ok::<_, String>(()) }))),
        ("commits", |hw, _| Box::new(hw.commits())),
        ("derived", |hw, _| Box::new(hw.derive("", |_| Ok::<_, String>(())).unwrap())),
        ("group", |hw, _| Box::new(hw.group::<serde_json::Value>("").unwrap())),
    ]
}

#[tokio::test]
async fn a_clients_thread_ends_with_the_last_that_reads_and_not_before() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    assert_eq!(clients(), 0);
    for (name, hold) in holders() {
        let hw = stream.client(&["app"]).await;
        let n = hw.handle("n").unwrap();
        let holder = hold(hw, n);
        // What is dropped has had its time to end the thread.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(clients(), 1, "{name} keeps its client");
        drop(holder);
        let gone = async {
            while clients() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(stream::SOON, gone).await.is_ok(), "{name} was the last");
    }
    let hw = stream.client(&["app"]).await;
    let kept = hw.clone();
    soon(hw.close()).await;
    assert_eq!(kept.get::<u32>("n").unwrap(), Some(1));
}
