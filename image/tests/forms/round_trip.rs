//! Whatever goes in comes out, whichever way it goes.

use std::fs;
use std::path::Path;

use headwater_image::{
    Assembler, ImageError, Keep, Mapped, MappedBuilder, Trust, WireImage, mapped_name,
};
use headwater_schemas::{Hash, Position};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::model::{Model, POSITION, any_model, assemble, few, several_blocks};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_state_survives_wire_and_mapped_form_in_any_pieces(
        model in any_model(),
        sizes in prop::collection::vec(prop_oneof![1usize..300, 1usize..400_000], 1..20),
        prefix in "[ab]{0,2}/?[ab]{0,1}",
        after in prop::option::of("[ab]{0,2}/?[ab]{0,1}"),
    ) {
        let dir = tempdir().unwrap();
        let manifest = model.write(dir.path());
        let file = fs::read(dir.path().join(&manifest.name)).unwrap();
        prop_assert_eq!(manifest.bytes, file.len() as u64);
        prop_assert_eq!(manifest.blake3, Hash::of(&file));
        let image = assemble(&manifest, None, &file, &sizes).unwrap();
        model.assert_same(&image);
        let stored = image.persist(dir.path(), Keep::Mapped).unwrap();
        model.assert_same(&stored);
        for namespace in ["a", "b", "a.b", "c", "zz"] {
            model.assert_prefix(&image, namespace, &prefix, after.as_deref());
            model.assert_prefix(&stored, namespace, "", after.as_deref());
        }
    }

    #[test]
    fn a_transfer_that_breaks_off_goes_on_where_it_was(
        model in any_model(),
        cuts in prop::collection::vec((0usize..100_000, 0usize..100_000), 1..8),
    ) {
        let dir = tempdir().unwrap();
        let manifest = model.write(dir.path());
        let file = fs::read(dir.path().join(&manifest.name)).unwrap();
        let mut assembler = Assembler::new(manifest, None).unwrap();
        let mut cuts = cuts.iter().cycle();
        while let Some(needed) = assembler.needs() {
            // Each connection begins a little before the place that is needed, and breaks off after a while.
            let (early, len) = cuts.next().unwrap();
            let start = usize::try_from(needed.start).unwrap();
            let (from, to) = (start.saturating_sub(*early), (start + len + 1).min(file.len()));
            assembler.feed(from as u64, &file[from..to]).unwrap();
        }
        model.assert_same(&assembler.finish().unwrap());
    }
}

#[test]
fn several_blocks_survive_and_are_unpacked_in_order() {
    let model = several_blocks();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    assert!(manifest.blocks.len() > 5, "{} blocks", manifest.blocks.len());
    let file = fs::read(dir.path().join(&manifest.name)).unwrap();
    for size in [777, 65_536, usize::MAX] {
        let image = assemble(&manifest, None, &file, &[size]).unwrap();
        model.assert_same(&image);
        for (namespace, prefix, after) in [
            ("big", "item/", Some("item/00899")),
            ("big", "item/0001", Some("item/00014")),
            ("small.n07", "k", None),
            ("small.n07", "", Some("k3")),
            ("tail", "item/00499", None),
            ("tail", "", Some("zzz")),
        ] {
            model.assert_prefix(&image, namespace, prefix, after);
        }
    }
    let path = dir.path().join(&manifest.name);
    let mut seen = MappedBuilder::default();
    WireImage::open(&path).unwrap().for_each(&mut |n, k, e| seen.push(n, k, e)).unwrap();
    model.assert_same(&seen.finish(&model.head, &model.totals, POSITION, None).unwrap());
}

#[test]
fn the_mapped_form_is_the_same_whichever_way_it_came() {
    for model in [few(), several_blocks()] {
        let (wire, pushed, reread) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
        let manifest = model.write(wire.path());
        let path = wire.path().join(&manifest.name);
        let assembled = WireImage::assemble(&path, manifest, None).unwrap();
        let stored = assembled.persist(wire.path(), Keep::Copied).unwrap();
        model.mapped(None).persist(pushed.path(), Keep::Mapped).unwrap();
        stored.persist(reread.path(), Keep::Mapped).unwrap();
        let name = mapped_name(&model.head, None);
        let bytes = fs::read(wire.path().join(&name)).unwrap();
        assert!(bytes == fs::read(pushed.path().join(&name)).unwrap());
        assert!(bytes == fs::read(reread.path().join(&name)).unwrap());
        open_all(&wire.path().join(&name)).iter().for_each(|image| model.assert_same(image));
    }
}

