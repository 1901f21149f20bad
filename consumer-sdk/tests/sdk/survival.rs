//! What a service lives through: whatever happens to its cache, its log or its neighbours, it reads the last good state
//! and says what is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use headwater::testing::until;
use headwater::{AlarmKind, Client, ConnectError, Handle, Phase, Source};
use headwater_log::MemoryLog;
use headwater_schemas::Position;
use tempfile::TempDir;

use crate::stream::{SOON, Stream, put, soon};

const BRIEFLY: Duration = Duration::from_millis(300);
/// Nobody listens there.
const DOWN: &str = "http://127.0.0.1:1";
/// What a test tells the process of its own that it starts.
const CHILD: &str = "HEADWATER_TEST_CHILD";

/// The stream's state at its newest revision, left in a cache of its own.
async fn cached(stream: &Stream) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let hw = stream.builder().namespaces(["app"]).cache_dir(dir.path()).connect().await.unwrap();
    soon(hw.close()).await;
    assert!(!maps(dir.path()).is_empty());
    dir
}

/// The files of states in a cache.
fn maps(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "hwm")).collect()
}

/// A client that has nothing but the cache.
async fn from_cache(dir: &Path) -> Client {
    let down = Client::builder().relay(DOWN).namespaces(["app"]).cache_dir(dir).allow_empty();
    let hw = down.startup_timeout(Duration::ZERO).connect().await.unwrap();
    soon(until(&hw, |status| status.source == Source::Cache)).await;
    hw
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn empty(path: &Path) {
    fs::write(path, "").unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Not even root reads a folder as a file.
fn make_unreadable(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

/// What happens to a file.
type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 4] = [
    ("truncated", truncate),
    ("empty", empty),
    ("a flipped bit", flip),
    ("unreadable", make_unreadable),
];

#[tokio::test]
async fn a_damaged_cache_leads_down_the_ladder_and_the_status_says_why() {
    for (damage, harm) in DAMAGES {
        let stream = Stream::found().await;
        stream.put("app", "n", "1").await;
        let dir = cached(&stream).await;
        let files = maps(dir.path());
        files.iter().for_each(|path| harm(path));
        let name = files[0].file_name().unwrap().to_str().unwrap();

        let down = Client::builder().relay(DOWN).namespaces(["app"]).cache_dir(dir.path());
        let refused = down.startup_timeout(BRIEFLY).connect().await;
        let Err(ConnectError::NoState { reasons, .. }) = refused else { panic!("{refused:?}") };
        assert!(reasons.iter().any(|it| it.contains(name)), "{damage}: {reasons:?}");

        let builder = stream.builder().namespaces(["app"]).cache_dir(dir.path());
        let hw = soon(builder.connect()).await.unwrap();
        let status = hw.status();
        assert_eq!((hw.get("n").unwrap(), status.source), (Some(1), Source::Log), "{damage}");
        let error = status.cache_error.unwrap();
        assert!(error.contains(name), "{damage}: {error}");
        soon(hw.close()).await;
    }
}

#[tokio::test]
async fn a_cache_of_another_stream_is_served_read_only_with_an_alarm() {
    let (ours, theirs) = (Stream::found().await, Stream::founded_as(8).await);
    ours.put("app", "n", "1").await;
    for n in 5..9 {
        theirs.put("app", "n", &n.to_string()).await;
    }
    let dir = cached(&ours).await;
    let builder = theirs.builder().namespaces(["app"]).cache_dir(dir.path());
    let hw = soon(builder.startup_timeout(BRIEFLY).connect()).await.unwrap();
    let status = soon(until(&hw, |status| status.alarm.is_some())).await;
    assert_eq!(status.alarm.map(|alarm| alarm.kind), Some(AlarmKind::NotOnThisLog));
    assert_eq!((hw.get("n").unwrap(), status.phase), (Some(1), Phase::ReadOnly));
}

#[tokio::test]
async fn a_cache_older_than_the_log_is_served_with_an_alarm_until_an_image_leads_over_the_gap() {
    let (stream, images) = (Stream::found().await, tempfile::tempdir().unwrap());
    stream.put("app", "n", "1").await;
    let dir = cached(&stream).await;
    stream.put("app", "n", "2").await;
    let revision = stream.put("app", "n", "3").await;
    stream.log.trim(Position(stream.log.end().0 - 1));
    let builder = stream
        .builder()
        .namespaces(["app"])
        .cache_dir(dir.path())
        .image_dir(images.path())
        .startup_timeout(BRIEFLY);
    let hw = soon(builder.connect()).await.unwrap();
    let status = soon(until(&hw, |status| status.alarm.is_some())).await;
    assert_eq!(hw.get("n").unwrap(), Some(1));
    assert!(status.alarm.unwrap().detail.contains("what came before was deleted"));
    stream.cut(images.path());
    soon(hw.wait_for(revision)).await.unwrap();
    let status = soon(until(&hw, |status| !status.stale)).await;
    assert_eq!((hw.get("n").unwrap(), status.alarm), (Some(3), None));
}

#[tokio::test]
async fn where_nothing_can_be_written_the_state_stays_in_memory_and_the_status_says_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for dir in [file.path().join("cache"), PathBuf::from("/proc/headwater")] {
        let stream = Stream::found().await;
        let builder = stream.builder().namespaces(["app"]).cache_dir(&dir);
        let hw = soon(builder.connect()).await.unwrap();
        let revision = stream.put("app", "n", "1").await;
        soon(hw.wait_for(revision)).await.unwrap();
        let status = soon(until(&hw, |status| status.cache_error.is_some())).await;
        assert!(status.cache_error.unwrap().contains(dir.to_str().unwrap()));
        assert_eq!((hw.get("n").unwrap(), status.stale), (Some(1), false));
        soon(hw.close()).await;
    }
}

/// Starts one test of this file in a process of its own, under a shell's preparation.
fn child(test: &str, prepare: &str, with: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{prepare} exec \"$@\""), "sh"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("survival::{test}"), "--nocapture"]);
    command.env(CHILD, with);
    command
}

