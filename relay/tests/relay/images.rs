//! `GET /v1/images/…`.

use std::path::Path;
use std::sync::atomic::Ordering;

use headwater_image::{ImageError, Manifest, WireImage};
use headwater_replica::Settings;
use headwater_schemas::{Head, Position};

use crate::chain::{Chain, json};
use crate::wire::call;
use crate::world::World;

/// Cuts an image of the chain's state and announces it.
pub(crate) fn cut(chain: &Chain, dir: &Path) -> Manifest {
    cut_at(chain.state.head(), chain, dir)
}

/// The same of a state that claims to be another head's.
pub(crate) fn cut_at(head: &Head, chain: &Chain, dir: &Path) -> Manifest {
    let state = &chain.state;
    let manifest = WireImage::write(dir, head, state.totals(), Position(1), 1_000, |visit| {
        state.iter().try_for_each(|(namespace, key, entry)| {
            visit(namespace.as_str(), key.as_str(), entry.as_ref())?;
            Ok::<_, ImageError>(())
        })
    })
    .unwrap();
    std::fs::write(dir.join("latest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    manifest
}

async fn with_image(dir: &Path) -> (World, Manifest, Vec<u8>) {
    let shelf = dir.to_path_buf();
    let mut world = World::with(Settings::default(), |relay| relay.image_dir = Some(shelf)).await;
    world.each((0..50).map(|n| json("n", &format!("k{n}"), &format!("{n}")))).await;
    let manifest = cut(&world.chain, dir);
    let bytes = std::fs::read(dir.join(&manifest.name)).unwrap();
    (world, manifest, bytes)
}

#[tokio::test]
async fn before_the_first_image_there_is_none_and_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = dir.path().to_path_buf();
    for shelf in [None, Some(shelf)] {
        let world = World::with(Settings::default(), |relay| relay.image_dir = shelf).await;
        assert_eq!(world.get("/v1/images/latest").await.problem(), (404, "not_found".into()));
        assert_eq!(world.wanted.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn the_manifest_of_the_announced_image_has_a_tag_and_is_checked_again_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, manifest, _) = with_image(dir.path()).await;
    let answer = world.get("/v1/images/latest").await;
    assert_eq!(Manifest::parse(&answer.body).unwrap(), manifest);
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.header("headwater-revision"), Some("50"));
    let tag = answer.header("etag").unwrap().to_owned();
    let same = world.get_with("/v1/images/latest", &[("if-none-match", &tag)]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    world.commit("ann", vec![json("n", "k", "1")]).await;
    cut(&world.chain, dir.path());
    let newer = world.get_with("/v1/images/latest", &[("if-none-match", &tag)]).await;
    assert_eq!((newer.status, newer.json()["revision"].as_u64()), (200, Some(51)));
}

#[tokio::test]
async fn an_image_is_served_whole_and_may_be_cached_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (world, manifest, bytes) = with_image(dir.path()).await;
    let path = format!("/v1/images/{}", manifest.name);
    let answer = world.get(&path).await;
    assert!(answer.status == 200 && answer.body == bytes);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("headwater-revision"), Some("50"));
    let head = world.head(&path).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(bytes.len().to_string().as_str()));
    let tag = answer.header("etag").unwrap();
    assert_eq!(world.get_with(&path, &[("if-none-match", tag)]).await.status, 304);
}

#[tokio::test]
async fn a_range_is_served_alone_and_one_outside_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (world, manifest, bytes) = with_image(dir.path()).await;
    let (path, size) = (format!("/v1/images/{}", manifest.name), bytes.len());
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=-7", size - 7, size),
        ("bytes=5-", 5, size),
    ] {
        let answer = world.get_with(&path, &[("range", range)]).await;
        assert!(answer.status == 206 && answer.body == bytes[from..to], "{range}");
        let wanted = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!(answer.header("content-range"), Some(wanted.as_str()));
    }
    let outside = world.get_with(&path, &[("range", &format!("bytes={size}-"))]).await;
    assert_eq!(outside.problem(), (416, "range_not_satisfiable".into()));
    assert_eq!(outside.header("content-range"), Some(format!("bytes */{size}").as_str()));
}

#[tokio::test]
async fn if_range_holds_only_for_the_very_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (world, manifest, _) = with_image(dir.path()).await;
    let path = format!("/v1/images/{}", manifest.name);
    let tag = world.head(&path).await.header("etag").unwrap().to_owned();
    let status = async |condition: &str| {
        world.get_with(&path, &[("range", "bytes=0-0"), ("if-range", condition)]).await.status
    };
    assert_eq!(status(&tag).await, 206);
    assert_eq!(status("\"other\"").await, 200);
    assert_eq!(status(&format!("W/{tag}")).await, 200);
    assert_eq!(status("Sun, 22 Nov 2026 08:15:32 GMT").await, 200);
}

#[tokio::test]
async fn only_images_are_served_from_the_shelf() {
    let dir = tempfile::tempdir().unwrap();
    let (world, manifest, _) = with_image(dir.path()).await;
    std::fs::write(dir.path().join("secret"), "x").unwrap();
    for name in [
        "secret",
        "latest.json",
        "..%2Fsecret",
        "%2e%2e/secret",
        "7-00.hwi",
        &manifest.name.replace("50-", "51-"),
    ] {
        let answer = call(world.address, "GET", &format!("/v1/images/{name}"), &[]).await;
        assert_eq!(answer.status, 404, "{name}");
    }
}

#[tokio::test]
async fn images_of_another_stream_are_not_announced() {
    let dir = tempfile::tempdir().unwrap();
    let (world, manifest, _) = with_image(dir.path()).await;
    let other = Manifest { stream_id: headwater_schemas::StreamId([8; 16]), ..manifest };
    std::fs::write(dir.path().join("latest.json"), serde_json::to_vec(&other).unwrap()).unwrap();
    assert_eq!(world.get("/v1/images/latest").await.problem(), (404, "not_found".into()));
}
