//! Mapped files whose hashes are right and whose contents are not: they may answer wrongly, never panic.

use std::fs;

use headwater_schemas::{
    EntryRef, Hash, Head, NamespaceTotals, Position, StreamId, Totals, entry_digest,
};
use proptest::prelude::*;

use super::layout::Layout;
use super::trailer::Trailer;
use super::{Keep, Mapped, MappedBuilder, Trust};

fn genuine() -> Mapped {
    let mut builder = MappedBuilder::default();
    let mut part = NamespaceTotals { mod_revision: 9, ..Default::default() };
    for number in 0..40 {
        let key = format!("k/{number:02}");
        let entry = EntryRef {
            content_type: "text/plain",
            value: b"value",
            version: 1,
            create_revision: 2,
            mod_revision: 3,
            updated_at_ms: 4,
            actor: "somebody",
        };
        builder.push("a", &key, entry).unwrap();
        part.entries += 1;
        part.bytes += 5;
        part.digest = part.digest.plus(entry_digest("a", &key, entry));
    }
    let totals = Totals::from_namespaces([("a".parse().unwrap(), part)]);
    let head = Head { stream_id: StreamId([1; 16]), revision: 9, hash: Hash::of(b"x"), at_ms: 4 };
    builder.finish(&head, &totals, Position(0), None).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_mapped_file_with_a_right_hash_never_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..20),
        in_header: bool,
    ) {
        let mut body = genuine().bytes().to_vec();
        for (at, mask) in flips {
            let at = at.index(if in_header { 256 } else { body.len() });
            body[at] ^= mask;
        }
        let Ok(layout) = Layout::scan(&body) else { return Ok(()) };
        let trailer = Trailer::of(&body, &layout).encode();
        body.extend_from_slice(&trailer);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("forged");
        fs::write(&path, &body).unwrap();
        let Ok(image) = Mapped::open(&path, Trust::Verify, Keep::Mapped) else { return Ok(()) };
        let _ = image.verify_digests();
        prop_assert!(image.iter().count() <= body.len() / 8);
        for number in 0..40 {
            let key = format!("k/{number:02}");
            image.get("a", &key);
            prop_assert!(image.prefix("a", &key, None).count() <= body.len() / 8);
            prop_assert!(image.prefix("a", "k", Some(&key)).count() <= body.len() / 8);
        }
    }
}
