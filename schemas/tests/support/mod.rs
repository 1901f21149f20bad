//! Chains, readers and arbitrary values for the tests of the language.
#![allow(dead_code, reason = "every test binary takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_schemas::{
    Change, Codec, Commit, Digest, FORMAT, Frozen, Genesis, Hash, Idempotency, Key, Namespace,
    State, StreamId, accept, commit_schema, encode_commit, encode_genesis,
};
use headwater_schemas::{Expect, fold};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

pub(crate) const STREAM: StreamId = StreamId([7; 16]);

pub(crate) fn genesis() -> Genesis {
    Genesis {
        stream_id: STREAM,
        format: FORMAT,
        created_at_ms: 1_700_000_000_000,
        schema: commit_schema().into(),
        cluster_id: Some("cluster".into()),
        supersedes: None,
    }
}

/// A codec that knows the schema of this build.
pub(crate) fn codec() -> Codec {
    let mut codec = Codec::default();
    codec.learn_from(&genesis().commit().unwrap()).unwrap();
    codec
}

/// The state a stream begins with.
pub(crate) fn founded() -> State {
    let record = encode_genesis(&genesis());
    State::found(&Genesis::decode(&record).unwrap().commit().unwrap(), Hash::of(&record))
}

/// The commit that makes `changes` right after `state`, as a correct writer would write it.
pub(crate) fn next(state: &State, id: u128, changes: Vec<Change>) -> Commit {
    let head = state.head();
    let mut commit = Commit {
        stream_id: head.stream_id,
        format: FORMAT,
        revision: head.revision + 1,
        parent: head.hash,
        commit_id: uuid::Uuid::from_u128(id),
        at_ms: head.at_ms + 1,
        actor: "alice".into(),
        reason: None,
        idempotency: None,
        expects: Vec::new(),
        changes,
        digest: Digest::default(),
        attributes: BTreeMap::new(),
    };
    let lookup = |namespace: &Namespace, key: &Key| state.get(namespace, key).cloned();
    commit.digest = fold(&commit, Hash::default(), state.totals(), lookup).totals.digest();
    commit
}

/// What every reader does with a log: the state it comes to, and how many records it ignored.
pub(crate) fn read<'a>(
    mut state: State,
    log: impl IntoIterator<Item = &'a Bytes>,
) -> (State, usize) {
    let codec = codec();
    let mut ignored = 0;
    for record in log {
        match Frozen::read(record) {
            Ok(frozen) if accept(state.head(), &frozen) => {
                let folded = state.apply(&codec.decode(record).unwrap(), Hash::of(record));
                assert_eq!(folded.divergence, None);
            }
            _ => ignored += 1,
        }
    }
    (state, ignored)
}

pub(crate) fn put(namespace: &str, key: &str, value: &[u8]) -> Change {
    Change::Put {
        namespace: namespace.parse().unwrap(),
        key: key.parse().unwrap(),
        content_type: "application/json".into(),
        value: Bytes::copy_from_slice(value),
        version: 1,
    }
}

pub(crate) fn delete(namespace: &str, key: &str) -> Change {
    Change::Delete { namespace: namespace.parse().unwrap(), key: key.parse().unwrap() }
}

/// Few names, so that changes meet; every key at most once.
pub(crate) fn few_changes() -> impl Strategy<Value = Vec<Change>> {
    let place = ("[ab]", "[xyz](/[xy])?");
    btree_map(place, option::weighted(0.7, vec(any::<u8>(), 0..8)), 0..5).prop_map(|changes| {
        let change = |((namespace, key), value): ((String, String), Option<Vec<u8>>)| match value {
            Some(value) => put(&namespace, &key, &value),
            None => delete(&namespace, &key),
        };
        changes.into_iter().map(change).collect()
    })
}

pub(crate) fn namespace() -> impl Strategy<Value = Namespace> {
    "_?[a-z0-9][a-z0-9_-]{0,9}(\\.[a-z0-9][a-z0-9_-]{0,9}){0,3}".prop_map(|n| n.parse().unwrap())
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    "[a-zA-Z0-9 %äß日🦀:@-]{1,12}(/[a-zA-Z0-9 %äß日🦀:@-]{1,12}){0,3}"
        .prop_map(|k| k.parse().unwrap())
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

/// A number that Avro's long holds.
fn long() -> impl Strategy<Value = u64> {
    prop_oneof![0..3u64, any::<i64>().prop_map(|n| n.unsigned_abs().min(i64::MAX as u64))]
}

fn change() -> impl Strategy<Value = Change> {
    let put = (namespace(), key(), any::<String>(), vec(any::<u8>(), 0..200), long()).prop_map(
        |(namespace, key, content_type, value, version)| Change::Put {
            namespace,
            key,
            content_type: content_type.into(),
            value: value.into(),
            version,
        },
    );
    let delete =
        (namespace(), key()).prop_map(|(namespace, key)| Change::Delete { namespace, key });
    prop_oneof![3 => put, 1 => delete]
}

/// Any commit that a writer could encode, sensible or not.
pub(crate) fn any_commit() -> impl Strategy<Value = Commit> {
    let idempotency = (any::<String>(), any::<String>(), hash())
        .prop_map(|(key, kind, request)| Idempotency { key, kind, request });
    let expect = (namespace(), key(), long()).prop_map(|(namespace, key, mod_revision)| Expect {
        namespace,
        key,
        mod_revision,
    });
    let header = (any::<[u8; 16]>(), 0..1u32 << 30, long(), hash());
    let who = (any::<u128>(), any::<i64>(), any::<String>(), option::of(any::<String>()));
    let what = (option::of(idempotency), vec(expect, 0..4), vec(change(), 0..6));
    let rest = (any::<[u8; 32]>(), btree_map(any::<String>(), any::<String>(), 0..4));
    (header, who, what, rest).prop_map(|(header, who, what, rest)| Commit {
        stream_id: StreamId(header.0),
        format: header.1,
        revision: header.2,
        parent: header.3,
        commit_id: uuid::Uuid::from_u128(who.0),
        at_ms: who.1,
        actor: who.2.into(),
        reason: who.3,
        idempotency: what.0,
        expects: what.1,
        changes: what.2,
        digest: Digest(rest.0),
        attributes: rest.1,
    })
}

/// A commit that has something in every field.
pub(crate) fn full_commit() -> Commit {
    Commit {
        reason: Some("a larger pool for the sale".into()),
        idempotency: Some(Idempotency {
            key: "order-66".into(),
            kind: "commit".into(),
            request: Hash::of(b"request"),
        }),
        expects: vec![Expect {
            namespace: "payments.prod".parse().unwrap(),
            key: "db/limit".parse().unwrap(),
            mod_revision: 0,
        }],
        attributes: [("ticket".to_owned(), "OPS-1".to_owned())].into(),
        ..next(
            &founded(),
            0x0190_1234_5678_7abc_8def_0123_4567_89ab,
            vec![
                put("payments.prod", "db/pool", br#"{"max":8}"#),
                delete("payments.prod", "db/old"),
            ],
        )
    }
}

/// A record and what its writer meant, for tests that damage it.
pub(crate) fn full_record() -> Bytes {
    encode_commit(&full_commit())
}
