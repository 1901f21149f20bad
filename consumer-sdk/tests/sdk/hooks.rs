use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;

use headwater::{Client, Handle, Hook, HookOutcome, HookStatus};
use tokio::sync::{mpsc, oneshot};

use crate::stream::{SOON, Stream, soon};

async fn counted() -> (Stream, Client, Handle<u32>) {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let n = hw.handle("n").unwrap();
    (stream, hw, n)
}

/// The hook's account once its last call has ended.
async fn settled(hook: &Hook, revision: u64) -> HookStatus {
    let ended = async {
        loop {
            let status = hook.status();
            if status.revision >= revision && !status.running {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(ended).await
}

#[tokio::test]
async fn a_hook_is_called_with_each_change_and_its_outcome_is_shown() {
    let (stream, hw, n) = counted().await;
    let (told, mut calls) = mpsc::unbounded_channel();
    let hook = n.on_change(move |change| {
        told.send((**change.old, **change.new)).unwrap();
        async move { if **change.new == 3 { Err("three is bad") } else { Ok(()) } }
    });
    assert_eq!((hook.status().outcome, hook.status().revision), (None, 0));
    for (value, expected) in
        [(2, HookOutcome::Applied), (3, HookOutcome::Rejected { reason: "three is bad".into() })]
    {
        let revision = stream.put("app", "n", &value.to_string()).await;
        assert_eq!(soon(calls.recv()).await, Some((value - 1, value)));
        let status = settled(&hook, revision).await;
        assert_eq!((status.revision, status.outcome.as_ref()), (revision, Some(&expected)));
        assert_eq!(hw.status().handles[0].hooks, [status]);
        assert_eq!(*n.load(), value, "the handle holds the value in any case");
    }
    drop(hook);
    assert!(hw.status().handles[0].hooks.is_empty());
    let revision = stream.put("app", "n", "4").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(soon(calls.recv()).await, None, "a hook that is dropped is gone");
}

#[tokio::test]
async fn a_panic_in_a_hook_is_an_outcome_and_the_next_value_is_given_again() {
    let (stream, hw, n) = counted().await;
    // In the call itself and in what it awaits.
    let hook = n.on_change(move |change| {
        assert!(**change.new != 2, "call bomb");
        async move {
            tokio::task::yield_now().await;
            assert!(**change.new != 3, "future bomb");
            Ok::<_, String>(())
        }
    });
    for (value, bomb) in [("2", Some("call bomb")), ("3", Some("future bomb")), ("4", None)] {
        let revision = stream.put("app", "n", value).await;
        let outcome = settled(&hook, revision).await.outcome.unwrap();
        match bomb {
            Some(bomb) => assert!(
                matches!(&outcome, HookOutcome::Panicked { reason } if reason.contains(bomb))
            ),
            None => assert_eq!(outcome, HookOutcome::Applied),
        }
    }
    soon(hw.wait_for(4)).await.unwrap();
}

#[tokio::test]
async fn a_hook_that_hangs_is_stopped_by_its_time_limit_and_the_newest_value_comes_next() {
    let (stream, hw, n) = counted().await;
    let (told, mut calls) = mpsc::unbounded_channel();
    let (release, stopped) = oneshot::channel::<()>();
    let mut held = Some(release);
    let hook = n.on_change_within(Duration::from_millis(200), move |change| {
        told.send((**change.new, change.missed)).unwrap();
        let held = held.take();
        async move {
            if held.is_some() {
                // The sender is dropped when the call is stopped.
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(())
        }
    });
    stream.put("app", "n", "2").await;
    assert_eq!(soon(calls.recv()).await, Some((2, 0)));
    let mut revision = 0;
    for value in 3..=6 {
        revision = stream.put("app", "n", &value.to_string()).await;
    }
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(*n.load(), 6, "nobody waits for a hook");
    assert!(soon(stopped).await.is_err());
    assert_eq!(soon(calls.recv()).await, Some((6, 3)));
    assert_eq!(settled(&hook, revision).await.outcome, Some(HookOutcome::Applied));
    assert_eq!(hook.status().time_limit_ms, 200);
}

#[tokio::test]
async fn a_hook_that_blocks_its_thread_harms_nobody_and_runs_no_second_time_meanwhile() {
    let (stream, hw, n) = counted().await;
    let (open, gate) = blocking::channel::<()>();
    let (calls, at_once) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, inside) = (calls.clone(), at_once.clone());
    let blocks = n.on_change_within(Duration::from_millis(50), move |_| {
        assert!(!inside.swap(true, Ordering::SeqCst), "two calls at once");
        count.fetch_add(1, Ordering::SeqCst);
        let opened = gate.recv_timeout(SOON);
        inside.store(false, Ordering::SeqCst);
        async move { opened.map_err(|error| error.to_string()) }
    });
    let works = n.on_change(|_| async { Ok::<_, String>(()) });
    let first = stream.put("app", "n", "2").await;
    assert_eq!(settled(&works, first).await.outcome, Some(HookOutcome::Applied));
    let timed_out = async {
        while blocks.status().outcome.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(timed_out).await;
    let status = blocks.status();
    assert_eq!((status.outcome, status.running), (Some(HookOutcome::TimedOut), true));
    let second = stream.put("app", "n", "3").await;
    soon(hw.wait_for(second)).await.unwrap();
    assert_eq!(settled(&works, second).await.outcome, Some(HookOutcome::Applied));
    assert_eq!((*n.load(), calls.load(Ordering::SeqCst)), (3, 1));
    // Both calls go on.
    open.send(()).unwrap();
    open.send(()).unwrap();
    assert_eq!(settled(&blocks, second).await.outcome, Some(HookOutcome::Applied));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_hook_awaits_on_the_runtime_of_its_service() {
    let (stream, _hw, n) = counted().await;
    let (told, mut ids) = mpsc::unbounded_channel();
    let _hook = n.on_change(move |_| {
        let told = told.clone();
        async move {
            told.send(tokio::runtime::Handle::current().id()).map_err(|error| error.to_string())
        }
    });
    stream.put("app", "n", "2").await;
    assert_eq!(soon(ids.recv()).await, Some(tokio::runtime::Handle::current().id()));
}

#[test]
fn a_service_without_a_runtime_has_hooks_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let stream = Stream::found().await;
        stream.put("app", "n", "1").await;
        stream
    });
    let hw = stream.builder().namespaces(["app"]).connect_blocking().unwrap();
    let n: Handle<u32> = hw.handle("n").unwrap();
    let (told, calls) = blocking::channel();
    let _hook = n.on_change(move |change| {
        let told = told.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            told.send(**change.new).map_err(|error| error.to_string())
        }
    });
    runtime.block_on(stream.put("app", "n", "2"));
    assert_eq!(calls.recv_timeout(SOON).unwrap(), 2);
}
