//! Bodies read on the wire as the API says.

use std::collections::BTreeMap;

use headwater_api::{CommitBody, EntryBody, ReceiptBody};
use headwater_schemas::{Change, Commit, Digest, EntryRef, Hash, Key, Namespace, StreamId};

fn entry<'a>(content_type: &'a str, value: &'a [u8]) -> EntryRef<'a> {
    EntryRef {
        content_type,
        value,
        version: 2,
        create_revision: 3,
        mod_revision: 5,
        updated_at_ms: 0,
        actor: "zoë",
    }
}

#[test]
fn an_entry_reads_as_the_api_says() {
    let (namespace, key): (Namespace, Key) = ("a.b".parse().unwrap(), "db/pool".parse().unwrap());
    let body = EntryBody::new(&namespace, &key, entry("application/json", b"{\"a\":  1}"));
    assert_eq!(
        serde_json::to_string(&body).unwrap(),
        "{\"namespace\":\"a.b\",\"key\":\"db/pool\",\"content_type\":\"application/json\",\"value\":{\"a\":  1},\"size\":9,\
             \"version\":2,\"create_revision\":3,\"mod_revision\":5,\"updated_at\":\"1970-01-01T00:00:00.000Z\",\"actor\":\"zoë\"}"
    );
    let bare =
        EntryBody::without_value(&namespace, &key, entry("application/json", b"{\"a\":  1}"));
    assert!(!serde_json::to_string(&bare).unwrap().contains("value"));
}

#[test]
fn values_survive_the_way_to_a_client() {
    let (namespace, key): (Namespace, Key) = ("a.b".parse().unwrap(), "db/pool".parse().unwrap());
    for (content_type, value) in [
        ("application/json", b"null".as_slice()),
        ("application/json", b"[1, 2.50]"),
        ("text/plain", b"a\tb"),
        ("text/plain", b"\xff"),
        ("image/png", b"\0"),
    ] {
        let json =
            serde_json::to_string(&EntryBody::new(&namespace, &key, entry(content_type, value)))
                .unwrap();
        let body: EntryBody = serde_json::from_str(&json).unwrap();
        assert_eq!(body.bytes().unwrap(), value, "{json}");
    }
}

#[test]
fn a_commit_and_its_receipt_read_as_the_api_says() {
    let (namespace, key): (Namespace, Key) = ("a.b".parse().unwrap(), "db/pool".parse().unwrap());
    let commit = Commit {
        stream_id: StreamId([1; 16]),
        format: headwater_schemas::FORMAT,
        revision: 7,
        parent: Hash([2; 32]),
        commit_id: uuid::Uuid::nil(),
        at_ms: 1,
        actor: "a".into(),
        reason: None,
        idempotency: None,
        expects: Vec::new(),
        changes: vec![
            Change::Put {
                namespace: namespace.clone(),
                key: key.clone(),
                content_type: "text/plain".into(),
                value: "x".into(),
                version: 4,
            },
            Change::Delete { namespace, key },
        ],
        digest: Digest::default(),
        attributes: BTreeMap::new(),
    };
    let value = serde_json::to_value(CommitBody::new(&commit, Hash([3; 32]))).unwrap();
    assert_eq!(
        value["changes"],
        serde_json::json!([
            {"op": "put", "namespace": "a.b", "key": "db/pool", "content_type": "text/plain", "value": "x", "version": 4},
            {"op": "delete", "namespace": "a.b", "key": "db/pool"},
        ])
    );
    assert_eq!((value["reason"].is_null(), value["hash"].as_str().unwrap().len()), (true, 64));
    let receipt = serde_json::to_value(ReceiptBody::of_put(&commit, Hash([3; 32]))).unwrap();
    assert_eq!(
        (receipt["version"].as_u64(), receipt["at"].as_str()),
        (Some(4), Some("1970-01-01T00:00:00.001Z"))
    );
    let receipt = serde_json::to_value(ReceiptBody::new(&commit, Hash([3; 32]))).unwrap();
    assert_eq!(
        (receipt.get("version"), receipt["changes"][0]["version"].as_u64()),
        (None, Some(4))
    );
}
