//! Images: when they are cut, and what they are worth.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_snapshotter::{Step, Steps};

use crate::chain::{delete, json};
use crate::world::{Plan, World, announced, shelved, temporary};

#[tokio::test]
async fn the_first_image_is_cut_as_soon_as_the_rows_are_live() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world
        .chain
        .commit(
            "ann",
            vec![
                json("b", "k", "1"),
                json("a.x", "k", "1"),
                json("aa", "k", "1"),
                json("a", "k/2", "1"),
            ],
        )
        .await;
    world.chain.commit("bob", vec![delete("b", "k"), json("a", "k", "{}")]).await;
    let running = Plan::at(dir.path()).run(&world.log);
    running.has_image_of(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn even_a_stream_without_commits_has_an_image() {
    let (dir, world) = (temporary(), World::new(1).await);
    let running = Plan::at(dir.path()).run(&world.log);
    assert_eq!(running.has_image_of(&world.chain).await.revision, 0);
    running.stop().await;
}

#[tokio::test]
async fn an_image_is_cut_after_so_many_commits_and_not_before() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let mut plan = Plan::at(dir.path());
    plan.settings.cut_every_commits = 10;
    let running = plan.run(&world.log);
    running.has_image_of(&world.chain).await;
    world.write(9).await;
    running.reaches(&world.chain).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(announced(dir.path()).unwrap().revision, 0);
    world.write(1).await;
    running.has_image_of(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn an_image_is_cut_after_a_time_when_anything_is_new() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let mut plan = Plan::at(dir.path());
    plan.settings.cut_every_seconds = 1;
    let running = plan.run(&world.log);
    running.has_image_of(&world.chain).await;
    let first = fs::metadata(dir.path().join("images/latest.json")).unwrap().modified().unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let later = fs::metadata(dir.path().join("images/latest.json")).unwrap().modified().unwrap();
    assert_eq!(first, later, "nothing was new");
    world.write(1).await;
    running.has_image_of(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn an_image_is_cut_when_one_is_asked_for() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let running = Plan::at(dir.path()).run(&world.log);
    running.has_image_of(&world.chain).await;
    for _ in 0..2 {
        world.write(3).await;
        running.reaches(&world.chain).await;
        running.snapshotter.request_image();
        running.has_image_of(&world.chain).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn an_image_is_proved_against_the_one_before_it_and_passes_over_a_damaged_one() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let running = Plan::at(dir.path()).run(&world.log);
    running.has_image_of(&world.chain).await;
    world.write(20).await;
    running.reaches(&world.chain).await;
    running.snapshotter.request_image();
    let second = running.has_image_of(&world.chain).await;
    // A byte in the middle of the only block.
    let path = dir.path().join("images").join(&second.name);
    let mut bytes = fs::read(&path).unwrap();
    let at = usize::try_from(second.blocks[0].offset + second.blocks[0].bytes / 2).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    world.write(20).await;
    running.reaches(&world.chain).await;
    running.snapshotter.request_image();
    running.has_image_of(&world.chain).await;
    assert_eq!(running.snapshotter.status().alarm, None);
    running.stop().await;
}

#[tokio::test]
async fn an_announced_image_whose_file_is_gone_is_cut_again() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(3).await;
    let running = Plan::at(dir.path()).run(&world.log);
    let manifest = running.has_image_of(&world.chain).await;
    running.stop().await;
    fs::remove_file(dir.path().join("images").join(&manifest.name)).unwrap();
    let running = Plan::at(dir.path()).run(&world.log);
    running.has_image_of(&world.chain).await;
    running.stop().await;
}

#[tokio::test]
async fn a_shelf_of_another_stream_is_left_alone_with_an_alarm() {
    let (dir, world) = (temporary(), World::new(1).await);
    let running = Plan::at(dir.path()).run(&world.log);
    let theirs = running.has_image_of(&world.chain).await;
    running.stop().await;
    let (other_dir, mut other) = (temporary(), World::new(2).await);
    other.write(5).await;
    let mut plan = Plan::at(other_dir.path());
    plan.settings.image_dir = dir.path().join("images");
    let running = plan.run(&other.log);
    running.reaches(&other.chain).await;
    running.snapshotter.request_image();
    running.until("the alarm", |status| status.alarm.is_some()).await;
    assert_eq!(announced(dir.path()).unwrap(), theirs);
    running.stop().await;
}

#[tokio::test]
async fn images_younger_than_an_hour_stay_and_older_ones_go() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let mut plan = Plan::at(dir.path());
    plan.settings.keep = 1;
    let running = plan.run(&world.log);
    let first = running.has_image_of(&world.chain).await;
    world.write(1).await;
    running.reaches(&world.chain).await;
    running.snapshotter.request_image();
    running.has_image_of(&world.chain).await;
    assert_eq!(shelved(dir.path()).len(), 2);
    let old =
        fs::File::options().append(true).open(dir.path().join("images").join(&first.name)).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(3_700)).unwrap();
    world.write(1).await;
    running.reaches(&world.chain).await;
    running.snapshotter.request_image();
    running.has_image_of(&world.chain).await;
    running.stop().await;
    assert!(!shelved(dir.path()).contains(&first.name));
    assert_eq!(shelved(dir.path()).len(), 2);
}

#[tokio::test]
async fn an_image_is_announced_only_after_it_was_proved() {
    let (dir, mut world) = (temporary(), World::new(1).await);
    world.write(3).await;
    let (seen, path) = (Arc::new(Mutex::new(Vec::new())), dir.path().to_path_buf());
    let noted = seen.clone();
    let steps = Steps::new(move |step| {
        if !matches!(step, Step::Write | Step::Written) {
            noted.lock().unwrap().push((step, announced(&path).is_some()));
        }
        Ok(())
    });
    let running = Plan { steps, ..Plan::at(dir.path()) }.run(&world.log);
    running.has_image_of(&world.chain).await;
    running.stop().await;
    let wanted = [
        (Step::Cut, false),
        (Step::Shelved, false),
        (Step::Announce, false),
        (Step::Retain, true),
        (Step::Retained, true),
    ];
    assert_eq!(*seen.lock().unwrap(), wanted);
}
