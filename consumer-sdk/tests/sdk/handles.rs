use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater::{Guard, Handle, HandleError, Reader};

use crate::stream::{Stream, put, soon, typed};

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Pool {
    size: u32,
}

#[tokio::test]
async fn a_commit_reaches_a_handle_its_readers_and_its_clones() {
    let stream = Stream::found().await;
    stream.put("app", "db/pool", r#"{"size": 1}"#).await;
    let hw = stream.client(&["app"]).await;
    let pool: Handle<Pool> = hw.handle("db/pool").unwrap();
    let (clone, mut reader) = (pool.clone(), pool.reader());
    assert_eq!((pool.load().size, reader.load().size), (1, 1));
    let revision = stream.put("app", "db/pool", r#"{"size": 2}"#).await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((pool.load().size, clone.load().size, reader.load().size), (2, 2, 2));
    assert_eq!((pool.load().revision(), reader.load_value().revision()), (revision, revision));
}

#[tokio::test]
async fn a_guard_keeps_its_value_while_the_handle_moves_on() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    let (guard, kept) = (n.load(), n.load_full());
    let revision = stream.put("app", "n", "2").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*guard, **kept, *n.load()), (1, 1, 2));
}

#[test]
fn guards_handles_and_readers_go_to_other_threads() {
    fn goes<T: Send>() {}
    goes::<Guard<String>>();
    goes::<Handle<String>>();
    goes::<Reader<String>>();
    goes::<headwater::Subscription<String>>();
    goes::<headwater::Client>();
}

#[tokio::test]
async fn a_handle_without_a_default_errs_when_the_key_is_absent_or_its_value_bad() {
    let stream = Stream::found().await;
    stream.put("app", "bad", r#"{"size": "x"}"#).await;
    let hw = stream.client(&["app"]).await;
    let absent = hw.handle::<Pool>("absent").unwrap_err();
    assert!(
        matches!(&absent, HandleError::Absent { key, namespaces } if key == "absent" && namespaces == &["app"])
    );
    assert!(matches!(hw.handle::<Pool>("bad"), Err(HandleError::Bad(error)) if error.key == "bad"));
    assert!(matches!(hw.handle::<Pool>("a//b"), Err(HandleError::Name(_))));
}

#[tokio::test]
async fn a_bad_value_keeps_the_last_good_one_and_is_reported_until_it_is_mended() {
    let stream = Stream::found().await;
    let good = stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let n = hw
        .bind("n")
        .default(7u32)
        .validate(|n: &u32| if *n < 10 { Ok(()) } else { Err("too many") })
        .build();
    assert_eq!(*n.load(), 1);
    for (bad, reason) in [("\"x\"", "invalid type"), ("11", "too many")] {
        let revision = stream.put("app", "n", bad).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!((*n.load(), n.load().revision()), (1, good));
        let rejected = n.rejected().unwrap();
        assert!(rejected.reason.contains(reason) && rejected.revision == revision, "{rejected}");
        assert!(hw.status().handles[0].rejected.as_ref().unwrap().contains(reason));
    }
    let mended = stream.put("app", "n", "2").await;
    soon(hw.wait_for(mended)).await.unwrap();
    assert_eq!((*n.load(), n.rejected()), (2, None));
}

#[tokio::test]
async fn a_panic_in_a_validator_or_a_decoder_harms_only_its_own_key() {
    #[derive(Debug)]
    struct Bomb;
    impl<'de> serde::Deserialize<'de> for Bomb {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("decoder bomb")
        }
    }
    let stream = Stream::found().await;
    stream.commit([put("app", "a", "1"), put("app", "b", "1")]).await;
    let hw = stream.client(&["app"]).await;
    let armed = Arc::new(AtomicBool::new(false));
    let fuse = armed.clone();
    let a = hw.bind("a").default(0).validate(move |_: &i32| {
        if fuse.load(Ordering::SeqCst) { panic!("validator bomb") } else { true }
    });
    let (a, b) = (a.build(), hw.handle::<i32>("b").unwrap());
    let bomb = hw.bind("a").default(Bomb).build();
    assert!(bomb.rejected().unwrap().reason.contains("decoder bomb"));
    armed.store(true, Ordering::SeqCst);
    let revision = stream.commit([put("app", "a", "2"), put("app", "b", "2")]).await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*a.load(), *b.load()), (1, 2));
    assert!(a.rejected().unwrap().reason.contains("validator bomb"));
}

