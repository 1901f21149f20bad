//! Whatever happens to the bytes is found, and nothing panics.

use std::fs;
use std::path::Path;

use headwater_image::{
    Assembler, ImageError, Keep, Manifest, Mapped, Trust, WireImage, mapped_name,
};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::model::{assemble, few, several_blocks};

/// Every byte of a file, changed in two ways.
fn flips(file: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..file.len()).flat_map(move |at| {
        [0xFF, 1 << (at % 8)].map(|mask| {
            let mut flipped = file.to_vec();
            flipped[at] ^= mask;
            (at, flipped)
        })
    })
}

fn verify_wire(path: &Path) -> Result<(), ImageError> {
    WireImage::open(path)?.verify()
}

/// Asks everything of an image that may be damaged: answers do not matter, coming back does.
fn exercise(image: &Mapped) {
    let mut keys: Vec<(String, String)> = Vec::new();
    for (namespace, key, _) in image.iter().take(1_000) {
        keys.push((namespace.into(), key.into()));
    }
    for (namespace, key) in &keys {
        image.get(namespace, key);
        image.prefix(namespace, key, None).take(1_000).for_each(drop);
        image.prefix(namespace, "", Some(key)).take(1_000).for_each(drop);
    }
    image.get("payments.prod", "db/pool");
    image.prefix("payments.prod", "d", None).take(1_000).for_each(drop);
    let _ = image.verify();
    let _ = image.verify_digests();
}

#[test]
fn every_flipped_byte_of_a_wire_image_is_found() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let path = dir.path().join(&manifest.name);
    let file = fs::read(&path).unwrap();
    for (at, flipped) in flips(&file) {
        fs::write(&path, &flipped).unwrap();
        let error = verify_wire(&path).err();
        assert!(error.is_some_and(|error| error.is_damage()), "byte {at} went unnoticed on disk");
        let assembled = assemble(&manifest, None, &flipped, &[97]);
        assert!(assembled.is_err(), "byte {at} went unnoticed on its way");
    }
}