fn told() -> Option<String> {
    std::env::var(CHILD).ok()
}

#[tokio::test]
async fn on_a_full_disk_the_state_stays_in_memory_the_status_says_why_and_no_half_file_stays() {
    let Some(dir) = told() else {
        let dir = tempfile::tempdir().unwrap();
        let name =
            "on_a_full_disk_the_state_stays_in_memory_the_status_says_why_and_no_half_file_stays";
        // Files end at a few KiB: a write beyond fails as on a full disk.
        let mut child = child(name, "trap '' XFSZ; ulimit -f 16;", dir.path().to_str().unwrap());
        let status = child.stdout(Stdio::null()).status().unwrap();
        assert!(status.success());
        return;
    };
    let dir = PathBuf::from(dir);
    let stream = Stream::found().await;
    let hw = stream.builder().namespaces(["app"]).cache_dir(&dir).connect().await.unwrap();
    let text = format!("{:?}", "x".repeat(100_000));
    let revision = stream.put("app", "big", &text).await;
    soon(hw.wait_for(revision)).await.unwrap();
    let status = soon(until(&hw, |status| status.cache_error.is_some())).await;
    assert!(status.cache_error.unwrap().contains("File too large"));
    assert_eq!(hw.get::<String>("big").unwrap().unwrap().len(), 100_000);
    soon(hw.close()).await;
    let large = |path: &PathBuf| fs::metadata(path).unwrap().len() >= 8 * 1024;
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!left.iter().any(large), "{left:?}");
}

#[tokio::test]
async fn clients_that_share_a_cache_never_corrupt_it() {
    let (stream, dir) = (Stream::found().await, tempfile::tempdir().unwrap());
    stream.put("app", "n", "0").await;
    for round in 1..=10u32 {
        let builder = stream.builder().namespaces(["app"]).cache_dir(dir.path());
        let clients = [builder.clone().connect().await.unwrap(), builder.connect().await.unwrap()];
        let revision = stream.put("app", "n", &round.to_string()).await;
        for hw in &clients {
            soon(hw.wait_for(revision)).await.unwrap();
            assert_eq!(hw.status().cache_error, None);
        }
        let [one, two] = clients;
        soon(async { tokio::join!(one.close(), two.close()) }).await;
        let hw = from_cache(dir.path()).await;
        assert_eq!((hw.get("n").unwrap(), hw.status().cache_error), (Some(round), None));
    }
}

/// What a process holds of a mapped state, from the kernel's own account.
#[derive(Debug)]
struct Held {
    inode: u64,
    size_kib: u64,
    dirty_kib: u64,
}

fn held() -> Held {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| !line.contains(".hwm"));
    let header = lines.next().expect("the cached state is mapped");
    let inode = header.split_whitespace().nth(4).unwrap().parse().unwrap();
    let mut kib = |name: &str| {
        let line = lines.find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Held { inode, size_kib: kib("Size:"), dirty_kib: kib("Private_Dirty:") }
}

