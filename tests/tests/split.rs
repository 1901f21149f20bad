//! Split mode: publisher and snapshotter as processes of their own over one Kafka stream, and services that move from
//! one to the other.

use std::time::Duration;

use headwater::Handle;
use headwater_tests::http::{Answer, Ask, ask};
use headwater_tests::process::Headwater;
use headwater_tests::stand::{bounded, chain, status};
use headwater_tests::{broker, load, topic};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A publisher and a snapshotter of one stream.
struct Split {
    publisher: Headwater,
    snapshotter: Headwater,
    stream: String,
    data: [TempDir; 2],
}

impl Split {
    fn start() -> Self {
        let (stream, kafka) = (topic::fresh_name("split"), broker::shared());
        let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let start = |role: &str, data: &TempDir| {
            let data = data.path().display().to_string();
            Headwater::start(&[role, "--data", &data, "--kafka", kafka, "--stream", &stream])
        };
        let publisher = start("publisher", &data[0]);
        let snapshotter = start("snapshotter", &data[1]);
        Self { publisher, snapshotter, stream, data }
    }

    async fn put(&self, key: &str, value: u64) -> u64 {
        let put = Ask::put(format!("/v1/config/app/{key}"), value.to_string());
        let answer = ask(self.publisher.host(), &put).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        answer.revision()
    }

