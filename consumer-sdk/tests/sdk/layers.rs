use headwater::{Binding, Client};
use serde::Deserialize;

use crate::stream::{Stream, delete, put, soon, typed};

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Pool {
    size: u32,
    timeout_ms: Option<u32>,
}

fn pool(size: u32, timeout_ms: Option<u32>) -> Pool {
    Pool { size, timeout_ms }
}

fn merged(hw: &Client) -> Binding<Pool> {
    hw.bind("pool").default(pool(9, None)).merge()
}

#[tokio::test]
async fn a_merged_handle_shows_each_layer_patched_by_the_later_ones() {
    let stream = Stream::found().await;
    stream.put("global", "pool", r#"{"size": 1, "timeout_ms": 5}"#).await;
    let hw = stream.client(&["global", "team", "app"]).await;
    let handle = merged(&hw).build();
    assert_eq!((&*handle.load(), handle.load().origin()), (&pool(1, Some(5)), Some("global")));
    let steps = [
        (put("app", "pool", r#"{"size": 3}"#), pool(3, Some(5)), Some("app")),
        (put("team", "pool", r#"{"size": 2, "timeout_ms": null}"#), pool(3, None), Some("app")),
        (put("global", "pool", r#"{"timeout_ms": 7}"#), pool(3, None), Some("app")),
        (delete("app", "pool"), pool(2, None), Some("team")),
        (delete("global", "pool"), pool(2, None), Some("team")),
        (delete("team", "pool"), pool(9, None), None),
    ];
    for (change, expected, origin) in steps {
        let revision = stream.commit([change]).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!((&*handle.load(), handle.load().origin()), (&expected, origin));
        assert_eq!(handle.is_deleted(), origin.is_none());
    }
}

#[tokio::test]
async fn a_bad_layer_is_named_and_the_last_good_merge_stays() {
    let stream = Stream::found().await;
    stream.commit([put("global", "pool", r#"{"size": 1}"#), put("app", "pool", "{}")]).await;
    let hw = stream.client(&["global", "app"]).await;
    let handle = merged(&hw).validate(|pool: &Pool| pool.size < 100).build();
    let bad = [
        (typed("global", "pool", "application/octet-stream", "{"), "missing field"),
        (put("global", "pool", r#"{"size": "x"}"#), "merged: invalid type"),
        (put("app", "pool", r#"{"size": 100}"#), "the validator refused it"),
    ];
    for (change, reason) in bad {
        let revision = stream.commit([change]).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!(*handle.load(), pool(1, None));
        let rejected = handle.rejected().unwrap();
        assert_eq!((&*rejected.namespace, &*rejected.key), ("app", "pool"), "the strongest layer");
        assert!(rejected.to_string().contains(reason), "{rejected}");
    }
}

#[tokio::test]
async fn origin_says_which_layer_won() {
    let stream = Stream::found().await;
    stream.commit([put("global", "a", "1"), put("app", "a", "2"), put("global", "b", "3")]).await;
    let hw = stream.client(&["global", "app"]).await;
    let of = |key: &str| hw.origin(key).map(|namespace| namespace.to_string());
    assert_eq!(
        (of("a").as_deref(), of("b").as_deref(), of("c")),
        (Some("app"), Some("global"), None)
    );
    assert_eq!(hw.view().origin("a"), Some("app"));
    assert_eq!(hw.namespace("global").unwrap().view().origin("a"), Some("global"));
    let a = hw.handle::<u32>("a").unwrap();
    assert_eq!(
        (a.load().origin(), hw.bind("c").default(0).build().load().origin()),
        (Some("app"), None)
    );
    let revision = stream.delete("app", "a").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((of("a").as_deref(), a.load().origin()), (Some("global"), Some("global")));
}

#[tokio::test]
async fn a_services_own_decoder_needs_no_serde_and_its_refusals_and_panics_are_reported() {
    struct Hosts(Vec<std::net::IpAddr>);
    let stream = Stream::found().await;
    stream.commit([typed("app", "hosts", "text/plain", "10.0.0.1\n10.0.0.2")]).await;
    let hw = stream.client(&["app"]).await;
    let hosts = hw
        .bind("hosts")
        .default(Hosts(Vec::new()))
        .validate(|hosts: &Hosts| if hosts.0.len() < 3 { Ok(()) } else { Err("too many") })
        .decode_with(|entry| {
            assert_eq!(entry.content_type, "text/plain", "decoder bomb");
            let text = std::str::from_utf8(entry.value).map_err(|error| error.to_string())?;
            let hosts = text.lines().map(str::parse).collect::<Result<_, _>>();
            hosts.map(Hosts).map_err(|error: std::net::AddrParseError| error.to_string())
        })
        .build();
    assert_eq!(hosts.load().0.len(), 2);
    let bad = [
        (typed("app", "hosts", "text/plain", "localhost"), "invalid IP address"),
        (typed("app", "hosts", "text/plain", "::1\n::2\n::3"), "too many"),
        (put("app", "hosts", "1"), "decoder bomb"),
    ];
    for (change, reason) in bad {
        let revision = stream.commit([change]).await;
        soon(hw.wait_for(revision)).await.unwrap();
        let rejected = hosts.rejected().unwrap();
        assert!(rejected.reason.contains(reason) && rejected.revision == revision, "{rejected}");
        assert_eq!(hosts.load().0.len(), 2);
    }
    let revision = stream.delete("app", "hosts").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((hosts.load().0.len(), hosts.is_deleted(), hosts.rejected()), (0, true, None));
}