/// Every way to open a file.
fn open_all(path: &Path) -> [Mapped; 4] {
    let ways = [
        (Trust::Verify, Keep::Mapped),
        (Trust::Verify, Keep::Copied),
        (Trust::JustWritten, Keep::Mapped),
        (Trust::JustWritten, Keep::Copied),
    ];
    ways.map(|(trust, keep)| Mapped::open(path, trust, keep).unwrap())
}

#[test]
fn blocks_do_not_depend_on_where_and_when_they_are_written() {
    let model = several_blocks();
    let shuffled = Model::new(model.entries.clone().into_iter().rev());
    let (a, b) = (tempdir().unwrap(), tempdir().unwrap());
    let (first, second) = (model.write(a.path()), shuffled.write(b.path()));
    let hashes = |dir: &Path, name: &str| -> Vec<Hash> {
        WireImage::open(&dir.join(name)).unwrap().block_hashes().collect()
    };
    assert_eq!(hashes(a.path(), &first.name), hashes(b.path(), &second.name));
    assert_eq!(first.blocks, second.blocks);
}

#[test]
fn an_empty_state_is_an_image_too() {
    let model = Model::new([]);
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    assert!(manifest.blocks.is_empty());
    let path = dir.path().join(&manifest.name);
    let image = WireImage::assemble(&path, manifest, None).unwrap();
    model.assert_same(&image);
    model.assert_same(&image.persist(dir.path(), Keep::Mapped).unwrap());
    assert!(image.is_empty());
    assert_eq!(image.prefix("gone", "", None).count(), 0);
}

#[test]
fn entries_out_of_order_are_refused() {
    let model = few();
    let mut builder = MappedBuilder::default();
    let entry = model.get("global", "a").unwrap();
    builder.push("b", "b", entry).unwrap();
    for (namespace, key) in [("b", "b"), ("b", "a"), ("a", "c")] {
        let error = builder.push(namespace, key, entry).unwrap_err();
        assert!(matches!(error, ImageError::Unsorted { .. }), "{error}");
    }
    builder.push("b", "c", entry).unwrap();
}

#[test]
fn totals_that_count_something_else_are_refused() {
    let model = few();
    let mut other = few();
    other.entries.pop_first();
    let wrong = Model { totals: model.totals.clone(), ..other };
    let dir = tempdir().unwrap();
    let error = wrong.try_write(dir.path()).unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    let mut builder = MappedBuilder::default();
    for ((namespace, key), entry) in &wrong.entries {
        builder.push(namespace.as_str(), key.as_str(), entry.as_ref()).unwrap();
    }
    let error = builder.finish(&wrong.head, &wrong.totals, Position(0), None).unwrap_err();
    assert!(matches!(error, ImageError::Totals { .. }), "{error}");
}

#[test]
fn a_value_changed_without_its_digest_is_found_when_writing() {
    let mut model = few();
    let at = ("global".parse().unwrap(), "limits/requests".parse().unwrap());
    model.entries.get_mut(&at).unwrap().value = bytes::Bytes::from_static(b"101");
    let dir = tempdir().unwrap();
    let error = model.try_write(dir.path()).unwrap_err();
    assert!(matches!(error, ImageError::Totals { .. }), "{error}");
    let built = model.mapped(None);
    assert!(built.verify_digests().is_err());
}

#[test]
fn a_record_larger_than_the_limit_is_refused() {
    let mut model = few();
    let at = ("global".parse().unwrap(), "limits/requests".parse().unwrap());
    let value = vec![0; headwater_image::MAX_RECORD_BYTES];
    model.entries.get_mut(&at).unwrap().value = value.into();
    let dir = tempdir().unwrap();
    let error = model.try_write(dir.path()).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { .. }), "{error}");
}
