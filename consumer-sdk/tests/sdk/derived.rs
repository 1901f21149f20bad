use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use headwater::{Client, Handle, HandleError, ValueError, View};

use crate::stream::{Stream, delete, put, soon};

type Table = BTreeMap<String, u32>;

/// Every number under the prefix; zero is refused.
fn table(view: &View) -> Result<Table, ValueError> {
    let mut table = Table::new();
    for (key, entry) in view.iter() {
        let number = view.decode(key, entry)?;
        if number == 0 {
            return Err(view.refuse(key, "nothing is free"));
        }
        table.insert(key.to_owned(), number);
    }
    Ok(table)
}

fn of(pairs: &[(&str, u32)]) -> Table {
    pairs.iter().map(|(key, number)| ((*key).to_owned(), *number)).collect()
}

/// A client on a stream with two prices, and the handle on them.
async fn priced() -> (Stream, Client, Handle<Table>) {
    let stream = Stream::found().await;
    stream.commit([put("app", "prices/a", "1"), put("app", "prices/b", "2")]).await;
    let hw = stream.client(&["global", "app"]).await;
    let prices = hw.derive("prices/", table).unwrap();
    (stream, hw, prices)
}

#[tokio::test]
async fn what_is_derived_shows_the_keys_of_its_prefix_at_one_revision() {
    let (stream, hw, prices) = priced().await;
    assert_eq!(*prices.load(), of(&[("prices/a", 1), ("prices/b", 2)]));
    let changes = [put("app", "prices/a", "3"), put("app", "pricesz", "9"), put("app", "p", "9")];
    let revision = stream.commit(changes.into_iter().chain([delete("app", "prices/b")])).await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((&*prices.load(), prices.load().revision()), (&of(&[("prices/a", 3)]), revision));
}

#[tokio::test]
async fn it_is_built_once_for_each_revision_that_touched_its_prefix_in_any_layer_and_for_no_other()
{
    let stream = Stream::found().await;
    stream.put("app", "r/a", "1").await;
    let hw = stream.builder().namespaces(["global", "app"]).also_namespaces(["x"]).connect().await;
    let hw = hw.unwrap();
    let builds = Arc::new(AtomicUsize::new(0));
    let count = builds.clone();
    let sum = hw.derive("r/", move |view| {
        count.fetch_add(1, Ordering::SeqCst);
        table(view).map(|table| table.values().sum::<u32>())
    });
    let sum = sum.unwrap();
    let mut built = 1;
    let commits = [
        (vec![put("app", "r/b", "1"), put("app", "r/c", "1"), put("global", "r/d", "1")], true, 4),
        (vec![put("global", "r/a", "7")], true, 4),
        (vec![put("app", "other", "1")], false, 4),
        (vec![put("x", "r/a", "1")], false, 4),
        (vec![delete("app", "r/a")], true, 10),
    ];
    for (commit, touches, expected) in commits {
        let revision = stream.commit(commit).await;
        soon(hw.wait_for(revision)).await.unwrap();
        built += usize::from(touches);
        assert_eq!((builds.load(Ordering::SeqCst), *sum.load()), (built, expected));
    }
}

#[tokio::test]
async fn the_layers_are_laid_over_each_other_and_nothing_else_can_be_read() {
    let stream = Stream::found().await;
    stream.commit([put("global", "r/a", "1"), put("app", "r/a", "2"), put("app", "s", "3")]).await;
    let hw = stream.client(&["global", "app"]).await;
    let seen = hw.derive("r/", |view| -> Result<_, ValueError> {
        let outside = view.get::<u32>("s").unwrap_err();
        assert_eq!(
            (view.get_raw("s"), view.origin("s"), view.prefix("s").count()),
            (None, None, 0)
        );
        assert_eq!((view.prefix("r").count(), view.prefix("r/a").count()), (1, 1));
        let origin = view.origin("r/a").map(str::to_owned);
        Ok((view.get::<u32>("r/a")?, origin, outside.to_string()))
    });
    let seen = seen.unwrap().load();
    let (value, origin, outside) = &*seen;
    assert_eq!((*value, origin.as_deref()), (Some(2), Some("app")));
    assert!(outside.contains("only what is under r/"), "{outside}");
}