#[tokio::test]
async fn a_value_that_panics_when_dropped_stops_nothing() {
    struct Grenade(bool);
    impl<'de> serde::Deserialize<'de> for Grenade {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            bool::deserialize(from).map(Self)
        }
    }
    impl Drop for Grenade {
        fn drop(&mut self) {
            assert!(!self.0, "grenade");
        }
    }
    let stream = Stream::found().await;
    stream.commit([put("app", "g", "true"), put("app", "n", "1")]).await;
    let hw = stream.client(&["app"]).await;
    let (grenade, n) = (hw.handle::<Grenade>("g").unwrap(), hw.handle::<i32>("n").unwrap());
    stream.put("app", "g", "false").await;
    let revision = stream.put("app", "n", "2").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((grenade.load().0, *n.load()), (false, 2));
}

#[tokio::test]
async fn a_deleted_key_goes_back_to_the_default_else_keeps_its_last_value() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let hw = stream.client(&["app"]).await;
    let (strict, bound) = (hw.handle::<u32>("n").unwrap(), hw.bind("n").default(7u32).build());
    let revision = stream.delete("app", "n").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*strict.load(), *bound.load(), bound.load().revision()), (1, 7, 0));
    assert!(strict.is_deleted() && bound.is_deleted());
    assert!(hw.status().handles.iter().all(|handle| handle.deleted));
    let revision = stream.put("app", "n", "2").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*strict.load(), *bound.load(), strict.is_deleted()), (2, 2, false));
}

#[tokio::test]
async fn the_later_namespace_wins_and_the_earlier_shows_through_when_it_is_deleted() {
    let stream = Stream::found().await;
    stream.put("global", "n", "1").await;
    let hw = stream.client(&["global", "app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    assert_eq!(*n.load(), 1);
    let steps = [(stream.put("app", "n", "2").await, 2)];
    for (revision, expected) in steps {
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!(*n.load(), expected);
    }
    let hidden = stream.put("global", "n", "3").await;
    soon(hw.wait_for(hidden)).await.unwrap();
    assert_eq!(*n.load(), 2, "a change under the winner changes nothing");
    let uncovered = stream.delete("app", "n").await;
    soon(hw.wait_for(uncovered)).await.unwrap();
    assert_eq!((*n.load(), n.is_deleted()), (3, false));
}

#[tokio::test]
async fn a_bound_handle_never_errs_and_says_why_it_holds_its_default() {
    let stream = Stream::found().await;
    let hw = stream.client(&["app"]).await;
    let n = hw.bind("n").default(7u32).build();
    assert_eq!((*n.load(), n.load().revision(), n.rejected()), (7, 0, None));
    let impossible = hw.bind("a//b").default(7u32).build();
    assert!(impossible.rejected().unwrap().reason.contains("empty segment"));
    let nowhere = stream.client(&[]).await;
    assert!(
        nowhere.bind("n").default(7u32).build().rejected().unwrap().reason.contains("namespaces")
    );
}

#[tokio::test]
async fn text_values_are_strings_and_json_values_are_parsed() {
    let stream = Stream::found().await;
    stream.commit([typed("app", "motd", "text/plain", "12"), put("app", "n", "12")]).await;
    let hw = stream.client(&["app"]).await;
    assert_eq!(*hw.handle::<String>("motd").unwrap().load(), "12");
    assert_eq!(*hw.handle::<u8>("n").unwrap().load(), 12);
    assert!(hw.handle::<u8>("motd").is_err());
}
