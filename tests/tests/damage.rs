//! A log that was changed behind the server's back is found out at the start; one that a crash tore is not blamed.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_tests::http::Ask;
use headwater_tests::process::Headwater;
use headwater_tests::stand::{Log, Stand, bounded, chain};

const WRITES: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_changed_in_the_middle_of_the_log_is_found_at_its_revision_after_a_crash() {
    bounded(a_changed_byte_is_found(|stand| stand.server.kill9())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_changed_in_the_middle_of_the_log_is_found_at_its_revision_after_a_clean_end() {
    bounded(a_changed_byte_is_found(|stand| assert_eq!(stand.server.terminate(PATIENCE), 0))).await;
}

async fn a_changed_byte_is_found(end: impl Fn(&mut Stand)) {
    let mut stand = filled().await;
    end(&mut stand);
    for revision in [WRITES / 2, WRITES / 4 + 1] {
        let (file, place) = find(&stand.data().join("log"), &mark(revision));
        flip(&file, place + 7);
        stand.server.restart_unready();
        let code = stand.server.wait(PATIENCE);
        let told = stand.server.log();
        assert_ne!(code, 0, "it must not start: {told}");
        assert!(told.contains(&format!("revision {revision} is damaged")), "{told}");
        assert!(told.contains("Restore"), "it says what to do: {told}");

        // Nothing was changed by looking: mended, it starts with everything.
        flip(&file, place + 7);
        stand.server.restart();
        assert_eq!(stand.chain().await.len() as u64, WRITES);
        end(&mut stand);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_no_damage_and_every_acknowledged_write_is_there() {
    let claim = async {
        let mut stand = filled().await;
        stand.server.kill9();
        let newest = files(&stand.data().join("log"), "log").pop().expect("a write-ahead log");
        // What a crash leaves of a write under way: the head of a record whose bytes never came.
        let mut file = std::fs::File::options().append(true).open(&newest).unwrap();
        file.write_all(&[0x17, 0x2a, 0x99, 0x01, 0xff, 0x10, 0x01]).unwrap();
        file.write_all(&[0x5a; 60]).unwrap();
        drop(file);

        stand.server.restart();
        let commits = stand.chain().await;
        assert_eq!(commits.len() as u64, WRITES);
        let answer = stand.ask(Ask::put("/v1/config/after/key", "1")).await.is(201);
        assert_eq!(answer.revision(), WRITES + 1);
        stand.server.kill9();
        stand.server.restart();
        assert_eq!(
            stand.chain().await.len() as u64,
            WRITES + 1,
            "what came behind the tear is kept"
        );
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_data_directory_are_refused_and_the_first_goes_on() {
    let claim = async {
        let stand = filled().await;
        let data = stand.data().display().to_string();
        let mut second = Headwater::start_unready(&["serve", "--data", &data], &[]);
        let code = second.wait(PATIENCE);
        let told = second.log();
        assert_ne!(code, 0, "{told}");
        assert!(told.contains(&format!("pid {}", stand.server.pid())), "{told}");
        assert!(told.contains("--data"), "it says what to do: {told}");
        stand.ask(Ask::put("/v1/config/still/here", "1")).await.is(201);
        assert_eq!(chain(stand.server.host()).await.len() as u64, WRITES + 1);
    };
    bounded(claim).await;
}

/// A server whose every revision holds a value of its own.
async fn filled() -> Stand {
    let stand = Stand::start(Log::Embedded);
    let mut line = stand.connect().await.unwrap();
    for revision in 1..=WRITES {
        let ask = Ask::put(format!("/v1/config/marks/k{}", revision % 10), mark(revision));
        let answer = line.send(&ask.header("Content-Type", "text/plain")).await.unwrap();
        assert_eq!(answer.revision(), revision);
    }
    stand
}

fn mark(revision: u64) -> String {
    format!("the value of revision {revision}, and of no other")
}

/// The file that holds a text, and where.
fn find(dir: &Path, text: &str) -> (PathBuf, u64) {
    let all = [files(dir, "log"), files(dir, "sst")].concat();
    let mut found = all.iter().flat_map(|path| {
        let bytes = std::fs::read(path).unwrap();
        let place = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        place.map(|place| (path.clone(), place as u64))
    });
    found.next().unwrap_or_else(|| panic!("{text:?} is in none of {all:?}"))
}

/// The files of one kind, in order of their numbers.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files
}

/// Changes one bit; twice is as before.
fn flip(path: &Path, place: u64) {
    let mut file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(place)).unwrap();
    file.read_exact(&mut byte).unwrap();
    byte[0] ^= 0x04;
    file.seek(SeekFrom::Start(place)).unwrap();
    file.write_all(&byte).unwrap();
}
