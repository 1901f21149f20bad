//! The tail is bounded by what its commits hold, record or no record.

use std::sync::Arc;

use headwater_schemas::{Digest, Effect, Entry, Hash, Head, Position, StreamId, Totals};

use super::view::genesis;
use crate::{Applied, Tail, TailRead};

const VALUE_BYTES: usize = 64 * 1024;

/// A commit of a filtered replica, which holds no record: it replaced or deleted a large value.
fn applied(revision: u64, before: usize, after: usize) -> Arc<Applied> {
    let entry = |bytes: usize| Entry {
        content_type: "text/plain".into(),
        value: vec![b'x'; bytes].into(),
        version: 1,
        create_revision: 1,
        mod_revision: 1,
        updated_at_ms: 0,
        actor: "tester".into(),
    };
    let effect = Effect {
        namespace: "app".parse().unwrap(),
        key: "k".parse().unwrap(),
        before: Some(entry(before)),
        after: Some(entry(after)),
        digest: Digest::default(),
    };
    let head = Head { stream_id: StreamId([9; 16]), revision, hash: Hash::default(), at_ms: 0 };
    Arc::new(Applied {
        head,
        previous: revision - 1,
        position: Position(revision),
        appended_at_ms: 0,
        record: Default::default(),
        commit: genesis().1,
        effects: vec![effect],
        totals: Totals::default(),
    })
}

#[test]
fn values_count_before_and_after_a_commit() {
    for (before, after) in [(VALUE_BYTES, 0), (0, VALUE_BYTES)] {
        let tail = Tail::new(10 * VALUE_BYTES);
        tail.reset(Head { revision: 0, ..applied(1, 0, 0).head });
        (1..=100).for_each(|revision| tail.push(applied(revision, before, after)));
        let oldest = tail.oldest().unwrap();
        assert!(oldest >= 90, "{} commits of {VALUE_BYTES} bytes are kept", 100 - oldest);
        assert!(matches!(tail.after(0, usize::MAX), TailRead::Behind { .. }));
    }
}
