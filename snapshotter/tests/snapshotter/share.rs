//! Where several snapshotters share their images.

use std::fs;

use headwater_image::{Manifest, WireImage};
use headwater_image_store::Store;
use headwater_replica::AlarmKind;
use headwater_schemas::{Digest, Hash};

use crate::world::{Plan, Running, World, announced, shared, temporary};

fn sharing(dir: &std::path::Path, place: &std::path::Path, world: &World) -> Running {
    Plan { images: Some(Store::folder(place)), ..Plan::at(dir) }.run(&world.log)
}

#[tokio::test]
async fn two_that_share_a_place_announce_each_state_once() {
    let (dirs, place, mut world) = ([temporary(), temporary()], temporary(), World::new(1).await);
    let running = dirs.each_ref().map(|dir| sharing(dir.path(), place.path(), &world));
    for _ in 0..3 {
        world.write(5).await;
        for one in &running {
            one.reaches(&world.chain).await;
            one.snapshotter.request_image();
        }
        for one in &running {
            one.has_image_of(&world.chain).await;
            one.has_shared(&world.chain).await;
            assert_eq!(one.snapshotter.status().alarm, None);
        }
        let there = shared(place.path()).unwrap();
        let image = WireImage::open(&place.path().join(&there.name)).unwrap();
        assert_eq!(image.head(), world.chain.state.head());
        let cut = dirs.each_ref().map(|dir| announced(dir.path()).unwrap().blocks);
        assert!(cut.iter().all(|blocks| *blocks == there.blocks));
    }
    for one in running {
        one.stop().await;
    }
}

/// Cuts an image of the world, and announces in a place what `forge` makes of its manifest.
async fn forged(
    world: &World,
    place: &std::path::Path,
    forge: impl FnOnce(&mut Manifest),
) -> Manifest {
    let dir = temporary();
    let running = Plan::at(dir.path()).run(&world.log);
    let mut manifest = running.has_image_of(&world.chain).await;
    running.stop().await;
    forge(&mut manifest);
    manifest.write_as(place, "latest.json").unwrap();
    manifest
}

async fn alarms(world: &World, place: &std::path::Path, theirs: &Manifest) -> AlarmKind {
    let dir = temporary();
    let running = sharing(dir.path(), place, world);
    let status = running.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!(status.shared_revision, None);
    running.stop().await;
    assert_eq!(&shared(place).unwrap(), theirs, "nothing else is announced");
    let images = fs::read_dir(place).unwrap().filter(|file| {
        file.as_ref().is_ok_and(|file| file.file_name().to_string_lossy().ends_with(".hwi"))
    });
    assert_eq!(images.count(), 0, "nothing is put");
    status.alarm.unwrap().kind
}

#[tokio::test]
async fn another_state_at_the_same_revision_is_a_divergence_and_not_replaced() {
    let (place, mut world) = (temporary(), World::new(1).await);
    world.write(5).await;
    let theirs = forged(&world, place.path(), |it| it.digest = Digest([9; 32])).await;
    assert_eq!(alarms(&world, place.path(), &theirs).await, AlarmKind::Divergence);
}

#[tokio::test]
async fn other_blocks_of_the_same_state_are_a_divergence() {
    let (place, mut world) = (temporary(), World::new(1).await);
    world.write(5).await;
    let theirs = forged(&world, place.path(), |it| it.blocks[0].blake3 = Hash([9; 32])).await;
    assert_eq!(alarms(&world, place.path(), &theirs).await, AlarmKind::Divergence);
}

#[tokio::test]
async fn an_image_of_a_fork_is_found_out_at_an_older_revision_too() {
    let (place, mut world) = (temporary(), World::new(1).await);
    world.write(5).await;
    let theirs = forged(&world, place.path(), |it| {
        it.hash = Hash([9; 32]);
        it.name = format!("{}-{}.hwi", it.revision, it.hash);
    })
    .await;
    world.write(5).await;
    assert_eq!(alarms(&world, place.path(), &theirs).await, AlarmKind::WrongSource);
}

#[tokio::test]
async fn a_place_of_another_stream_is_left_alone_with_an_alarm() {
    let (place, world, mut other) = (temporary(), World::new(1).await, World::new(2).await);
    let theirs = forged(&world, place.path(), |_| {}).await;
    other.write(3).await;
    assert_eq!(alarms(&other, place.path(), &theirs).await, AlarmKind::WrongSource);
}

#[tokio::test]
async fn a_place_that_is_not_there_delays_and_is_told_and_images_are_cut_meanwhile() {
    let (dir, root, mut world) = (temporary(), temporary(), World::new(1).await);
    let place = root.path().join("place");
    // A file stands where the directory should be.
    fs::write(&place, "x").unwrap();
    let running = sharing(dir.path(), &place, &world);
    world.write(3).await;
    running.reaches(&world.chain).await;
    running.snapshotter.request_image();
    running.has_image_of(&world.chain).await;
    let told = running.until("the reason", |status| status.last_error.is_some()).await;
    assert!(told.last_error.as_ref().unwrap().contains("not shared yet"), "{told:?}");
    assert_eq!((told.alarm, told.shared_revision), (None, None));
    fs::remove_file(&place).unwrap();
    running.has_shared(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_image_under_the_same_name_is_replaced_before_it_is_announced() {
    let (dir, place, mut world) = (temporary(), temporary(), World::new(1).await);
    world.write(5).await;
    let running = Plan::at(dir.path()).run(&world.log);
    let manifest = running.has_image_of(&world.chain).await;
    running.stop().await;
    let mut bytes = fs::read(dir.path().join("images").join(&manifest.name)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place.path().join(&manifest.name), bytes).unwrap();
    let running = sharing(dir.path(), place.path(), &world);
    running.has_shared(&world.chain).await;
    running.stop().await;
    WireImage::open(&place.path().join(&manifest.name)).unwrap().verify().unwrap();
}
