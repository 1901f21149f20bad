use std::collections::BTreeMap;

use headwater::{Handle, HandleError};
use serde::Deserialize;

use crate::stream::{Stream, delete, put, soon, typed};

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Database {
    host: String,
    size: u32,
    replica: Replica,
    limits: BTreeMap<String, u32>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Replica {
    host: Option<String>,
    weight: u32,
}

#[tokio::test]
async fn the_keys_below_a_prefix_are_the_fields_and_missing_ones_are_serdes_defaults() {
    let stream = Stream::found().await;
    stream
        .commit([
            typed("app", "db/host", "text/plain", "pg1"),
            put("global", "db/size", "5"),
            put("app", "db/size", "7"),
            put("app", "db/replica/host", "\"pg2\""),
            put("app", "db/limits/eu", "1"),
            put("app", "db/limits/us", "2"),
            put("app", "db/unknown", "[]"),
            put("app", "dbx", "1"),
        ])
        .await;
    let hw = stream.client(&["global", "app"]).await;
    let db: Handle<Database> = hw.group("db").unwrap();
    let expected = Database {
        host: "pg1".to_owned(),
        size: 7,
        replica: Replica { host: Some("pg2".to_owned()), weight: 0 },
        limits: [("eu".to_owned(), 1), ("us".to_owned(), 2)].into(),
    };
    assert_eq!(
        (&*db.load(), &*hw.group::<Database>("db/").unwrap().load()),
        (&expected, &expected)
    );
    let revision =
        stream.commit([delete("app", "db/size"), put("app", "db/replica/weight", "3")]).await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((db.load().size, db.load().replica.weight, db.load().revision()), (5, 3, revision));
}

#[tokio::test]
async fn a_bad_key_holds_back_its_whole_group_and_is_reported_under_that_key() {
    let stream = Stream::found().await;
    stream.commit([put("app", "db/size", "1"), put("app", "db/limits/eu", "1")]).await;
    let hw = stream.client(&["app"]).await;
    let db: Handle<Database> = hw.group("db").unwrap();
    let other = hw.handle::<u32>("db/size").unwrap();
    let bad =
        [("db/limits/eu", "\"many\""), ("db/limits/eu/deep", "1"), ("db/replica/weight", "-1")];
    for (round, (key, value)) in bad.into_iter().enumerate() {
        let size = u32::try_from(round).unwrap() + 2;
        let revision =
            stream.commit([put("app", key, value), put("app", "db/size", &size.to_string())]).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!(
            (db.load().size, *other.load()),
            (1, size),
            "the group as a whole, and only the group"
        );
        let rejected = db.rejected().unwrap();
        assert_eq!(
            (rejected.key.as_str(), rejected.namespace.as_str(), rejected.revision),
            (key, "app", revision)
        );
        let status = hw.status().handles.into_iter().find(|it| it.key == "db/").unwrap();
        assert_eq!(status.rejected_key.as_deref(), Some(key));
        let mended = if key.ends_with("deep") { delete("app", key) } else { put("app", key, "1") };
        let revision = stream.commit([mended, put("app", "db/size", "1")]).await;
        soon(hw.wait_for(revision)).await.unwrap();
        assert_eq!((db.load().size, db.rejected()), (1, None));
    }
}

#[tokio::test]
async fn a_group_that_lacks_what_it_needs_errs_at_start_and_says_where_the_key_should_be() {
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only whether it is there counts")]
        inner: Inner,
    }
    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only whether it is there counts")]
        must: u32,
    }
    let stream = Stream::found().await;
    stream.put("app", "g/inner/other", "1").await;
    let hw = stream.client(&["app"]).await;
    let HandleError::Bad(error) = hw.group::<Outer>("g").unwrap_err() else { panic!("not bad") };
    assert_eq!((error.key.as_str(), error.reason.as_str()), ("g/inner", "missing field `must`"));
    let revision = stream.put("app", "g/inner/must", "1").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert!(hw.group::<Outer>("g").is_ok());
}

#[tokio::test]
async fn an_object_may_be_refined_by_keys_below_it_and_bytes_that_are_no_text_are_refused() {
    let stream = Stream::found().await;
    stream
        .commit([
            put("app", "db/replica", r#"{"host": "a", "weight": 1}"#),
            put("app", "db/replica/weight", "2"),
        ])
        .await;
    let hw = stream.client(&["app"]).await;
    let db: Handle<Database> = hw.group("db").unwrap();
    assert_eq!(db.load().replica, Replica { host: Some("a".to_owned()), weight: 2 });
    let revision = stream.put("app", "db/host", "{").await;
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!(db.rejected().unwrap().key, "db/host");
}
