//! Images where readers get them: a real S3 server, a web server in front, directories; snapshotters that share them,
//! services and servers that start from them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use headwater::{Client, Source};
use headwater_image::{Manifest, WireImage};
use headwater_image_store::{Announced, Store, StoreError};
use headwater_schemas::{Digest, Hash, Position, StreamId};
use headwater_tests::http::{Ask, ask};
use headwater_tests::process::Headwater;
use headwater_tests::s3::S3;
use headwater_tests::stand::{bounded, status};
use headwater_tests::web::Web;
use headwater_tests::{broker, topic};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A manifest that nobody's image has: enough for an announcement.
fn manifest(revision: u64) -> Manifest {
    let hash = Hash::of(&revision.to_le_bytes());
    Manifest {
        name: format!("{revision}-{hash}.hwi"),
        stream_id: StreamId([1; 16]),
        revision,
        hash,
        digest: Digest::default(),
        entries: 0,
        bytes: 9,
        blake3: hash,
        created_at_ms: 1,
        log_position: Position(revision),
        blocks: Vec::new(),
        succession: None,
    }
}

async fn latest(store: &Store) -> Option<Manifest> {
    store.latest().await.unwrap_or_else(|error| panic!("{error}")).map(|latest| latest.manifest)
}

/// Twenty writers announce twenty revisions at once, each its own.
async fn race(store: &Store) {
    let racers = (1..=20).map(|revision| {
        let store = store.clone();
        tokio::spawn(async move { store.announce(&manifest(revision)).await })
    });
    let mut now = 0;
    for racer in racers.collect::<Vec<_>>() {
        match racer.await.unwrap().unwrap() {
            Announced::Now => now += 1,
            Announced::Already { revision } => assert!(revision > 1),
        }
    }
    assert!(now >= 1);
    assert_eq!(latest(store).await.unwrap(), manifest(20));
    // Late losers change nothing.
    let late = store.announce(&manifest(7)).await.unwrap();
    assert_eq!(late, Announced::Already { revision: 20 });
    let mut other = manifest(20);
    other.digest = Digest([1; 32]);
    let refused = store.announce(&other).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    assert_eq!(latest(store).await.unwrap(), manifest(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_racers_in_a_bucket_end_at_the_greatest_revision() {
    let s3 = S3::start();
    for round in 0..3 {
        bounded(race(&s3.store(&format!("race{round}")))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_racers_in_a_directory_end_at_the_greatest_revision() {
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        bounded(race(&Store::folder(dir.path()))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bucket_cannot_do_is_told_and_nothing_is_taken_for_empty() {
    let claim = async {
        let mut s3 = S3::start();
        let there = s3.store("here");
        assert!(there.latest().await.unwrap().is_none());
        // Another bucket, wrong keys, nobody there.
        let absent = Store::open("s3://absent/here", &s3.settings()).unwrap();
        absent.latest().await.expect_err("there is no such bucket");
        let mut settings = s3.settings();
        settings.credentials = Some(("somebody".into(), "else".into()));
        let foreign = Store::open(&s3.url("here"), &settings).unwrap();
        foreign.latest().await.expect_err("these keys open nothing");
        std::fs::create_dir_all(s3.dir("broken")).unwrap();
        std::fs::write(s3.dir("broken").join("latest.json"), "{").unwrap();
        let broken = s3.store("broken");
        let error = broken.announce(&manifest(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        s3.kill9();
        let error = there.latest().await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        s3.restart();
        assert!(there.latest().await.unwrap().is_none());
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bucket_only_old_images_behind_the_announced_one_go() {
    let claim = async {
        let s3 = S3::start();
        let store = s3.store("old");
        assert_eq!(store.announce(&manifest(20)).await.unwrap(), Announced::Now);
        let put = |name: &str, hours: u64| {
            let file = std::fs::File::create(s3.dir("old").join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3_600)).unwrap();
        };
        let name = |revision: u64| manifest(revision).name;
        for (name, hours) in [(name(1), 2), (name(2), 0), (name(20), 9), (name(30), 9)] {
            put(&name, hours);
        }
        put("notes.txt", 9);
        assert_eq!(store.retain(1, SystemTime::now()).await.unwrap(), 1);
        let stays = |name: &str| s3.dir("old").join(name).exists();
        assert!(!stays(&name(1)), "it is old and behind");
        assert!([name(2), name(20), name(30)].iter().all(|name| stays(name)));
        assert!(stays("notes.txt") && stays("latest.json"));
    };
    bounded(claim).await;
}

/// A publisher, and snapshotters that share one place in a bucket.
struct Shared {
    s3: S3,
    stream: String,
    publisher: Headwater,
    data: Vec<TempDir>,
}

impl Shared {
    fn start() -> Self {
        let (s3, stream) = (S3::start(), topic::fresh_name("images"));
        let data = tempfile::tempdir().unwrap();
        let publisher = start("publisher", data.path(), &stream, None);
        Self { s3, stream, publisher, data: vec![data] }
    }

    /// A process on the same stream, with a disk of its own and `prefix` in the bucket.
    fn process(&mut self, role: &str, prefix: &str) -> Headwater {
        let data = tempfile::tempdir().unwrap();
        let process = start(role, data.path(), &self.stream, Some((&self.s3, prefix)));
        self.data.push(data);
        process
    }

    /// Writes values that do not compress, each of so many bytes, and gives the last revision.
    async fn write(&self, values: u64, bytes: usize) -> u64 {
        let mut rng = StdRng::seed_from_u64(values);
        let mut revision = 0;
        for key in 0..values {
            let value: String =
                (0..bytes).map(|_| char::from(rng.random_range(b'!'..=b'~'))).collect();
            let put = Ask::put(format!("/v1/config/app/k{key}"), value)
                .header("content-type", "text/plain");
            let answer = ask(self.publisher.host(), &put).await;
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
            revision = answer.revision();
        }
        revision
    }

    /// Waits until a place announces `revision`, and sees only greater ones on the way.
    async fn announces(&self, store: &Store, revision: u64) -> Manifest {
        let (mut seen, deadline) = (0, tokio::time::Instant::now() + PATIENCE);
        loop {
            if let Ok(Some(latest)) = store.latest().await {
                let manifest = latest.manifest;
                assert!(manifest.revision >= seen, "it went back from {seen}");
                seen = manifest.revision;
                if seen == revision {
                    return manifest;
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "{revision} is not announced: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A service over the publisher, which has no images itself.
    fn service(&self) -> headwater::Builder {
        let builder = Client::builder().relay(self.publisher.url()).namespaces(["app"]);
        builder.s3(self.s3.settings()).startup_timeout(PATIENCE)
    }
}

fn start(role: &str, data: &Path, stream: &str, images: Option<(&S3, &str)>) -> Headwater {
    let data = data.display().to_string();
    let mut args = vec![role, "--data", &data, "--kafka", broker::shared(), "--stream", stream];
    let url = images.map(|(s3, prefix)| s3.url(prefix)).unwrap_or_default();
    if images.is_some() {
        args.extend(["--image-store", &url]);
    }
    let mut environment = images.map(|(s3, _)| s3.environment()).unwrap_or_default();
    environment.push(("HEADWATER_SNAPSHOTTER__CUT_EVERY_SECONDS", "1".to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, it)| (*name, it.as_str())).collect();
    let mut process = Headwater::start_unready(&args, &environment);
    process.wait_until_ready(PATIENCE);
    process
}

/// The value of a metric of a process.
async fn metric(process: &Headwater, name: &str) -> Option<f64> {
    let text = ask(process.host(), &Ask::get("/metrics")).await.is(200).text();
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn until_metric(process: &Headwater, name: &str, wanted: f64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while metric(process, name).await != Some(wanted) {
        assert!(tokio::time::Instant::now() < deadline, "{name}:\n{}", process.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads an image of a bucket's directory and holds it against its manifest.
fn whole(dir: &Path, manifest: &Manifest) {
    let path = dir.join(&manifest.name);
    assert_eq!(Hash::of(&std::fs::read(&path).unwrap()), manifest.blake3);
    let image = WireImage::open(&path).unwrap();
    image.verify().unwrap();
    assert_eq!(image.totals().digest(), manifest.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_snapshotters_share_a_bucket_that_may_go_and_come_back() {
    let claim = async {
        let mut shared = Shared::start();
        let (one, two) = (shared.process("snapshotter", "a"), shared.process("snapshotter", "a"));
        let store = shared.s3.store("a");
        for _ in 0..3 {
            let revision = shared.write(5, 500).await;
            let manifest = shared.announces(&store, revision).await;
            assert_eq!(manifest.digest, status(shared.publisher.host()).await.digest);
            whole(&shared.s3.dir("a"), &manifest);
            for each in [&one, &two] {
                until_metric(each, "headwater_snapshotter_shared_revision", revision as f64).await;
            }
        }
        // With the server gone, images are cut, and nobody stops.
        shared.s3.kill9();
        let revision = shared.write(3, 500).await;
        for each in [&one, &two] {
            until_metric(each, "headwater_snapshotter_image_revision", revision as f64).await;
        }
        shared.s3.restart();
        let manifest = shared.announces(&store, revision).await;
        whole(&shared.s3.dir("a"), &manifest);
        for each in [&one, &two] {
            assert_eq!(metric(each, "headwater_snapshotter_alarm").await.unwrap_or(0.0), 0.0);
        }
        a_forged_one_is_found_out(&mut shared, &manifest).await;
        a_publisher_without_a_disk_starts_from_it(&mut shared, &manifest).await;
    };
    bounded(claim).await;
}

async fn a_forged_one_is_found_out(shared: &mut Shared, truth: &Manifest) {
    let store = shared.s3.store("forged");
    let forged = Manifest { digest: Digest([6; 32]), ..truth.clone() };
    assert_eq!(store.announce(&forged).await.unwrap(), Announced::Now);
    let snapshotter = shared.process("snapshotter", "forged");
    until_metric(&snapshotter, "headwater_snapshotter_alarm", 1.0).await;
    assert_eq!(latest(&store).await.unwrap(), forged);
    assert!(!shared.s3.dir("forged").join(&truth.name).exists(), "nothing was put");
}

async fn a_publisher_without_a_disk_starts_from_it(shared: &mut Shared, image: &Manifest) {
    let publisher = shared.process("publisher", "a");
    let took = format!("revision={}", image.revision);
    let log = publisher.log();
    assert!(
        log.lines().any(|line| line.contains("took an image") && line.contains(&took)),
        "{log}"
    );
    let put = Ask::put("/v1/config/app/new", "1");
    ask(publisher.host(), &put).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_start_from_a_bucket_or_what_stands_in_front_of_it_whatever_happens_on_the_way() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let claim = async {
        let mut shared = Shared::start();
        let _snapshotter = shared.process("snapshotter", "a");
        let revision = shared.write(15, 200_000).await;
        let manifest = shared.announces(&shared.s3.store("a"), revision).await;
        assert!(manifest.bytes > 2_000_000, "{}", manifest.bytes);
        let dir = shared.s3.dir("a");

        let service = shared.service().image_url(shared.s3.url("a"));
        started(service, revision, &[]).await;

        let web = Web::start(&dir).await;
        started(shared.service().image_url(web.url()), revision, &[]).await;
        assert_eq!(web.broken(), 0);

        let breaking = Web::breaking(&dir, 2_000_000, seed).await;
        started(shared.service().image_url(breaking.url()), revision, &[]).await;
        assert!(breaking.broken() > 0 && breaking.resumed() > 0, "{breaking:?}");

        // Near and bad, far and good.
        let damaged = tempfile::tempdir().unwrap();
        std::fs::copy(dir.join("latest.json"), damaged.path().join("latest.json")).unwrap();
        let mut bytes = std::fs::read(dir.join(&manifest.name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(damaged.path().join(&manifest.name), bytes).unwrap();
        let bad = Web::start(damaged.path()).await;
        let service = shared.service().image_url(bad.url()).image_url(shared.s3.url("a"));
        started(service, revision, &[&bad.url(), "damaged"]).await;

        let gone = "http://127.0.0.1:1/images";
        let service = shared.service().image_url(gone).image_url(web.url());
        started(service, revision, &[gone, "cannot be reached"]).await;

        let (other, data) = another_stream(revision + 20).await;
        let service = shared.service().image_url(&other).image_url(shared.s3.url("a"));
        started(service, revision, &[&other, "not of the chain"]).await;
        drop(data);
    };
    bounded(claim).await;
}

/// A directory with an image of another stream, of this revision.
async fn another_stream(revision: u64) -> (String, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let url = format!("file://{}", data.path().join("shared").display());
    let path = data.path().join("data").display().to_string();
    let often = [("HEADWATER_SNAPSHOTTER__CUT_EVERY_SECONDS", "1")];
    let args = ["serve", "--data", &path, "--image-store", &url];
    let mut server = Headwater::start_unready(&args, &often);
    server.wait_until_ready(PATIENCE);
    for _ in 0..revision {
        let put = ask(server.host(), &Ask::put("/v1/config/app/k", "1")).await;
        assert!(matches!(put.status, 200 | 201), "{}", put.text());
    }
    let store = Store::folder(data.path().join("shared"));
    let deadline = tokio::time::Instant::now() + PATIENCE * 2;
    while latest(&store).await.is_none_or(|latest| latest.revision < revision) {
        assert!(tokio::time::Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (url, data)
}

/// Starts a service: it must hold the state of an image, follow, and say what it passed over.
async fn started(service: headwater::Builder, revision: u64, told: &[&str]) {
    let started = std::time::Instant::now();
    let service = service.connect().await.unwrap_or_else(|error| panic!("{told:?}: {error}"));
    println!("{told:?} after {:?}", started.elapsed());
    let status = service.status();
    assert_eq!((status.source, status.alarm), (Source::Image, None));
    assert!(status.revision >= revision, "{}", status.revision);
    let error = status.last_error.unwrap_or_default();
    assert!(told.iter().all(|part| error.contains(part)), "{told:?} in {error:?}");
    assert!(!told.is_empty() || error.is_empty(), "{error}");
    assert!(status.entries >= 15, "{}", status.entries);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_log_that_was_lost_no_stream_is_founded_while_an_image_is_announced() {
    let claim = async {
        let data = tempfile::tempdir().unwrap();
        let url = format!("file://{}", data.path().join("shared").display());
        let flags = ["--image-store", url.as_str()];
        let first = data.path().join("first");
        let server = Headwater::serve(&first, &flags);
        ask(server.host(), &Ask::put("/v1/config/app/k", "1")).await.is(201);
        let store = Store::folder(data.path().join("shared"));
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while latest(&store).await.is_none() {
            assert!(tokio::time::Instant::now() < deadline, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(server);
        let second = data.path().join("second").display().to_string();
        let args = ["serve", "--data", &second, "--image-store", &url];
        let server = Headwater::start_unready(&args, &[]);
        while !server.log().contains("no stream is founded") {
            assert!(tokio::time::Instant::now() < deadline, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ready = ask(server.host(), &Ask::get("/readyz")).await;
        assert_eq!(ready.status, 503, "{}", ready.text());
        let put = ask(server.host(), &Ask::put("/v1/config/app/k", "2")).await;
        assert_eq!(put.status, 503, "{}", put.text());
    };
    bounded(claim).await;
}
