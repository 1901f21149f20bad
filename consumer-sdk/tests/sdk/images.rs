//! Images alone are a source: no relay, no log.

use headwater::testing::until;
use headwater::{AlarmKind, Client, ConnectError, Handle, Phase, Source};
use tempfile::TempDir;

use crate::stream::{SOON, Stream, soon};

async fn of_dir(dir: &TempDir) -> Client {
    let builder = Client::builder().image_dir(dir.path()).namespaces(["app"]);
    soon(builder.startup_timeout(SOON).connect()).await.unwrap()
}

#[tokio::test]
async fn a_client_of_a_directory_starts_from_its_image_and_takes_newer_ones_as_a_difference() {
    let (dir, stream) = (tempfile::tempdir().unwrap(), Stream::found().await);
    stream.put("app", "n", "1").await;
    stream.put("app", "gone", "1").await;
    stream.cut(dir.path());
    let hw = of_dir(&dir).await;
    let (n, gone) = (hw.bind("n").default(0u32).build(), hw.bind("gone").default(0u32).build());
    assert_eq!((*n.load(), *gone.load(), hw.status().source), (1, 1, Source::Image));
    assert!(!hw.status().stale);
    stream.put("app", "n", "2").await;
    let revision = stream.delete("app", "gone").await;
    stream.cut(dir.path());
    soon(hw.wait_for(revision)).await.unwrap();
    assert_eq!((*n.load(), *gone.load(), gone.is_deleted()), (2, 0, true));
    assert_eq!(hw.status().digest, of_dir(&dir).await.status().digest);
}

#[tokio::test]
async fn image_url_alone_is_a_source_too_and_waits_for_the_first_image() {
    let (dir, stream) = (tempfile::tempdir().unwrap(), Stream::found().await);
    stream.put("app", "n", "1").await;
    let builder = Client::builder()
        .image_url(format!("file://{}", dir.path().display()))
        .namespaces(["app"])
        .startup_timeout(SOON);
    let starting = tokio::spawn(builder.connect());
    tokio::task::yield_now().await;
    stream.cut(dir.path());
    let hw = soon(starting).await.unwrap().unwrap();
    assert_eq!(hw.get::<u32>("n").unwrap(), Some(1));
}

#[tokio::test]
async fn without_an_image_the_start_fails_and_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Client::builder().image_dir(dir.path()).namespaces(["app"]);
    let refused = builder.startup_timeout(std::time::Duration::from_millis(200)).connect().await;
    let Err(ConnectError::NoState { reasons, .. }) = refused else { panic!("{refused:?}") };
    let place = dir.path().display().to_string();
    assert!(reasons.iter().any(|it| it.contains(&place) && it.contains("no image")), "{reasons:?}");
}

#[tokio::test]
async fn a_place_that_is_gone_or_damaged_makes_it_stale_and_the_next_good_image_mends_it() {
    let (dir, stream) = (tempfile::tempdir().unwrap(), Stream::found().await);
    stream.put("app", "n", "1").await;
    stream.cut(dir.path());
    let hw = of_dir(&dir).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    std::fs::write(dir.path().join("latest.json"), "{").unwrap();
    let status = soon(until(&hw, |status| status.stale)).await;
    assert!(status.last_error.is_some());
    assert_eq!(*n.load(), 1);
    let revision = stream.put("app", "n", "2").await;
    stream.cut(dir.path());
    soon(hw.wait_for(revision)).await.unwrap();
    soon(until(&hw, |status| !status.stale)).await;
    assert_eq!(*n.load(), 2);
}

#[tokio::test]
async fn an_older_image_changes_nothing_and_one_of_another_stream_alarms() {
    let (dir, stream) = (tempfile::tempdir().unwrap(), Stream::found().await);
    stream.put("app", "n", "1").await;
    stream.cut(dir.path());
    let old = std::fs::read(dir.path().join("latest.json")).unwrap();
    stream.put("app", "n", "2").await;
    stream.cut(dir.path());
    let hw = of_dir(&dir).await;
    std::fs::write(dir.path().join("latest.json"), old).unwrap();
    let other = Stream::founded_as(8).await;
    for n in 0..5 {
        other.put("app", "n", &n.to_string()).await;
    }
    other.cut(dir.path());
    let status = soon(until(&hw, |status| status.alarm.is_some())).await;
    let kind = status.alarm.map(|alarm| alarm.kind);
    assert_eq!((kind, status.phase), (Some(AlarmKind::WrongSource), Phase::ReadOnly));
    assert_eq!(hw.get::<u32>("n").unwrap(), Some(2));
    stream.cut(dir.path());
    soon(until(&hw, |status| !status.stale && status.alarm.is_none())).await;
}

#[tokio::test]
async fn images_and_files_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let both = Client::builder().files(dir.path()).image_dir(dir.path()).connect().await;
    assert!(matches!(both, Err(ConnectError::Settings(_))), "{both:?}");
}