#[tokio::test]
async fn the_first_build_must_succeed() {
    let stream = Stream::found().await;
    stream.put("app", "prices/a", "0").await;
    let hw = stream.client(&["app"]).await;
    let refused = hw.derive("prices/", table).unwrap_err();
    assert!(matches!(&refused, HandleError::Bad(error) if error.key == "prices/a"), "{refused}");
    let panicked = hw.derive("prices/", |_| -> Result<(), String> { panic!("builder bomb") });
    assert!(panicked.unwrap_err().to_string().contains("builder bomb"));
    assert!(matches!(hw.derive("/prices", table), Err(HandleError::Name(_))));
    assert!(matches!(stream.client(&[]).await.derive("", table), Err(HandleError::NoNamespaces)));
    assert!(hw.derive("empty/", table).unwrap().load().is_empty(), "no key is no error");
    soon(hw.clone().close()).await;
    assert!(matches!(hw.derive("empty/", table), Err(HandleError::Closed(_))));
}

#[tokio::test]
async fn a_refused_build_keeps_the_last_good_one_and_is_reported_under_its_key() {
    let (stream, hw, prices) = priced().await;
    let good = prices.load().revision();
    for (bad, reason) in [("0", "nothing is free"), ("\"x\"", "invalid type")] {
        let revision = stream.put("app", "prices/b", bad).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!((prices.load().revision(), prices.load().len()), (good, 2));
        let rejected = prices.rejected().unwrap();
        assert_eq!((rejected.key.as_str(), rejected.namespace.as_str()), ("prices/b", "app"));
        assert_eq!(rejected.revision, revision);
        let status = hw.status().handles.remove(0);
        assert_eq!(
            (status.key.as_str(), status.rejected_key.as_deref()),
            ("prices/", Some("prices/b"))
        );
        assert!(status.rejected.unwrap().contains(reason));
    }
    let mended = stream.delete("app", "prices/b").await;
    soon(hw.wait_for(mended)).await.unwrap();
    assert_eq!((prices.load().revision(), prices.rejected()), (mended, None));
}

#[tokio::test]
async fn an_error_may_name_its_key_as_a_cause_or_none_at_all() {
    #[derive(Debug)]
    struct Outer(ValueError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("no table")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let stream = Stream::found().await;
    stream.put("app", "prices/a", "0").await;
    let hw = stream.client(&["app"]).await;
    let key_of = |error: HandleError| match error {
        HandleError::Bad(error) => (error.key, error.reason),
        other => panic!("{other}"),
    };
    let caused = hw.derive("prices/", |view| table(view).map_err(Outer)).unwrap_err();
    assert_eq!(key_of(caused).0, "prices/a");
    let nameless = hw.derive("prices/", |_| Err::<(), _>("no good")).unwrap_err();
    assert_eq!(key_of(nameless), ("prices/".to_owned(), "no good".to_owned()));
}

#[tokio::test]
async fn a_build_that_panics_harms_only_its_own_value() {
    let (stream, hw, prices) = priced().await;
    let bomb = hw.derive("prices/", |view| {
        assert!(view.get_raw("prices/c").is_none(), "builder bomb");
        Ok::<_, ValueError>(view.iter().count())
    });
    let bomb = bomb.unwrap();
    let revision = stream.put("app", "prices/c", "3").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*bomb.load(), prices.load().len()), (2, 3));
    let rejected = bomb.rejected().unwrap();
    assert!(rejected.reason.contains("builder bomb"), "{rejected}");
    assert_eq!((rejected.key.as_str(), rejected.revision), ("prices/", revision));
}

#[tokio::test]
async fn it_is_rebuilt_on_the_clients_own_thread_and_wakes_who_waits() {
    let stream = Stream::found().await;
    let hw = stream.client(&["app"]).await;
    let builder = hw.derive("r/", |view| {
        let thread = thread::current().name().map(str::to_owned);
        Ok::<_, ValueError>((view.iter().count(), thread))
    });
    let mut changes = builder.unwrap().subscribe();
    drop(hw);
    stream.put("app", "r/a", "1").await;
    let (count, thread) = &*soon(changes.changed()).await.unwrap();
    assert_eq!((*count, thread.as_deref()), (1, Some("headwater")));
}