#[test]
fn every_flipped_byte_of_a_mapped_image_is_found() {
    let model = few();
    let dir = tempdir().unwrap();
    model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    let path = dir.path().join(mapped_name(&model.head, None));
    let file = fs::read(&path).unwrap();
    for (at, flipped) in flips(&file) {
        // A new file each time: mapped ones are never written to.
        let path = dir.path().join(format!("{at}"));
        fs::write(&path, &flipped).unwrap();
        for keep in [Keep::Mapped, Keep::Copied] {
            let error = Mapped::open(&path, Trust::Verify, keep).err();
            assert!(error.is_some_and(|error| error.is_damage()), "byte {at} went unnoticed");
            if let Ok(image) = Mapped::open(&path, Trust::JustWritten, keep) {
                assert!(image.verify().is_err(), "byte {at} went unnoticed later");
                exercise(&image);
            }
        }
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn every_truncation_is_found() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    let wire = fs::read(dir.path().join(&manifest.name)).unwrap();
    let mapped = fs::read(dir.path().join(mapped_name(&model.head, None))).unwrap();
    let path = dir.path().join("cut");
    for len in 0..wire.len() {
        fs::write(&path, &wire[..len]).unwrap();
        assert!(verify_wire(&path).is_err(), "{len} bytes of a wire image");
        assert!(assemble(&manifest, None, &wire[..len], &[61]).is_err());
        assert!(WireImage::assemble(&path, manifest.clone(), None).is_err());
    }
    fs::remove_file(&path).unwrap();
    for len in 0..mapped.len() {
        let path = dir.path().join(format!("cut-{len}"));
        fs::write(&path, &mapped[..len]).unwrap();
        for trust in [Trust::Verify, Trust::JustWritten] {
            let opened = Mapped::open(&path, trust, Keep::Copied);
            assert!(opened.is_err(), "{len} bytes of a mapped image");
        }
        // An empty file cannot be mapped at all, which is an error like any other.
        assert!(Mapped::open(&path, Trust::JustWritten, Keep::Mapped).is_err());
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn bytes_behind_the_end_are_found() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    model.mapped(None).persist(dir.path(), Keep::Mapped).unwrap();
    for name in [manifest.name, mapped_name(&model.head, None)] {
        let mut bytes = fs::read(dir.path().join(&name)).unwrap();
        bytes.extend_from_slice(&[0; 64]);
        let path = dir.path().join("longer");
        fs::write(&path, bytes).unwrap();
        assert!(
            verify_wire(&path).is_err()
                && Mapped::open(&path, Trust::JustWritten, Keep::Copied).is_err()
        );
    }
}

#[test]
fn a_block_that_came_damaged_is_wanted_again_and_the_others_stay() {
    let model = several_blocks();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let file = fs::read(dir.path().join(&manifest.name)).unwrap();
    for damaged in 0..manifest.blocks.len() {
        let mut assembler = Assembler::new(manifest.clone(), None).unwrap();
        let mut flipped = file.clone();
        let block = &manifest.blocks[damaged];
        flipped[usize::try_from(block.offset + block.bytes / 2).unwrap()] ^= 0x10;
        let error = assembler.feed(0, &flipped).unwrap_err();
        assert!(error.is_damage(), "{error}");
        let needed = assembler.needs().unwrap();
        assert_eq!(needed, block.offset..manifest.bytes);
        assembler.feed(needed.start, &file[usize::try_from(needed.start).unwrap()..]).unwrap();
        assert_eq!(assembler.needs(), None);
        model.assert_same(&assembler.finish().unwrap());
    }
}

#[test]
fn an_image_that_is_not_the_announced_one_is_refused() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let file = fs::read(dir.path().join(&manifest.name)).unwrap();
    let mut others = vec![manifest.clone(); 3];
    others[0].stream_id.0[3] ^= 1;
    others[1].digest.0[3] ^= 1;
    others[2].entries += 1;
    for other in others {
        let error = assemble(&other, None, &file, &[1_000]).unwrap_err();
        assert!(matches!(error, ImageError::Damaged { .. }), "{error}");
    }
}

#[test]
fn bytes_that_leave_a_gap_are_refused_and_change_nothing() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let file = fs::read(dir.path().join(&manifest.name)).unwrap();
    let mut assembler = Assembler::new(manifest, None).unwrap();
    assembler.feed(0, &file[..100]).unwrap();
    let error = assembler.feed(101, &file[101..]).unwrap_err();
    assert!(matches!(error, ImageError::Gap { given: 101, needed: 100 }), "{error}");
    assert!(format!("{assembler:?}").contains("needs"));
    assembler.feed(50, &file[50..]).unwrap();
    model.assert_same(&assembler.finish().unwrap());
}

#[test]
fn an_unfinished_image_is_no_image() {
    let model = few();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let file = fs::read(dir.path().join(&manifest.name)).unwrap();
    let mut assembler = Assembler::new(manifest, None).unwrap();
    assembler.feed(0, &file[..file.len() - 1]).unwrap();
    assert!(assembler.finish().unwrap_err().is_damage());
}

#[test]
fn impossible_manifests_are_refused() {
    let dir = tempdir().unwrap();
    let good = several_blocks().write(dir.path());
    good.check().unwrap();
    let bad = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        assert!(Assembler::new(manifest, None).is_err());
    };
    bad(&|m| m.name = "../../etc/passwd".into());
    bad(&|m| m.revision += 1);
    bad(&|m| m.bytes = u64::MAX);
    bad(&|m| m.bytes = 0);
    bad(&|m| m.blocks[0].offset = u64::MAX);
    bad(&|m| m.blocks[0].bytes = u64::MAX);
    bad(&|m| m.blocks[1].offset += 1);
    bad(&|m| m.blocks[1].bytes = 0);
    bad(&|m| drop(m.blocks.remove(1)));
}

proptest! {
    #[test]
    fn garbage_is_no_image(bytes in prop::collection::vec(any::<u8>(), 0..2_000), magic in 0..3) {
        let mut bytes = bytes;
        if let (1.., Some(begin)) = (magic, bytes.get_mut(..12)) {
            begin.copy_from_slice(if magic == 1 { b"HWMAPPED\x01\0\0\0" } else { b"HWIMAGE\0\x01\0\0\0" });
        }
        let dir = tempdir().unwrap();
        let path = dir.path().join("garbage");
        fs::write(&path, &bytes).unwrap();
        prop_assert!(WireImage::open(&path).is_err());
        prop_assert!(Mapped::open(&path, Trust::JustWritten, Keep::Copied).is_err());
        prop_assert!(Manifest::parse(&bytes).is_err());
    }
}
