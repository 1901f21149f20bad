//! Keys of rows. A namespace is preceded by its length, so that `a` is no prefix of `ab`; a key that more follows ends in a
//! zero byte, which no key holds, so that keys lie in byte order; revisions are big-endian, for the same reason.

use headwater_schemas::Hash;

fn push_part(out: &mut Vec<u8>, part: &str) {
    // A longer name than this cannot be stored: saturated, it matches no row.
    out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(part.as_bytes());
}

/// `entries`: namespace, then the key to the end, so that the keys of a namespace lie in byte order.
pub(crate) fn entry(namespace: &str, key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + namespace.len() + key.len());
    push_part(&mut out, namespace);
    out.extend_from_slice(key.as_bytes());
    out
}

/// The namespace's part of a key of `entries`.
pub(crate) fn namespace(namespace: &str) -> Vec<u8> {
    entry(namespace, "")
}

/// The key's part of a key of `entries`; none when the row is damaged.
pub(crate) fn key_of(row: &[u8], namespace: &str) -> Option<String> {
    String::from_utf8(row.get(2 + namespace.len()..)?.to_vec()).ok()
}

/// `versions`: namespace, key and a zero, revision.
pub(crate) fn version(namespace: &str, key: &str, revision: u64) -> Vec<u8> {
    let mut out = versions(namespace, key);
    out.extend_from_slice(&revision.to_be_bytes());
    out
}

/// What all versions of one key begin with.
pub(crate) fn versions(namespace: &str, key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(11 + namespace.len() + key.len());
    push_part(&mut out, namespace);
    out.extend_from_slice(key.as_bytes());
    out.push(0);
    out
}

/// The least bound above all versions of one key: the next key's begin there or later.
pub(crate) fn behind_versions(namespace: &str, key: &str) -> Vec<u8> {
    let mut out = entry(namespace, key);
    out.push(1);
    out
}

/// The key's part of a key of `versions`; none when the row is damaged.
pub(crate) fn versioned_key(row: &[u8], namespace: &str) -> Option<String> {
    let named = row.get(2 + namespace.len()..row.len().checked_sub(8)?)?;
    let (zero, key) = named.split_last()?;
    (*zero == 0).then(|| String::from_utf8(key.to_vec()).ok())?
}

/// `touched`: namespace, revision.
pub(crate) fn touched(namespace: &str, revision: u64) -> Vec<u8> {
    let mut out = entry(namespace, "");
    out.extend_from_slice(&revision.to_be_bytes());
    out
}

/// `commits`: the revision.
pub(crate) fn commit(revision: u64) -> [u8; 8] {
    revision.to_be_bytes()
}

/// `actors`: half a hash of the actor, whose own length costs nothing then, and the revision.
pub(crate) fn actor(actor: &str, revision: u64) -> [u8; 24] {
    let mut out = [0; 24];
    out[..16].copy_from_slice(&Hash::of(actor.as_bytes()).0[..16]);
    out[16..].copy_from_slice(&revision.to_be_bytes());
    out
}

/// The revision that a key of `commits`, `versions`, `actors` or `touched` ends in; none when the row is damaged.
pub(crate) fn revision_of(row: &[u8]) -> Option<u64> {
    row.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// `meta`: the totals of one namespace.
pub(crate) fn totals(namespace: &str) -> Vec<u8> {
    [TOTALS, namespace.as_bytes()].concat()
}

/// What all keys of namespaces' totals in `meta` begin with.
pub(crate) const TOTALS: &[u8] = b"totals/";
/// `meta`: the head and where its record stands.
pub(crate) const HEAD: &[u8] = b"head";
/// `meta`: the version of this layout.
pub(crate) const LAYOUT: &[u8] = b"layout";

/// The least key above every key that begins with `prefix`; none when there is none.
pub(crate) fn above(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.pop() {
        if last < u8::MAX {
            out.push(last + 1);
            return Some(out);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_versions_prefix_covers_another_keys_versions(
            a in "[a-c.]{1,4}", b in "[a-c/]{1,4}", c in "[a-c.]{1,4}", d in "[a-c/]{1,4}", r in any::<u64>(),
        ) {
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert!(!version(&c, &d, r).starts_with(&versions(&a, &b)));
        }

        #[test]
        fn versions_lie_in_byte_order_of_keys_and_each_is_behind_all_of_those_before(
            a in "[!-~é]{1,4}", b in "[!-~é]{1,4}", r in any::<u64>(), s in any::<u64>(),
        ) {
            prop_assume!(a < b);
            prop_assert!(version("n", &a, r) < version("n", &b, s));
            prop_assert!(version("n", &a, r) < behind_versions("n", &a));
            prop_assert!(behind_versions("n", &a) <= versions("n", &b));
            prop_assert_eq!(versioned_key(&version("n", &a, r), "n"), Some(a));
        }

        #[test]
        fn revisions_order_as_bytes(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(version("n", "k", a).cmp(&version("n", "k", b)), a.cmp(&b));
            prop_assert_eq!(actor("x", a).cmp(&actor("x", b)), a.cmp(&b));
            prop_assert_eq!(revision_of(&version("n", "k", a)), Some(a));
        }

        #[test]
        fn above_is_the_least_bound(prefix in proptest::collection::vec(any::<u8>(), 0..6), rest in proptest::collection::vec(any::<u8>(), 0..6)) {
            let row = [prefix.clone(), rest].concat();
            match above(&prefix) {
                Some(bound) => prop_assert!(row < bound && !bound.starts_with(&prefix)),
                None => prop_assert!(prefix.iter().all(|byte| *byte == u8::MAX)),
            }
        }
    }

    #[test]
    fn entries_of_a_namespace_lie_in_byte_order_of_keys() {
        assert!(entry("n", "a") < entry("n", "a/b"));
        assert!(!entry("nn", "a").starts_with(&namespace("n")));
        assert_eq!(key_of(&entry("a.b", "c/d"), "a.b").unwrap(), "c/d");
    }
}
