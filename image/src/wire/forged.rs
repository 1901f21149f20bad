//! Images whose hashes are right and whose contents are not: nobody may panic over them, or take wrong order or counts.

use std::fs;
use std::path::Path;

use headwater_schemas::{
    EntryRef, Hash, Head, NamespaceTotals, Position, StreamId, Totals, entry_digest,
};
use proptest::prelude::*;

use super::block::{Unpacker, ZSTD_LEVEL};
use super::footer::{Footer, TRAILER_BYTES, seal};
use super::header::Header;
use crate::hash::checksum;
use crate::{Manifest, WireImage};

/// A true image: the file, and how long its header is.
fn genuine(dir: &Path) -> (Manifest, Vec<u8>, usize) {
    let rows = [("a", "k/1", "one"), ("a", "k/2", "two"), ("b", "k/1", "three"), ("c", "x", "")];
    let entry = |value: &'static str| EntryRef {
        content_type: "text/plain",
        value: value.as_bytes(),
        version: 1,
        create_revision: 2,
        mod_revision: 3,
        updated_at_ms: 4,
        actor: "somebody",
    };
    let parts = ["a", "b", "c", "d"].map(|name| {
        let mut part = NamespaceTotals { mod_revision: 3, ..Default::default() };
        for (namespace, key, value) in rows.iter().filter(|row| row.0 == name) {
            part.entries += 1;
            part.bytes += value.len() as u64;
            part.digest = part.digest.plus(entry_digest(namespace, key, entry(value)));
        }
        (name.parse().unwrap(), part)
    });
    let totals = Totals::from_namespaces(parts);
    let head = Head { stream_id: StreamId([1; 16]), revision: 3, hash: Hash::of(b"x"), at_ms: 4 };
    let manifest = WireImage::write(dir, &head, &totals, Position(0), 0, |visit| {
        rows.iter().try_for_each(|(namespace, key, value)| visit(namespace, key, entry(value)))
    });
    let manifest = manifest.unwrap();
    let file = fs::read(dir.join(&manifest.name)).unwrap();
    let header_len = usize::try_from(Header::claimed_len(&file).unwrap()).unwrap();
    (manifest, file, header_len)
}

/// Does everything that can be done with a file. Whether it holds up is the answer.
fn survives(path: &Path) -> bool {
    let Ok(image) = WireImage::open(path) else { return false };
    let verified = image.verify().is_ok();
    let _ = image.for_each(&mut |_, _, _| Ok(()));
    let manifest = image.manifest(Position(0), 0).unwrap();
    if let Ok(mapped) = WireImage::assemble(path, manifest, None) {
        for (namespace, key, _) in mapped.iter() {
            assert!(mapped.get(namespace, key).is_some());
        }
        let keys: Vec<_> = mapped.iter().map(|(namespace, key, _)| (namespace, key)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
    }
    verified
}

proptest! {
    #[test]
    fn header_and_footer_with_a_right_hash_are_still_doubted(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        in_footer: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (manifest, mut file, header_len) = genuine(dir.path());
        let trailer_at = file.len() - TRAILER_BYTES;
        let block = &manifest.blocks[manifest.blocks.len() - 1];
        let footer_at = usize::try_from(block.offset + block.bytes).unwrap();
        let forged = if in_footer { footer_at..trailer_at } else { 0..header_len };
        for (at, mask) in flips {
            file[forged.start + at.index(forged.len())] ^= mask;
        }
        let hash = seal(
            &file[..header_len],
            &file[footer_at..trailer_at],
            &file[trailer_at..trailer_at + 16],
        );
        file[trailer_at + 16..trailer_at + 48].copy_from_slice(&hash.0);
        let path = dir.path().join("forged");
        fs::write(&path, &file).unwrap();
        survives(&path);
    }

    #[test]
    fn records_with_a_right_hash_are_still_doubted(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (_, file, header_len) = genuine(dir.path());
        let header_bytes = &file[..header_len];
        let header = Header::scan(header_bytes).unwrap();
        let footer_at = file.len() - TRAILER_BYTES;
        let (footer_at, _) = Footer::place(&file[footer_at..], file.len() as u64).unwrap();
        let footer_at = usize::try_from(footer_at).unwrap();
        let mut footer =
            Footer::scan(&file[footer_at..], &header, header_bytes, file.len() as u64).unwrap();
        let block = footer.blocks.last_mut().unwrap();
        let mut records = Vec::new();
        let range = usize::try_from(block.offset).unwrap()..footer_at;
        Unpacker::new().unwrap().unpack(&file[range], block.hash, &mut records).unwrap();
        let genuine = records.clone();
        for (at, mask) in flips {
            let at = at.index(records.len());
            records[at] ^= mask;
        }
        let packed = zstd::bulk::compress(&records, ZSTD_LEVEL).unwrap();
        block.wire_bytes = u32::try_from(packed.len()).unwrap();
        block.hash = Hash::of(&records);
        block.checksum = checksum(&packed);
        let mut forged = file[..usize::try_from(block.offset).unwrap()].to_vec();
        forged.extend_from_slice(&packed);
        forged.extend_from_slice(&footer.encode(header_bytes));
        let path = dir.path().join("forged");
        fs::write(&path, &forged).unwrap();
        // Padding between records is all that nothing depends on.
        let verified = survives(&path);
        prop_assert!(!verified || records == genuine || only_padding(&header, &genuine, &records));
    }
}

fn only_padding(header: &Header, genuine: &[u8], forged: &[u8]) -> bool {
    let list = |block| {
        let mut list = Vec::new();
        super::block::walk(header, block, |row| {
            list.push((row.rows, row.key.to_owned(), row.entry.to_entry()));
            Ok(())
        })
        .map(|_| list)
        .ok()
    };
    list(genuine) == list(forged)
}
