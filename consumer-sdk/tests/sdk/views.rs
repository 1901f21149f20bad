use headwater::NamespaceError;

use crate::stream::{Stream, put, soon};

#[tokio::test]
async fn a_view_shows_many_keys_at_one_revision_whatever_comes_later() {
    let stream = Stream::found().await;
    stream.commit([put("app", "a", "1"), put("app", "b", "1")]).await;
    let hw = stream.client(&["app"]).await;
    let before = hw.view();
    let revision = stream.commit([put("app", "a", "2"), put("app", "b", "2")]).await;
    soon(hw.wait_for(revision)).await.unwrap();
    let after = hw.view();
    let both =
        |view: &headwater::View| (view.get::<u32>("a").unwrap(), view.get::<u32>("b").unwrap());
    assert_eq!((both(&before), both(&after)), ((Some(1), Some(1)), (Some(2), Some(2))));
    assert_eq!((before.revision(), after.revision()), (1, 2));
}

#[tokio::test]
async fn overlays_are_merged_in_byte_order_and_the_later_wins() {
    let stream = Stream::found().await;
    stream
        .commit([put("global", "db/a", "1"), put("global", "db/c", "1"), put("global", "dba", "1")])
        .await;
    stream
        .commit([put("app", "db/a", "2"), put("app", "db/b", "2"), put("other", "db/z", "9")])
        .await;
    let hw = stream.client(&["global", "app"]).await;
    let view = hw.view();
    let read: Vec<_> = view.prefix("db/").map(|(key, entry)| (key, entry.value)).collect();
    assert_eq!(read, [("db/a", b"2".as_slice()), ("db/b", b"2"), ("db/c", b"1")]);
    assert_eq!(view.prefix("").count(), 4);
    assert_eq!(view.get_raw("db/z"), None);
}

#[tokio::test]
async fn one_namespace_is_read_by_itself() {
    let stream = Stream::found().await;
    stream.commit([put("global", "n", "1"), put("app", "n", "2"), put("prompts", "n", "3")]).await;
    let hw = stream
        .builder()
        .namespaces(["global", "app"])
        .also_namespaces(["prompts"])
        .connect()
        .await
        .unwrap();
    let of = |name: &str| hw.namespace(name).unwrap().get::<u32>("n").unwrap();
    assert_eq!(
        (hw.get::<u32>("n").unwrap(), of("global"), of("prompts")),
        (Some(2), Some(1), Some(3))
    );
    assert!(matches!(hw.namespace("elsewhere"), Err(NamespaceError::NotFollowed(_))));
    assert!(matches!(hw.namespace("Not A Name"), Err(NamespaceError::Name(_))));
}

#[tokio::test]
async fn a_client_without_namespaces_follows_all_and_says_that_a_key_alone_is_not_enough() {
    let stream = Stream::found().await;
    stream.put("anything", "n", "1").await;
    let hw = stream.client(&[]).await;
    assert_eq!(hw.namespace("anything").unwrap().get::<u32>("n").unwrap(), Some(1));
    assert!(hw.get::<u32>("n").unwrap_err().reason.contains(".namespaces("));
    assert!(hw.handle::<u32>("n").is_err());
}

#[tokio::test]
async fn a_bad_value_is_an_error_and_an_absent_key_is_none() {
    let stream = Stream::found().await;
    stream.put("app", "bad", "\"x\"").await;
    let hw = stream.client(&["app"]).await;
    assert!(hw.get::<u32>("bad").is_err());
    assert_eq!(hw.get::<u32>("absent").unwrap(), None);
}
