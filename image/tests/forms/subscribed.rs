//! A reader of some namespaces fetches little, and holds exactly those.

use std::fs;

use headwater_image::{Assembler, Keep, Mapped, Subscription, Trust, WireImage, mapped_name};
use headwater_schemas::Namespace;
use proptest::prelude::*;
use tempfile::tempdir;

use crate::model::{any_model, assemble, few, several_blocks};

fn subscription(names: &[&str]) -> Subscription {
    Subscription::new(names.iter().map(|name| name.parse().unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_part_held_is_the_part_of_the_model(
        model in any_model(),
        names in prop::collection::vec("[a-c](\\.[a-c])?", 0..4),
        size in prop_oneof![1usize..500, 1usize..1_000_000],
    ) {
        let names: Vec<Namespace> = names.iter().map(|name| name.parse().unwrap()).collect();
        let subscription = Subscription::new(names);
        let dir = tempdir().unwrap();
        let manifest = model.write(dir.path());
        let file = fs::read(dir.path().join(&manifest.name)).unwrap();
        let image = assemble(&manifest, Some(subscription.clone()), &file, &[size]).unwrap();
        model.part(&subscription).assert_same(&image);
        prop_assert_eq!(image.subscription(), Some(&subscription));
    }
}

#[test]
fn only_the_blocks_that_hold_something_of_it_are_fetched() {
    let model = several_blocks();
    let dir = tempdir().unwrap();
    let manifest = model.write(dir.path());
    let file = fs::read(dir.path().join(&manifest.name)).unwrap();
    for (names, most) in
        [(vec!["tail"], 2_500_000), (vec!["small.n03"], 300_000), (vec![], 100_000)]
    {
        let subscription = subscription(&names);
        let mut assembler = Assembler::new(manifest.clone(), Some(subscription.clone())).unwrap();
        let mut fetched = 0;
        while let Some(needed) = assembler.needs() {
            fetched += needed.end - needed.start;
            let range =
                usize::try_from(needed.start).unwrap()..usize::try_from(needed.end).unwrap();
            assembler.feed(needed.start, &file[range]).unwrap();
        }
        assert!(fetched < most, "{names:?} took {fetched} of {} bytes", file.len());
        model.part(&subscription).assert_same(&assembler.finish().unwrap());
    }
}

#[test]
fn files_of_different_subscriptions_have_different_names_and_know_theirs() {
    let model = few();
    let dir = tempdir().unwrap();
    let (one, two) = (subscription(&["global"]), subscription(&["global", "payments.prod"]));
    for part in [Some(&one), Some(&two), None] {
        let model = part.map_or(model.clone(), |part| model.part(part));
        model.mapped(part.cloned()).persist(dir.path(), Keep::Mapped).unwrap();
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    for part in [Some(&one), Some(&two), None] {
        let path = dir.path().join(mapped_name(&model.head, part));
        let image = Mapped::open(&path, Trust::Verify, Keep::Mapped).unwrap();
        assert_eq!(image.subscription(), part);
        part.map_or(model.clone(), |part| model.part(part)).assert_same(&image);
    }
    let backwards = subscription(&["payments.prod", "global", "global"]);
    assert_eq!(mapped_name(&model.head, Some(&backwards)), mapped_name(&model.head, Some(&two)));
}

#[test]
fn a_part_assembled_and_a_part_pushed_are_the_same_bytes() {
    let model = several_blocks();
    let part = subscription(&["small.n03", "tail"]);
    let (a, b) = (tempdir().unwrap(), tempdir().unwrap());
    let manifest = model.write(a.path());
    let path = a.path().join(&manifest.name);
    let assembled = WireImage::assemble(&path, manifest, Some(part.clone())).unwrap();
    assembled.persist(a.path(), Keep::Mapped).unwrap();
    model.part(&part).mapped(Some(part.clone())).persist(b.path(), Keep::Mapped).unwrap();
    let name = mapped_name(&model.head, Some(&part));
    assert!(fs::read(a.path().join(&name)).unwrap() == fs::read(b.path().join(&name)).unwrap());
}