/// Memory of this process that no other shares, in KiB.
fn private_kib() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn processes_that_share_a_cache_map_the_same_file_and_hold_almost_nothing_of_their_own() {
    const KEYS: u64 = 60_000;
    let Some(dir) = told() else {
        let stream = Stream::found().await;
        let value = format!("{:?}", "v".repeat(200));
        for part in 0..KEYS / 5_000 {
            let keys = (part * 5_000..(part + 1) * 5_000).map(|key| format!("k{key}"));
            stream.commit(keys.map(|key| put("app", &key, &value))).await;
        }
        let dir = cached(&stream).await;
        let name =
            "processes_that_share_a_cache_map_the_same_file_and_hold_almost_nothing_of_their_own";
        let start = || {
            let mut child = child(name, "", dir.path().to_str().unwrap());
            child.stdout(Stdio::piped()).spawn().unwrap()
        };
        let outputs = [start(), start()].map(|child| child.wait_with_output().unwrap());
        let inodes = outputs.map(|output| {
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().find_map(|line| line.split("inode ").nth(1)?.parse::<u64>().ok()).unwrap()
        });
        assert_eq!(inodes[0], inodes[1]);
        return;
    };
    let before = private_kib();
    let hw = from_cache(Path::new(&dir)).await;
    assert_eq!(hw.view().prefix("").count() as u64, KEYS);
    let (after, held) = (private_kib(), held());
    assert!(held.size_kib > KEYS * 200 / 1024 && held.dirty_kib == 0, "{held:?}");
    // The client's thread and what it needs to connect; the state itself is a dozen times as large.
    assert!(after < before + 2 * 1024, "{before} KiB before, {after} KiB after: {held:?}");
    println!("\ninode {}", held.inode);
}

#[tokio::test]
async fn a_flood_that_nobody_takes_from_the_backlog_is_bounded_in_memory() {
    if told().is_none() {
        let name = "a_flood_that_nobody_takes_from_the_backlog_is_bounded_in_memory";
        assert!(child(name, "", "yes").stdout(Stdio::null()).status().unwrap().success());
        return;
    }
    let stream = Stream::found().await;
    let hw = stream.client(&["app"]).await;
    // Slow readers of every kind: commits that are never taken, a subscription that never waits, a handle.
    let _commits = hw.commits();
    let n = hw.bind("k0").default(String::new()).build();
    let _changes = n.subscribe();
    let value = format!("{:?}", "x".repeat(100_000));
    let before = private_kib();
    for round in 0..4_000u32 {
        let revision = stream.put("app", &format!("k{}", round % 20), &value).await;
        if round % 20 == 0 {
            soon(hw.wait_for(revision)).await.unwrap();
            stream.log.trim(Position(stream.log.end().0 - 1));
        }
    }
    // 400 MB went by; 2 MB of it are the state, and the backlog holds 8 MiB.
    let after = private_kib();
    assert!(after < before + 96 * 1024, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn when_the_last_that_reads_is_gone_the_clients_thread_ends() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    let log = Arc::new(stream.log.clone());
    let builder = Client::builder().log(log.clone()).namespaces(["app"]).startup_timeout(SOON);
    let hw = builder.connect().await.unwrap();
    let n: Handle<u32> = hw.handle("n").unwrap();
    let (reader, subscription, commits) = (n.reader(), n.subscribe(), hw.commits());
    drop((hw, n));
    tokio::time::sleep(Duration::from_millis(50)).await;
    // The thread holds the log for as long as it runs.
    assert!(Arc::strong_count(&log) > 1);
    drop((reader, subscription));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(Arc::strong_count(&log) > 1, "one who follows commits is enough");
    drop(commits);
    let ended = async {
        while Arc::strong_count(&log) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(ended).await;
}

/// A log that was cut back by some records and written on by somebody else.
async fn forked(stream: &Stream, log: &MemoryLog) {
    log.truncate(Position(stream.log.end().0 - 1));
    let other = Stream::found().await;
    for value in ["1", "9", "10"] {
        other.put("app", "n", value).await;
    }
    // Of the same stream: its second revision is another one than ours.
    for record in other.log.records().into_iter().skip(2) {
        use headwater_log::{Log, LogWriter};
        let writer: Arc<dyn LogWriter> = log.writer().unwrap();
        writer.append(vec![record.bytes]).await;
    }
}

#[tokio::test]
async fn a_fork_of_the_log_stops_a_client_on_its_last_good_state_with_an_alarm() {
    let stream = Stream::found().await;
    stream.put("app", "n", "1").await;
    stream.put("app", "n", "2").await;
    let hw = stream.client(&["app"]).await;
    let n: Handle<u32> = hw.handle("n").unwrap();
    forked(&stream, &stream.log).await;
    let wanted = |status: &headwater::Status| status.alarm.is_some();
    let status = tokio::time::timeout(2 * SOON, until(&hw, wanted)).await.unwrap();
    assert_eq!(status.alarm.map(|alarm| alarm.kind), Some(AlarmKind::NotOnThisLog));
    assert_eq!((*n.load(), status.revision, status.phase), (2, 2, Phase::ReadOnly));
}
