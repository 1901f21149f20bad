//! kill -9, a torn tail, a disk that fails.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Closed, append, open, read_all};

/// Cargo builds examples beside the tests.
fn appender() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let path = path.join("appender");
    assert!(path.exists(), "{} is missing: cargo build --release --examples", path.display());
    path
}

fn lines(child: &mut Child) -> impl Iterator<Item = (String, u64)> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| {
        let (how, number) = line.split_once(' ')?;
        Some((how.to_owned(), number.parse().ok()?))
    })
}

/// The log's records are their own positions, from 0 without a gap; how many there are.
async fn count_verified(dir: &Path) -> u64 {
    let log = open(dir).unwrap();
    let records = read_all(&log).await;
    for (number, record) in records.iter().enumerate() {
        let text = std::str::from_utf8(&record.bytes).unwrap();
        assert_eq!(text.trim().parse(), Ok(number), "at {:?}", record.position);
    }
    log.close().await;
    records.len() as u64
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let mut child = Command::new(appender())
            .args([dir.path().to_str().unwrap(), "300"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = lines(&mut child);
        let mut acknowledged = 0;
        for (how, number) in lines.by_ref().take(700 + 300 * round) {
            assert_eq!(how, "in-log");
            acknowledged = number + 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still printed before it died counts too.
        acknowledged = lines.last().map_or(acknowledged, |(_, number)| number + 1);
        let kept = count_verified(dir.path()).await;
        assert!(kept >= acknowledged, "round {round}: {kept} of {acknowledged} are left");
    }
}

#[tokio::test]
async fn a_log_whose_making_was_cut_off_anywhere_is_made_anew() {
    let whole = tempfile::tempdir().unwrap();
    open(whole.path()).unwrap().close().await;
    let files: Vec<_> =
        std::fs::read_dir(whole.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(files.iter().any(|name| name == "CURRENT"), "{files:?}");
    assert!(files.iter().all(|name| name != "headwater.making"), "it is made");
    // Any of the files may be missing yet.
    for missing in &files {
        let dir = tempfile::tempdir().unwrap();
        for name in files.iter().filter(|name| *name != missing) {
            std::fs::copy(whole.path().join(name), dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("headwater.making"), "").unwrap();
        let log = open(dir.path()).unwrap_or_else(|error| panic!("without {missing:?}: {error}"));
        append(&log, vec!["first".into()]).await;
        log.close().await;
        let log = open(dir.path()).unwrap();
        assert_eq!(read_all(&log).await.len(), 1, "without {missing:?}");
        log.close().await;
    }
}

#[tokio::test]
async fn a_disk_that_fails_is_ambiguous_then_refused_and_still_read() {
    let dir = tempfile::tempdir().unwrap();
    // No file may grow beyond about a megabyte: a write fails in the middle of the log.
    let limited = r#"trap "" XFSZ; ulimit -f 2048; exec "$0" "$@""#;
    let mut child = Command::new("sh")
        .args(["-c", limited, appender().to_str().unwrap(), dir.path().to_str().unwrap(), "4000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told: Vec<_> = lines(&mut child).collect();
    assert!(child.wait().unwrap().success());
    let of = |wanted: &str| -> Vec<u64> {
        told.iter().filter(|(how, _)| how == wanted).map(|(_, number)| *number).collect()
    };
    let (in_log, ambiguous, refused) = (of("in-log"), of("ambiguous"), of("refused"));
    assert!(in_log.len() > 64 && !ambiguous.is_empty() && refused.len() == 100, "{told:?}");
    assert!(in_log.last() < ambiguous.first() && ambiguous.last() < refused.first());
    assert_eq!(of("read"), [in_log.len() as u64], "the failed log is read, without what is open");
    let kept = count_verified(dir.path()).await;
    assert!(kept >= in_log.len() as u64, "acknowledged");
    assert!(kept <= (in_log.len() + ambiguous.len()) as u64, "refused");
}

/// Small records, and some that are spread over several blocks of the file.
fn sizes() -> Vec<usize> {
    (0..60).map(|i| if i % 13 == 7 { 40_000 } else { 40 + i * 7 }).collect()
}

#[tokio::test]
async fn a_torn_tail_loses_only_what_was_torn() {
    let closed = Closed::unflushed(&sizes()).await;
    let end = closed.ends.last().copied().unwrap();
    let around_ends = closed.ends.iter().rev().step_by(5).flat_map(|end| [end - 1, *end]);
    let cuts: Vec<u64> = (0..end).step_by(4999).chain(around_ends).collect();
    for cut in cuts {
        let copy = closed.copy("log", |bytes| bytes.truncate(cut.try_into().unwrap()));
        let log = open(copy.path()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let whole = closed.ends.iter().filter(|end| **end <= cut).count();
        let records: Vec<_> = read_all(&log).await.into_iter().map(|r| r.bytes).collect();
        assert!(records == closed.records[..whole], "cut at {cut}: {} records", records.len());
        append(&log, vec!["goes on".into()]).await;
        log.close().await;
        let log = open(copy.path()).unwrap_or_else(|error| panic!("again, {cut}: {error}"));
        assert_eq!(read_all(&log).await.len(), whole + 1, "cut at {cut}, opened again");
        log.close().await;
    }
}
