//! Killed at any step, it goes on from its own position.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use headwater_image_store::Store;
use headwater_snapshotter::{Step, Steps};

use crate::history::wanted;
use crate::world::{Plan, World, announced, check_image, copy, shared, temporary};

/// Copies of the directories at every step: what a kill -9 at that step leaves behind.
async fn copies() -> (tempfile::TempDir, World, Vec<(Step, PathBuf)>) {
    let (dir, mut world) = (temporary(), World::new(1).await);
    let taken: Arc<Mutex<Vec<(Step, PathBuf)>>> = Arc::default();
    let (noted, root) = (taken.clone(), dir.path().to_path_buf());
    let steps = Steps::new(move |step| {
        let mut noted = noted.lock().unwrap();
        if noted.len() < 40 {
            let target = root.join(format!("copy{}", noted.len()));
            for part in ["store", "images", "shared"] {
                copy(&root.join("live").join(part), &target.join(part));
            }
            noted.push((step, target));
        }
        Ok(())
    });
    let live = dir.path().join("live");
    std::fs::create_dir_all(live.join("shared")).unwrap();
    let images = Some(Store::folder(live.join("shared")));
    let running = Plan { steps, images, ..Plan::at(&live) }.run(&world.log);
    running.has_image_of(&world.chain).await;
    running.has_shared(&world.chain).await;
    for _ in 0..5 {
        world.write(7).await;
        running.reaches(&world.chain).await;
    }
    running.snapshotter.request_image();
    running.has_image_of(&world.chain).await;
    running.has_shared(&world.chain).await;
    running.stop().await;
    let taken = taken.lock().unwrap().clone();
    (dir, world, taken)
}

#[tokio::test]
async fn killed_at_any_step_it_goes_on_and_announces_only_what_is_sound() {
    let (_dir, mut world, copies) = copies().await;
    for step in [
        Step::Write,
        Step::Written,
        Step::Cut,
        Step::Shelved,
        Step::Announce,
        Step::Retain,
        Step::Retained,
        Step::Put,
        Step::Share,
        Step::RetainShared,
        Step::Shared,
    ] {
        assert!(copies.iter().any(|(taken, _)| *taken == step), "{step:?} was never taken");
    }
    world.write(2).await;
    for (step, dir) in copies {
        let before = announced(&dir);
        if let Some(manifest) = &before {
            headwater_image::WireImage::open(&dir.join("images").join(&manifest.name)).unwrap();
        }
        let place = dir.join("shared");
        let before_there = shared(&place);
        if let Some(manifest) = &before_there {
            let image = headwater_image::WireImage::open(&place.join(&manifest.name)).unwrap();
            image.verify().unwrap();
        }
        let images = Some(Store::folder(&place));
        let running = Plan { images, ..Plan::at(&dir) }.run(&world.log);
        let status = running.reaches(&world.chain).await;
        assert_eq!(status.alarm, None, "{step:?}");
        running.snapshotter.request_image();
        let manifest = running.has_image_of(&world.chain).await;
        assert!(before.is_none_or(|before| before.revision <= manifest.revision), "{step:?}");
        check_image(&dir, &manifest, &world.chain.state);
        running.has_shared(&world.chain).await;
        let there = shared(&place).unwrap();
        assert_eq!(there.blocks, manifest.blocks, "{step:?}");
        assert!(before_there.is_none_or(|before| before.revision <= there.revision), "{step:?}");
        let history = running.snapshotter.history();
        let head = world.chain.state.head().revision;
        let page = history.commits(wanted(0, head, "", 1_000, 1 << 20)).await.unwrap();
        assert_eq!(page.commits.len() as u64, head, "{step:?}");
        running.stop().await;
    }
}
