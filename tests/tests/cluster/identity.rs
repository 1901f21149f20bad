//! Logs and images that are not what a server followed: it changes nothing, serves its last good state, and says why.

use std::time::Duration;

use headwater_tests::broker;
use headwater_tests::field::Field;
use headwater_tests::http::{Ask, ask};
use headwater_tests::process::Headwater;
use headwater_tests::stand::status;
use headwater_tests::topic;

use crate::in_turn;

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a server refuses a write with these words; it may acknowledge none.
async fn refuses(server: &Headwater, words: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let put = Ask::put("/v1/config/never/k", "0");
        let line = headwater_tests::http::Connection::open(server.host()).await;
        if let Ok(mut line) = line
            && let Ok(answer) = line.send(&put).await
        {
            assert!(matches!(answer.status, 503 | 504), "{}", answer.text());
            if answer.status == 503 && answer.text().contains(words) {
                return;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "no {words:?}:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_deleted_past_a_server_are_met_with_an_alarm_and_led_over_by_a_newer_image() {
    in_turn(async |cluster| {
        let mut field = cluster.field(2, 1);
        let before = field.fill(0..30).await;
        field.agreed().await;
        field.publishers[1].terminate(PATIENCE);
        let last = field.fill(30..60).await;
        let end = status(field.publishers[0].host()).await.log.position;
        topic::delete_records(&cluster.bootstrap(), &field.topic(), end).await;
        field.fill(60..70).await;

        field.publishers[1].restart_unready();
        refuses(&field.publishers[1], "deleted").await;
        let told = status(field.publishers[1].host()).await;
        assert_eq!((told.revision, told.phase.as_str()), (before, "read_only"));
        let read = ask(field.publishers[1].host(), &Ask::get("/v1/config/app/k9")).await;
        assert_eq!(read.is(200).text(), "29", "the last good state");

        // An image that is newer than what was deleted, where this server looks for one.
        let images = image_of(&field, last).await;
        let to = field.data("publisher", 1).join("images");
        std::fs::create_dir_all(&to).expect("a folder");
        for file in [images.0.as_str(), "latest.json"] {
            std::fs::copy(field.data("snapshotter", 0).join("images").join(file), to.join(file))
                .expect("a copy");
        }
        field.publishers[1].wait_until_ready(PATIENCE);
        field.writable().await;
        let agreed = field.agreed().await;
        assert!(agreed[0].revision >= images.1);
    })
    .await;
}

/// The name and the revision of an image of `revision` or later.
async fn image_of(field: &Field, revision: u64) -> (String, u64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    loop {
        let answer = ask(field.snapshotters[0].host(), &Ask::get("/v1/images/latest")).await;
        let manifest: serde_json::Value = answer.json();
        let at = manifest["revision"].as_u64().filter(|at| *at >= revision);
        if let (Some(at), Some(name)) = (at, manifest["name"].as_str()) {
            return (name.to_owned(), at);
        }
        assert!(tokio::time::Instant::now() < deadline, "no image: {manifest}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_cluster_in_the_settings_is_met_with_an_alarm_and_nothing_is_made_there() {
    in_turn(async |cluster| {
        let mut field = cluster.field(1, 0);
        let last = field.fill(0..30).await;
        field.publishers[0].terminate(PATIENCE);
        let (data, other) = (field.data("publisher", 0).display().to_string(), broker::shared());
        // Another cluster that has no such stream …
        let args = ["publisher", "--data", &data, "--kafka", other, "--stream", &field.stream];
        let mut lost = Headwater::start_unready(&args, &[]);
        refuses(&lost, "does not exist").await;
        let read = Ask::get(format!("/v1/config/app/k9?min_revision={last}&timeout=30s"));
        assert_eq!(ask(lost.host(), &read).await.is(200).text(), "29", "reads go on");
        refuses(&lost, "does not exist").await;
        lost.kill9();
        assert!(!topic::exists(other, &field.topic()), "it made a topic on the wrong cluster");
        // … and one that has another stream of this name.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let dir = elsewhere.path().display().to_string();
        let args = ["publisher", "--data", &dir, "--kafka", other, "--stream", &field.stream];
        let theirs = Headwater::start(&args);
        let args = ["publisher", "--data", &data, "--kafka", other, "--stream", &field.stream];
        let lost = Headwater::start_unready(&args, &[]);
        refuses(&lost, "another log").await;
        assert_eq!(ask(lost.host(), &read).await.is(200).text(), "29", "reads go on");
        assert_eq!(status(theirs.host()).await.revision, 0, "nothing reached the other stream");
        // Back on its own, all is well.
        field.publishers[0].restart();
        field.writable().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_another_stream_is_no_state_to_write_from() {
    in_turn(async |cluster| {
        let (mut field, other) = (cluster.field(1, 0), cluster.field(1, 1));
        field.fill(0..20).await;
        let (name, _) = image_of(&other, other.fill(0..40).await).await;
        field.publishers[0].terminate(PATIENCE);
        let data = field.data("publisher", 0);
        std::fs::remove_dir_all(&data).expect("its data can go");
        std::fs::create_dir_all(data.join("images")).expect("a folder");
        for file in [name.as_str(), "latest.json"] {
            let from = other.data("snapshotter", 0).join("images").join(file);
            std::fs::copy(from, data.join("images").join(file)).expect("a copy");
        }
        field.publishers[0].restart_unready();
        refuses(&field.publishers[0], "another log").await;
        let told = status(field.publishers[0].host()).await;
        assert_eq!(told.phase, "read_only");
    })
    .await;
}