    async fn of_snapshotter(&self, target: &str) -> Answer {
        ask(self.snapshotter.host(), &Ask::get(target)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_publisher_acknowledges_the_snapshotter_serves_with_its_whole_history_and_an_image()
 {
    let claim = async {
        let split = Split::start();
        load::acknowledged(split.publisher.host(), 16, 2_000, |number| {
            Ask::put(format!("/v1/config/app/k{}", number % 90), number.to_string())
        })
        .await;
        let revision = split.put("last", 7).await;
        let read = format!("/v1/config/app/last?min_revision={revision}&timeout=20s");
        assert_eq!(split.of_snapshotter(&read).await.is(200).text(), "7");
        let (one, two) =
            (status(split.publisher.host()).await, status(split.snapshotter.host()).await);
        assert_eq!((one.role.as_str(), two.role.as_str()), ("publisher", "snapshotter"));
        assert_eq!((one.stream_id, one.hash, one.digest), (two.stream_id, two.hash, two.digest));
        assert_eq!(chain(split.snapshotter.host()).await.len() as u64, revision);
        image_of(&split).await;
    };
    bounded(claim).await;
}

/// The snapshotter announces an image of the chain.
async fn image_of(split: &Split) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let manifest: Value = loop {
        let answer = split.of_snapshotter("/v1/images/latest").await;
        if answer.status == 200 {
            break answer.json();
        }
        assert!(tokio::time::Instant::now() < deadline, "no image was cut");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let name = manifest["name"].as_str().unwrap();
    let image = split.of_snapshotter(&format!("/v1/images/{name}")).await.is(200);
    assert_eq!(headwater_schemas::Hash::of(&image.body).to_string(), manifest["blake3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_with_a_history_url_serves_every_read_of_what_it_never_saw() {
    let claim = async {
        let split = Split::start();
        for value in 1..=3 {
            split.put("k", value).await;
        }
        let gone = ask(split.publisher.host(), &Ask::delete("/v1/config/app/k")).await.is(200);
        let data = tempfile::tempdir().unwrap();
        let url = split.snapshotter.url();
        let mut later = Headwater::start(&[
            "publisher",
            "--data",
            &data.path().display().to_string(),
            "--kafka",
            broker::shared(),
            "--stream",
            &split.stream,
            "--history-url",
            &url,
        ]);
        // It begins again with its last state and no commit before it.
        assert_eq!(later.terminate(PATIENCE), 0);
        later.restart();
        let revision = split.put("other", 1).await;
        let get = async |target: &str| ask(later.host(), &Ask::get(target)).await;
        let read = format!("/v1/config/app/other?min_revision={revision}&timeout=20s");
        assert_eq!(get(&read).await.is(200).text(), "1");
        assert_eq!(get("/v1/config/app/k?at=2").await.is(200).text(), "2");
        let versions: Value = get("/v1/history/app/k").await.is(200).json();
        assert_eq!(versions["versions"].as_array().unwrap().len(), 4);
        let list: Value = get("/v1/config/app?at=3").await.is(200).json();
        assert_eq!((&list["revision"], &list["entries"][0]["value"]), (&3.into(), &3.into()));
        let diff: Value = get("/v1/diff/app?from=1&to=4").await.is(200).json();
        assert_eq!(diff["changes"][0]["kind"], "removed");
        assert_eq!(chain(later.host()).await.len() as u64, revision);
        let polled =
            Ask::get("/v1/watch?after=0&values=both&wait=5s").header("Accept", "application/json");
        let polled: Value = ask(later.host(), &polled).await.is(200).json();
        assert_eq!(polled["commits"].as_array().unwrap().len() as u64, revision);
        assert_eq!(polled["commits"][1]["changes"][0]["old"]["value"], 1);
        let record = get("/v1/commits/1").await.is(200);
        assert_eq!(record.json::<Value>()["changes"][0]["value"], 1);
        // What it cannot know by itself: that the key was deleted after revision 3.
        let based = |revision: u64| {
            let change = serde_json::json!({"namespace": "app", "key": "k", "put": {"value": 9}});
            let body = serde_json::json!({"changes": [change], "base_revision": revision});
            Ask::post("/v1/commits", &body)
        };
        ask(later.host(), &based(3)).await.is_problem(409, "conflict");
        let _ = ask(later.host(), &based(gone.revision())).await.is(200);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_moves_to_another_relay_when_its_own_is_killed_and_never_goes_back() {
    let claim = async {
        let mut split = Split::start();
        split.put("limit", 1).await;
        let service = headwater::Client::builder()
            .relay(split.snapshotter.url())
            .relay(split.publisher.url())
            .namespaces(["app"])
            .startup_timeout(PATIENCE)
            .connect()
            .await
            .unwrap();
        let limit: Handle<u64> = service.handle("limit").unwrap();
        let mut newest = service.view().revision();
        for round in 2..6 {
            // Only the relay is killed: writing goes on.
            split.snapshotter.kill9();
            let revision = split.put("limit", round).await;
            let arrived = tokio::time::timeout(PATIENCE, service.wait_for(revision));
            arrived.await.expect("it moved to the other relay").unwrap();
            assert_eq!(*limit.load(), round);
            assert!(service.view().revision() >= newest, "it went back");
            newest = service.view().revision();
            split.snapshotter.restart();
        }
        service.close().await;
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_goes_back_to_before_its_own_memory_by_the_history_of_a_snapshotter() {
    let claim = async {
        let mut split = Split::start();
        split.put("a", 1).await;
        let good = split.put("b", 1).await;
        split.put("a", 2).await;
        let head = split.put("b", 2).await;
        let read = format!("/v1/config/app/b?min_revision={head}&timeout=20s");
        split.of_snapshotter(&read).await.is(200);
        // From its cache it knows the state, and nothing of how that came about.
        split.publisher.terminate(PATIENCE);
        let body = serde_json::json!({ "namespace": "app", "to_revision": good, "reason": "r" });
        let rollback = Ask::post("/v1/rollback", &body);
        split.publisher.restart();
        let refused = ask(split.publisher.host(), &rollback).await;
        let problem = refused.is_problem(410, "revision_compacted");
        assert_eq!(problem["oldest_revision"], head);
        assert!(problem["detail"].as_str().unwrap().contains("--history-url"), "{problem}");
        split.publisher.terminate(PATIENCE);
        let data = split.data[0].path().display().to_string();
        let url = split.snapshotter.url();
        let (stream, kafka) = (split.stream.clone(), broker::shared());
        let publisher = ["publisher", "--data", &data, "--kafka", kafka, "--stream", &stream];
        let publisher = Headwater::start(&[&publisher[..], &["--history-url", &url]].concat());
        let answer = ask(publisher.host(), &rollback).await.is(200);
        assert_eq!(answer.revision(), head + 1);
        let back = Ask::get("/v1/config/app/a");
        assert_eq!(ask(publisher.host(), &back).await.is(200).text(), "1");
    };
    bounded(claim).await;
}

/// What the two have in common, of the key `k` and its past.
const READS: [&str; 15] = [
    "/v1/config/app/k",
    "/v1/config/app/k?at=1",
    "/v1/config/app",
    "/v1/config/app?at=1",
    "/v1/namespaces",
    "/v1/history/app/k",
    "/v1/diff/app?from=1",
    "/v1/commits",
    "/v1/commits?order=desc&actor=anonymous",
    "/v1/commits/1",
    "/v1/status",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
];

/// What cannot be told without what came before: by revision, by time, by a cursor, and to who follows.
const PAST: [&str; 9] = [
    "/v1/config/app/k?at=2",
    "/v1/config/app?at=1",
    "/v1/history/app/k",
    "/v1/diff/app?from=1",
    "/v1/commits",
    "/v1/commits/1",
    "/v1/watch?after=1",
    "/v1/stream?after=1",
    "/v1/config/app/k?at=1970-01-02T00:00:00Z",
];

#[tokio::test(flavor = "multi_thread")]
async fn both_roles_serve_every_read_and_follow_call_and_only_a_publisher_writes() {
    let claim = async {
        let split = Split::start();
        split.put("k", 1).await;
        let revision = split.put("k", 2).await;
        let read = format!("/v1/config/app/k?min_revision={revision}&timeout=20s");
        split.of_snapshotter(&read).await.is(200);
        for host in [split.publisher.host(), split.snapshotter.host()] {
            for target in READS {
                ask(host, &Ask::get(target)).await.is(200);
                ask(host, &Ask::new("HEAD", target)).await.is(200);
            }
            let poll = Ask::get("/v1/watch?after=0&wait=1s").header("Accept", "application/json");
            let polled: Value = ask(host, &poll).await.is(200).json();
            assert_eq!(polled["commits"].as_array().unwrap().len(), 2);
            for follow in ["/v1/watch?after=1", "/v1/stream?after=1"] {
                ask(host, &Ask::new("HEAD", follow)).await.is(200);
            }
        }
        let linearizable = Ask::get("/v1/config/app/k?consistency=linearizable");
        assert_eq!(ask(split.publisher.host(), &linearizable).await.is(200).text(), "2");
        let refused = ask(split.snapshotter.host(), &linearizable).await;
        refused.is_problem(503, "log_unavailable");
        assert!(!refused.header("retry-after").is_empty());
        image_of(&split).await;
        let none = ask(split.publisher.host(), &Ask::get("/v1/images/latest")).await;
        none.is_problem(404, "not_found");
        let empty = serde_json::json!({});
        for write in [
            Ask::put("/v1/config/app/k", "3"),
            Ask::delete("/v1/config/app/k"),
            Ask::post("/v1/commits", &empty),
        ] {
            let refused = ask(split.snapshotter.host(), &write).await;
            refused.is_problem(405, "method_not_allowed");
            assert_eq!(refused.header("allow"), "GET,HEAD");
        }
        let rollback = ask(split.snapshotter.host(), &Ask::post("/v1/rollback", &empty)).await;
        rollback.is_problem(404, "not_found");
        assert_eq!(status(split.publisher.host()).await.revision, revision);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_keeps_no_history_says_410_with_the_oldest_revision_of_all_it_no_longer_has()
 {
    let claim = async {
        let mut split = Split::start();
        split.put("j", 1).await;
        for value in 1..4 {
            split.put("k", value).await;
        }
        let page = ask(split.publisher.host(), &Ask::get("/v1/config/app?limit=1")).await;
        let cursor = page.is(200).json::<Value>()["next"].as_str().unwrap().to_owned();
        let head = split.put("k", 4).await;
        let read = format!("/v1/config/app/k?min_revision={head}&timeout=20s");
        split.of_snapshotter(&read).await.is(200);
        // It begins again with its last state and no commit before it.
        assert_eq!(split.publisher.terminate(PATIENCE), 0);
        split.publisher.restart();
        let of_cursor = format!("/v1/config/app?limit=1&cursor={cursor}");
        for target in PAST.iter().copied().chain([&*of_cursor]) {
            let gone = ask(split.publisher.host(), &Ask::get(target)).await;
            println!("{target}");
            let problem = gone.is_problem(410, "revision_compacted");
            assert_eq!(problem["oldest_revision"], head, "{problem}");
            assert!(!gone.header("headwater-revision").is_empty());
        }
        let poll = Ask::get("/v1/watch?after=1&wait=1s").header("Accept", "application/json");
        ask(split.publisher.host(), &poll).await.is_problem(410, "revision_compacted");
        // The state itself is there, and so is what comes.
        let now =
            ask(split.publisher.host(), &Ask::get(format!("/v1/config/app/k?at={head}"))).await;
        assert_eq!(now.is(200).text(), "4");
        // A snapshotter's cursors and past are as they were; only its stream begins where its memory does.
        for target in
            PAST.iter().filter(|target| !target.contains("1970") && !target.contains("after"))
        {
            split.of_snapshotter(target).await.is(200);
        }
        let rest = split.of_snapshotter(&of_cursor).await.is(200).json::<Value>();
        assert_eq!((&rest["revision"], &rest["entries"][0]["value"]), (&4.into(), &3.into()));
        let before = split.of_snapshotter("/v1/config/app/k?at=1970-01-02T00:00:00Z").await;
        before.is_problem(404, "key_not_found");
    };
    bounded(claim).await;
}
