//! Equal revision must mean equal digest everywhere.
#![allow(clippy::unwrap_used, reason = "a test's own set-up")]

mod support;

use headwater_schemas::{
    Digest, Entry, Hash, NamespaceTotals, Totals, encode_commit, entry_digest,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{few_changes, founded, next};

fn digest() -> impl Strategy<Value = Digest> {
    // Limbs of ones make carries run through.
    let limb = prop_oneof![Just(0u64), Just(u64::MAX), any::<u64>()];
    proptest::array::uniform4(limb).prop_map(|limbs| {
        let bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
        Digest(bytes.try_into().unwrap())
    })
}

proptest! {
    #[test]
    fn a_sum_does_not_depend_on_order(
        (parts, shuffled) in vec(digest(), 0..8)
            .prop_flat_map(|parts| (Just(parts.clone()), Just(parts).prop_shuffle())),
    ) {
        let sum = |parts: &[Digest]| parts.iter().fold(Digest::default(), |sum, it| sum.plus(*it));
        prop_assert_eq!(sum(&parts), sum(&shuffled));
    }

    #[test]
    fn taking_away_undoes_adding(a in digest(), b in digest()) {
        prop_assert_eq!(a.plus(b).minus(b), a);
        prop_assert_eq!(a.minus(b).plus(b), a);
        prop_assert_eq!(a.minus(a), Digest::default());
    }

    #[test]
    fn what_is_kept_along_the_way_equals_what_is_summed_at_the_end(
        chain in vec(few_changes(), 1..20),
    ) {
        let mut state = founded();
        for (at, changes) in chain.into_iter().enumerate() {
            let commit = next(&state, at as u128, changes);
            state.apply(&commit, Hash::of(&encode_commit(&commit)));
        }
        let totals = state.totals();
        let mut sums: std::collections::BTreeMap<String, (u64, u64, Digest)> =
            totals.namespaces().map(|(name, _)| (name.to_string(), Default::default())).collect();
        for (namespace, key, entry) in state.iter() {
            let sum = sums.get_mut(namespace.as_str()).unwrap();
            let one = entry_digest(namespace.as_str(), key.as_str(), entry.as_ref());
            *sum = (sum.0 + 1, sum.1 + entry.value.len() as u64, sum.2.plus(one));
        }
        for (name, (entries, bytes, digest)) in &sums {
            let part = totals.of(name);
            prop_assert_eq!((part.entries, part.bytes, part.digest), (*entries, *bytes, *digest));
        }
        prop_assert_eq!(totals.digest_of(sums.keys().map(String::as_str)), totals.digest());
        prop_assert_eq!(totals.entries(), sums.values().map(|sum| sum.0).sum::<u64>());
        prop_assert_eq!(totals.bytes(), sums.values().map(|sum| sum.1).sum::<u64>());
        let rebuilt: Vec<_> = totals.namespaces().map(|(name, part)| (name.clone(), *part)).collect();
        prop_assert_eq!(&Totals::from_namespaces(rebuilt), totals);
    }
}

fn entry() -> Entry {
    Entry {
        content_type: "text/plain".into(),
        value: "value".into(),
        version: 1,
        create_revision: 2,
        mod_revision: 3,
        updated_at_ms: 4,
        actor: "alice".into(),
    }
}

#[test]
fn every_part_of_an_entry_counts() {
    let of = |namespace, key, entry: Entry| entry_digest(namespace, key, entry.as_ref());
    let all = [
        of("a", "k", entry()),
        of("b", "k", entry()),
        of("a", "l", entry()),
        // Every part stands behind its length: moving a byte from one to the next is another entry.
        of("ak", "k", entry()),
        of("a", "kt", Entry { content_type: "ext/plain".into(), ..entry() }),
        of("a", "k", Entry { content_type: "text/html".into(), ..entry() }),
        of("a", "k", Entry { value: "valuf".into(), ..entry() }),
        of("a", "k", Entry { actor: "bob".into(), ..entry() }),
        of("a", "k", Entry { version: 2, ..entry() }),
        of("a", "k", Entry { create_revision: 1, ..entry() }),
        of("a", "k", Entry { mod_revision: 4, ..entry() }),
        of("a", "k", Entry { updated_at_ms: -4, ..entry() }),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_namespace_nobody_wrote_to_holds_nothing() {
    assert_eq!(Totals::default().of("a"), NamespaceTotals::default());
    assert_eq!(Totals::default().digest_of(["a", "b"]), Digest::default());
}

#[test]
fn an_emptied_namespace_keeps_its_last_revision() {
    let mut state = founded();
    for (at, change) in
        [support::put("a", "k", b"1"), support::delete("a", "k")].into_iter().enumerate()
    {
        let commit = next(&state, at as u128, vec![change]);
        state.apply(&commit, Hash::of(&encode_commit(&commit)));
    }
    let emptied = NamespaceTotals { mod_revision: 2, ..NamespaceTotals::default() };
    assert_eq!(state.totals().of("a"), emptied);
    assert_eq!(state.totals().digest(), founded().totals().digest());
}

proptest! {
    #[test]
    fn an_entrys_digest_is_the_hash_of_its_pieces_whatever_its_size(
        value in prop::collection::vec(any::<u8>(), 0..3_000), key in "[a-z]{1,300}", version: u64,
    ) {
        let entry = Entry {
            content_type: "text/plain".into(),
            value: value.clone().into(),
            version,
            create_revision: 2,
            mod_revision: 3,
            updated_at_ms: -4,
            actor: "ada".into(),
        };
        let mut pieces = Vec::new();
        for piece in [b"a.b".as_slice(), key.as_bytes(), b"text/plain", b"ada", &value] {
            pieces.extend_from_slice(&(piece.len() as u64).to_le_bytes());
            pieces.extend_from_slice(piece);
        }
        for number in [version, 2, 3, (-4_i64).cast_unsigned()] {
            pieces.extend_from_slice(&number.to_le_bytes());
        }
        prop_assert_eq!(entry_digest("a.b", &key, entry.as_ref()).0, Hash::of(&pieces).0);
    }
}
