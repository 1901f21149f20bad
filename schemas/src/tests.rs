use crate::*;
use bytes::Bytes;
#[test]
fn a_commit_round_trips() {
    let genesis = Genesis {
        stream_id: StreamId([7; 16]),
        format: FORMAT,
        created_at_ms: 1,
        schema: commit_schema().into(),
        cluster_id: Some("x".into()),
    };
    let bytes = encode_genesis(&genesis);
    assert_eq!(Genesis::decode(&bytes).unwrap(), genesis);
    let first = genesis.commit().unwrap();
    let mut codec = Codec::default();
    codec.learn_from(&first).unwrap();
    let commit = Commit {
        revision: 5,
        reason: Some("why".into()),
        parent: Hash::of(b"x"),
        idempotency: Some(Idempotency {
            key: "k".into(),
            kind: "put".into(),
            request: Hash::of(b"r"),
        }),
        expects: vec![Expect {
            namespace: "a.b".parse().unwrap(),
            key: "c/d".parse().unwrap(),
            mod_revision: 3,
        }],
        changes: vec![
            Change::Put {
                namespace: "a".parse().unwrap(),
                key: "k".parse().unwrap(),
                content_type: "text/plain".into(),
                value: Bytes::from_static(b"\xff\x00"),
                version: 9,
            },
            Change::Delete { namespace: "a".parse().unwrap(), key: "k2".parse().unwrap() },
        ],
        attributes: [("a".to_string(), "b".to_string())].into(),
        ..first
    };
    let bytes = encode_commit(&commit);
    let frozen = Frozen::read(&bytes).unwrap();
    assert_eq!((frozen.revision, frozen.parent), (5, commit.parent));
    assert_eq!(codec.decode(&bytes).unwrap(), commit);
}
