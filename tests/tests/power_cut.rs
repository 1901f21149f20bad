//! The disk of a machine that lost power in the middle of writes holds every write that was acknowledged.
//!
//! The process is stopped (SIGSTOP), its data directory copied, and the copy opened by another process: an image of
//! one moment, such as a snapshot of the disk would be.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_tests::http::{Ask, Connection};
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, Stand, bounded, chain};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const CUTS: usize = 6;
const CLIENTS: usize = 8;

/// What was acknowledged: revision → hash.
type Acknowledged = Arc<Mutex<HashMap<u64, String>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_at_any_moment_holds_every_write_acknowledged_before() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    bounded(async {
        let mut stand = Stand::start(Log::Embedded);
        let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
        let next = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let line = stand.server.host().to_owned();
                tokio::spawn(write(line, client, next.clone(), acknowledged.clone(), stop.clone()))
            })
            .collect();
        let mut copies = Vec::new();
        for cut in 0..CUTS {
            tokio::time::sleep(Duration::from_micros(rng.random_range(0..400_000))).await;
            stand.server.pause();
            let promised = acknowledged.lock().unwrap().clone();
            let copy = tempfile::tempdir().unwrap();
            // Sometimes only the log survives: everything else can be made again.
            let only_the_log = cut % 2 == 1;
            copy_of(stand.data(), copy.path(), only_the_log);
            stand.server.resume();
            copies.push((copy, promised));
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
        assert!(!acknowledged.lock().unwrap().is_empty(), "nothing was written");
        for (copy, promised) in copies {
            assert_holds(copy.path(), stand.stream(), &promised).await;
        }
    })
    .await;
}

async fn write(
    host: String,
    client: usize,
    next: Arc<AtomicU64>,
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
) {
    let mut line = Connection::open(&host).await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let ask =
            Ask::put(format!("/v1/config/app/c{client}/k{}", number % 50), number.to_string());
        let answer = line.send(&ask).await.unwrap();
        let receipt: serde_json::Value = answer.json();
        let hash = receipt["hash"].as_str().unwrap().to_owned();
        acknowledged.lock().unwrap().insert(answer.revision(), hash);
    }
}

fn copy_of(from: &Path, to: &Path, only_the_log: bool) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if !only_the_log || entry.file_name() == "log" {
                std::fs::create_dir(&target).unwrap();
                copy_of(&entry.path(), &target, false);
            }
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn assert_holds(data: &Path, stream: &str, promised: &HashMap<u64, String>) {
    let server = Headwater::serve(data, &["--stream", stream]);
    let commits = chain(server.host()).await;
    for (revision, hash) in promised {
        let commit = usize::try_from(revision - 1).ok().and_then(|index| commits.get(index));
        let found = commit.map(|commit| commit.hash.to_string());
        assert_eq!(found.as_ref(), Some(hash), "revision {revision} of {}", commits.len());
    }
    let ask = Ask::put("/v1/config/app/after", "1");
    headwater_tests::http::ask(server.host(), &ask).await.is(201);
}
