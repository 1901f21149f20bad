//! The audit as an auditor meets it: the binary, over histories that somebody tampered with.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use headwater_log::{Log as _, LogReader};
use headwater_log_embedded::{EmbeddedLog, EmbeddedSettings};
use headwater_schemas::{
    Change, Codec, Frozen, Genesis, Hash, State, encode_commit, encode_marker,
};
use headwater_tests::http::{Ask, ask};
use headwater_tests::process::{Headwater, binary};
use headwater_tests::scrape::Scrape;
use headwater_tests::stand::Stand;
use headwater_tests::storm::Storm;
use headwater_tests::{broker, topic};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the binary; its exit code, standard output and standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(binary());
    command.args(args).env_remove("HEADWATER_SERVER").env_remove("HEADWATER_KAFKA");
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

fn json(args: &[&str]) -> (i32, Value) {
    let (code, out, told) = run(args);
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{told}")))
}

/// What a server wrote, and stopped: its data, and its records.
struct History {
    data: TempDir,
    records: Vec<Bytes>,
}

const COMMITS: usize = 12;

async fn history() -> History {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Headwater::serve(data.path(), &[]);
    for number in 0..COMMITS {
        let key = format!("db/{}", number % 4);
        let (value, why) = (number.to_string(), format!("why {number}"));
        let url = server.url();
        let put = ["put", "app", &key, &value, "--actor", "ada", "-m", &why, "--server", &url];
        assert_eq!(run(&put).0, 0);
    }
    assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    let records = read(&data.path().join("log")).await;
    assert_eq!(chain(&records).len(), COMMITS + 1);
    History { data, records }
}

/// The records that count: a server's log holds markers, too.
fn chain(records: &[Bytes]) -> Vec<Bytes> {
    records.iter().filter(|record| Frozen::read(record).is_ok()).cloned().collect()
}

async fn open(dir: &Path) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(EmbeddedSettings::new(dir)).expect("the log opens")
}

async fn read(dir: &Path) -> Vec<Bytes> {
    let log = open(dir).await;
    let mut reader: Box<dyn LogReader> = log.reader().await.expect("a reader");
    let mut records = Vec::new();
    loop {
        let batch = reader.read(Duration::ZERO, 1 << 20).await.expect("records");
        records.extend(batch.records.into_iter().map(|record| record.bytes));
        if batch.at_end {
            log.close().await;
            return records;
        }
    }
}

/// A commit that fits behind a revision and is none of the history's.
fn forged(records: &[Bytes], behind: usize) -> Bytes {
    let genesis = Genesis::decode(&records[0]).expect("a genesis").commit().expect("a commit");
    let mut codec = Codec::default();
    codec.learn_from(&genesis).expect("a schema");
    let mut state = State::found(&genesis, Hash::of(&records[0]));
    for record in &records[1..=behind] {
        state.apply(&codec.decode(record).expect("a commit"), Hash::of(record));
    }
    let mut commit = codec.decode(&records[behind + 1]).expect("a commit");
    commit.actor = "eve".into();
    commit.changes = vec![Change::Put {
        namespace: "app".parse().expect("a name"),
        key: "db/0".parse().expect("a key"),
        content_type: "application/json".into(),
        value: Bytes::from_static(b"666"),
        version: 1,
    }];
    commit.digest = state.clone().apply(&commit, Hash::default()).totals.digest();
    encode_commit(&commit)
}

/// Each way of tampering, with the revision at which it must be found, and as what.
fn tampered(records: &[Bytes]) -> Vec<(u64, &'static str, Vec<Bytes>)> {
    let change = |index: usize, alter: &dyn Fn(&mut Vec<Bytes>)| {
        let mut records = records.to_vec();
        alter(&mut records);
        (index as u64, records)
    };
    let flip = |record: &Bytes| {
        let mut bytes = record.to_vec();
        let place = bytes.len() * 2 / 3;
        bytes[place] ^= 1;
        Bytes::from(bytes)
    };
    [
        ("changed", change(5, &|all| all[5] = flip(&all[5]))),
        (
            "changed",
            change(0, &|all| {
                // Its time: everything else of it would still be a genesis.
                let mut bytes = all[0].to_vec();
                bytes[62] ^= 2;
                all[0] = bytes.into();
            }),
        ),
        ("missing", change(7, &|all| drop(all.remove(7)))),
        ("missing", change(1, &|all| drop(all.remove(1)))),
        ("beginning", change(0, &|all| drop(all.remove(0)))),
        ("swapped", change(8, &|all| all.swap(8, 9))),
        ("fork", change(6, &|all| all.insert(6, forged(records, 5)))),
    ]
    .into_iter()
    .map(|(kind, (revision, records))| (revision, kind, records))
    .collect()
}

fn found(report: &Value) -> (u64, &str) {
    let first = &report["breaks"][0];
    (first["revision"].as_u64().expect("a revision"), first["kind"].as_str().expect("a kind"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_in_kafka_is_found_at_its_revision() {
    let history = history().await;
    let records = chain(&history.records);
    let kafka = broker::shared();
    let verify = async |records: &[Bytes], more: &[&str]| {
        let stream = topic::fresh_name("audit");
        let name = format!("{stream}.commits");
        topic::create(kafka, &name, 1, &[]).await;
        let values: Vec<Option<&[u8]>> = records.iter().map(|it| Some(it.as_ref())).collect();
        topic::produce(kafka, &name, &values).await;
        let args = ["audit", "verify", "--json", "--kafka", kafka, "--stream", &stream];
        json(&[&args, more].concat())
    };
    let (code, report) = verify(&records, &[]).await;
    assert_eq!((code, &report["sound"]), (0, &Value::Bool(true)), "{report}");
    assert_eq!(report["proven"]["revision"], COMMITS, "{report}");
    for (revision, kind, records) in tampered(&records) {
        let (code, report) = verify(&records, &[]).await;
        assert_eq!((code, found(&report)), (1, (revision, kind)), "{report}");
        let proven = report["proven"]["revision"].as_u64();
        assert_eq!(proven, revision.checked_sub(1), "{report}");
    }
    // The end of a log is proven by a head that was published elsewhere.
    let head = format!("{COMMITS}:{}", Hash::of(&records[COMMITS]));
    let (code, report) = verify(&records[..COMMITS], &["--head", &head]).await;
    assert_eq!((code, found(&report)), (1, (COMMITS as u64, "cut")), "{report}");
    let mut last = records.clone();
    let mut bytes = last[COMMITS].to_vec();
    let place = bytes.len() - 40;
    bytes[place] ^= 1;
    last[COMMITS] = bytes.into();
    let (code, report) = verify(&last, &["--head", &head]).await;
    assert_eq!((code, found(&report).0), (1, COMMITS as u64), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tampered_with_in_an_embedded_log_is_found_at_its_revision() {
    let history = history().await;
    let mut records = chain(&history.records);
    for (revision, kind, records) in tampered(&records) {
        let dir = tempfile::tempdir().expect("a folder");
        let log = open(&dir.path().join("log")).await;
        log.writer().expect("a writer").append(records).await;
        log.close().await;
        let (code, report) =
            json(&["audit", "verify", "--json", "--data", &dir.path().display().to_string()]);
        assert_eq!((code, found(&report)), (1, (revision, kind)), "{report}");
    }
    // Markers and what lost a race are no fault.
    records.insert(3, encode_marker(9));
    records.insert(7, records[2].clone());
    let dir = tempfile::tempdir().expect("a folder");
    let log = open(dir.path()).await;
    log.writer().expect("a writer").append(records).await;
    log.close().await;
    let (code, report) =
        json(&["audit", "verify", "--json", "--data", &dir.path().display().to_string()]);
    assert_eq!(
        (code, &report["ignored"]["late"], &report["ignored"]["markers"]),
        (0, &1.into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changed_on_the_disk_of_an_embedded_log_is_found_at_its_revision() {
    let history = history().await;
    for revision in [2, 9] {
        let data = tempfile::tempdir().expect("a folder");
        let log = data.path().join("log");
        fs::create_dir(&log).expect("a folder");
        for file in fs::read_dir(history.data.path().join("log")).expect("a folder") {
            let file = file.expect("a file");
            fs::copy(file.path(), log.join(file.file_name())).expect("a copy");
        }
        let record = &history.records[place(&history.records, revision)];
        let tables = [files(&log, "log"), files(&log, "sst")].concat();
        let (file, at) = tables.iter().find_map(|file| stands(file, record)).expect("it is there");
        let mut bytes = fs::read(file).expect("it can be read");
        bytes[at + record.len() / 2] ^= 8;
        fs::write(file, bytes).expect("it can be written");
        let data = data.path().display().to_string();
        let (code, report) = json(&["audit", "verify", "--json", "--data", &data]);
        assert_eq!((code, found(&report)), (1, (revision, "damaged")), "{report}");
        assert_eq!(report["proven"]["revision"], revision - 1, "{report}");
        let place = place(&history.records, revision);
        assert_eq!(report["breaks"][0]["position"], place, "{report}");
        // What stands before it can be rebuilt; what does not is refused, with what to do.
        let before = (revision - 1).to_string();
        assert_eq!(run(&["audit", "replay", "--at", &before, "--data", &data]).0, 0);
        let (code, _, told) = run(&["audit", "replay", "--data", &data]);
        assert!(code == 1 && told.contains("`headwater audit verify`"), "{told}");
    }
}

/// A data folder whose log has some records in a first table, as many in a second one, and the rest in its write-ahead
/// log.
async fn in_tables(records: &[Bytes], a_table: usize) -> TempDir {
    let data = tempfile::tempdir().expect("a folder");
    let log = open(&data.path().join("log")).await;
    for (number, some) in records.chunks(a_table).enumerate() {
        log.writer().expect("a writer").append(some.to_vec()).await;
        if number < 2 {
            log.flush().expect("a table");
        }
    }
    log.close().await;
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_or_cut_files_is_proven_up_to_the_first_record_that_is_gone() {
    let records = chain(&history().await.records);
    let flip = |file: &Path, place: usize| {
        let mut bytes = fs::read(file).expect("it can be read");
        bytes[place] ^= 1;
        fs::write(file, bytes).expect("it can be written");
    };
    let cut = |file: &Path, at: usize| {
        let bytes = fs::read(file).expect("it can be read");
        fs::write(file, &bytes[..at]).expect("it can be written");
    };
    type Harm<'a> = &'a dyn Fn(&Path);
    let table = |log: &Path| files(log, "sst").pop().expect("a table");
    let middle = |file: &Path, revision: usize| {
        let (_, at) = stands(file, &records[revision]).expect("it is there");
        at + records[revision].len() / 2
    };
    let harms: [(&str, u64, Harm<'_>); 6] = [
        ("a lost table", 4, &|log| fs::remove_file(table(log)).expect("it is there")),
        ("a cut table", 6, &|log| cut(&table(log), middle(&table(log), 6))),
        ("a changed table", 5, &|log| flip(&table(log), middle(&table(log), 5))),
        ("a table without its end", 8, &|log| {
            let table = table(log);
            let length = fs::metadata(&table).expect("it is there").len();
            cut(&table, usize::try_from(length).expect("a length") - 1);
            // What comes behind it is whole, and lost with the write-ahead log.
            files(log, "log").iter().for_each(|file| fs::remove_file(file).expect("it is there"));
        }),
        ("a changed write-ahead log", 10, &|log| {
            let file = files(log, "log").pop().expect("a write-ahead log");
            flip(&file, middle(&file, 10));
        }),
        ("a lost list of tables", COMMITS as u64 + 1, &|log| {
            fs::remove_file(log.join("CURRENT")).expect("it is there");
        }),
    ];
    for (what, gone, harm) in harms {
        let data = in_tables(&records, 4).await;
        let log = data.path().join("log");
        harm(&log);
        let before = listing(data.path());
        let folder = data.path().display().to_string();
        let (code, report) = json(&["audit", "verify", "--json", "--data", &folder]);
        assert_eq!((code, found(&report)), (1, (gone, "damaged")), "{what}: {report}");
        assert_eq!(report["proven"]["revision"], gone - 1, "{what}: {report}");
        assert_eq!(report["proven"]["hash"], Hash::of(&records[gone as usize - 1]).to_string());
        assert_eq!(report["breaks"][0]["position"], gone, "{what}: {report}");
        let (code, _, told) = run(&["audit", "verify", "--data", &folder]);
        assert!(code == 1 && told.contains("damaged"), "{what}: {told}");
        assert!(listing(data.path()) == before, "{what}");
    }
    // A torn end is what a crash leaves: only a published head tells that something was there.
    let data = in_tables(&records, 4).await;
    let file = files(&data.path().join("log"), "log").pop().expect("a write-ahead log");
    let last = middle(&file, COMMITS);
    cut(&file, last);
    let folder = data.path().display().to_string();
    let head = format!("{COMMITS}:{}", Hash::of(&records[COMMITS]));
    let (code, report) = json(&["audit", "verify", "--json", "--data", &folder, "--head", &head]);
    assert_eq!((code, found(&report).1), (1, "cut"), "{report}");
}

/// Every file below a folder: when it was changed, and its bytes.
fn listing(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry")) {
            let about = entry.metadata().expect("it is there");
            let path = entry.path();
            let bytes = if about.is_dir() {
                waiting.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).expect("it can be read")
            };
            found.insert(path, (about.modified().expect("a time"), bytes));
        }
    }
    found
}

/// Leaves everything below a folder to be read, by everybody, and to be written by nobody but root.
fn read_only(dir: &Path) {
    for path in listing(dir).into_keys().chain([dir.to_owned()]) {
        let mode = if path.is_dir() { 0o555 } else { 0o444 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_of_a_data_folder_change_nothing_there_and_need_not_be_able_to() {
    let history = history().await;
    read_only(history.data.path());
    let before = listing(history.data.path());
    let out = tempfile::tempdir().expect("a folder");
    fs::set_permissions(out.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    // Root may write everywhere: then it is somebody else who reads.
    let is_root = fs::metadata("/proc/self").expect("Linux").uid() == 0;
    let program = out.path().join("headwater");
    fs::copy(binary(), &program).expect("a copy");
    let at = |name: &str| out.path().join(name).display().to_string();
    let (archive, receipt, tree) = (at("archive"), at("a.receipt"), at("tree"));
    for args in [
        &["audit", "verify"][..],
        &["audit", "log"],
        &["audit", "export"],
        &["audit", "diff", "3", "9"],
        &["audit", "replay", "--dir", &tree],
        &["audit", "receipt", "5", "--out", &receipt],
        &["archive", &archive],
    ] {
        let mut command = Command::new(&program);
        command.args(args).arg("--data").arg(history.data.path()).current_dir(out.path());
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {told}");
        assert!(listing(history.data.path()) == before, "{args:?}");
    }
    for path in listing(history.data.path()).into_keys().filter(|path| path.is_dir()) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_running_server_is_refused_with_what_to_do_and_only_then() {
    let data = tempfile::tempdir().expect("a folder");
    let mut server = Headwater::serve(data.path(), &[]);
    let folder = data.path().display().to_string();
    let (code, _, told) = run(&["audit", "verify", "--data", &folder]);
    assert!(code == 1 && told.contains("pid") && told.contains("over HTTP (--server)"), "{told}");
    assert_eq!(run(&["audit", "verify", "--server", &server.url()]).0, 0, "as it says");
    assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    assert_eq!(run(&["audit", "verify", "--data", &folder]).0, 0);
    let (code, _, told) = run(&["audit", "verify", "--data", "/nonexistent/headwater"]);
    assert!(code == 1 && !told.contains("--server"), "{told}");
}

#[test]
fn an_archive_of_nothing_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let archive = dir.path().join("archive");
    let name = archive.display().to_string();
    assert_eq!(run(&["archive", &name, "--server", "http://127.0.0.1:1"]).0, 3);
    assert!(!archive.exists());
}

#[test]
fn the_help_of_every_audit_lists_its_exit_codes() {
    let names = ["verify", "replay", "log", "export", "diff", "receipt", "check-receipt"];
    let audits = names.map(|name| vec!["audit", name]);
    for args in audits.into_iter().chain([vec!["audit"], vec!["archive"]]) {
        let (code, told, _) = run(&[&args[..], &["--help"]].concat());
        for exit in ["Exit codes:", "\n  0  ", "\n  1  ", "\n  2  ", "\n  3  ", "\n  4  "] {
            assert!(code == 0 && told.contains(exit), "{args:?}: {told}");
        }
    }
}

/// Where a record stands in a file, if it does.
fn stands<'a>(file: &'a Path, record: &[u8]) -> Option<(&'a Path, usize)> {
    let bytes = fs::read(file).expect("it can be read");
    Some((file, bytes.windows(record.len()).position(|it| it == record)?))
}

/// Where a revision's record stands.
fn place(records: &[Bytes], revision: u64) -> usize {
    let is = |record: &Bytes| Frozen::read(record).is_ok_and(|frozen| frozen.revision == revision);
    records.iter().position(is).expect("it is there")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).expect("a folder").map(|file| file.expect("a file").path());
    let mut found: Vec<_> =
        all.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_written_gone_on_with_verified_and_read_like_a_log() {
    let history = history().await;
    let data = history.data.path().display().to_string();
    let dir = history.data.path().join("archive").display().to_string();
    let (code, archived) = json(&["archive", &dir, "--data", &data, "--json"]);
    assert_eq!((code, &archived["head"]["revision"]), (0, &COMMITS.into()), "{archived}");
    let mut server = Headwater::serve(history.data.path(), &[]);
    assert_eq!(run(&["put", "app", "later", "1", "--server", &server.url()]).0, 0);
    assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    let (_, archived) = json(&["archive", &dir, "--data", &data, "--json"]);
    assert_eq!((&archived["added"], &archived["segments"]), (&1.into(), &1.into()));
    let (code, report) = json(&["audit", "verify", "--archive", &dir, "--json"]);
    assert_eq!((code, &report["head"]["revision"]), (0, &(COMMITS + 1).into()), "{report}");
    for command in [
        &["audit", "log", "--json"][..],
        &["audit", "log", "--order", "desc", "--limit", "3", "--json"],
        &["audit", "export"],
        &["audit", "replay", "--at", "7"],
        &["audit", "diff", "3", "11", "--json"],
    ] {
        let of_log = run(&[command, &["--data", &data]].concat());
        let of_archive = run(&[command, &["--archive", &dir]].concat());
        assert_eq!((of_log.0, &of_log.1), (0, &of_archive.1), "{command:?}: {}", of_log.2);
        assert!(!of_log.1.is_empty(), "{command:?}");
    }
    for file in [files(Path::new(&dir), "hwa"), files(Path::new(&dir), "json")].concat() {
        let sound = fs::read(&file).expect("it can be read");
        for at in [20, sound.len() / 2, sound.len() - 9] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(&file, bytes).expect("it can be written");
            let (code, _, told) = run(&["audit", "verify", "--archive", &dir]);
            assert_eq!(code, 1, "{} byte {at}", file.display());
            assert!(told.contains(&dir) || told.contains("revision"), "{told}");
            assert_eq!(run(&["audit", "replay", "--archive", &dir]).0, 1);
        }
        fs::write(&file, sound).expect("it can be written");
    }
    assert_eq!(run(&["audit", "verify", "--archive", &dir]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_proves_offline_and_only_what_it_holds() {
    let history = history().await;
    let data = history.data.path().display().to_string();
    let file = history.data.path().join("five.receipt").display().to_string();
    let (code, proof) = json(&["audit", "receipt", "5", "--out", &file, "--data", &data, "--json"]);
    assert_eq!((code, &proof["commit"]["reason"]), (0, &"why 4".into()), "{proof}");
    let head = format!("{COMMITS}:{}", proof["head"]["hash"].as_str().expect("a hash"));
    let (code, told, _) = run(&["audit", "check-receipt", &file, "--head", &head]);
    assert!(code == 0 && told.contains("published head") && told.contains("ada"), "{told}");
    let other = format!("{COMMITS}:{}", "0".repeat(64));
    assert_eq!(run(&["audit", "check-receipt", &file, "--head", &other]).0, 1);
    let mut bytes = fs::read(&file).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("it can be written");
    assert_eq!(run(&["audit", "check-receipt", &file, "--head", &head]).0, 1);
    assert_eq!(run(&["audit", "check-receipt", &file, "--head", "x"]).0, 2);
    assert_eq!(run(&["audit", "receipt", "99", "--out", &file, "--data", &data]).0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_rebuilt_into_files_and_an_export_holds_the_records() {
    let history = history().await;
    let at = |name: &str| history.data.path().join(name).display().to_string();
    let data = history.data.path().display().to_string();
    let (tree, state, avro) = (at("tree"), at("state.ndjson"), at("history.avro"));
    let (code, told) =
        json(&["audit", "replay", "--at", "6", "--dir", &tree, "--data", &data, "--json"]);
    assert_eq!((code, &told["revision"], &told["entries"]), (0, &6.into(), &5.into()), "{told}");
    assert_eq!(fs::read_to_string(format!("{tree}/app/db/1.json")).expect("a value"), "5");
    assert_eq!(run(&["audit", "replay", "--dir", &tree, "--data", &data]).0, 1, "it is there");
    assert_eq!(run(&["audit", "replay", "--out", &state, "--data", &data]).0, 0);
    let lines = fs::read_to_string(&state).expect("a file");
    let lines: Vec<Value> =
        lines.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    assert!(lines.iter().any(|it| it["key"] == "db/3" && it["value"] == 11), "{lines:?}");
    assert_eq!(run(&["audit", "replay", "--at", "99", "--data", &data]).0, 4);
    let diff = ["audit", "diff", "11", "12", "--data", &data];
    let told = run(&diff).1;
    assert!(
        told.starts_with("--- app/db/") && told.contains("\n+11\n"),
        "as `diff` shows it: {told}"
    );
    let (_, body) = json(&[&diff[..], &["--json"]].concat());
    assert_eq!((&body["namespace"], &body["kind"]), (&"app".into(), &"changed".into()), "{body}");
    let export = ["audit", "export", "--format", "avro", "--out", &avro, "--data", &data];
    assert_eq!(run(&export).0, 0);
    let file = fs::File::open(&avro).expect("a file");
    let objects = apache_avro::Reader::new(file).expect("an object container file");
    let stored: Vec<Bytes> = objects
        .map(|object| {
            let apache_avro::types::Value::Record(fields) = object.expect("an object") else {
                panic!("a record")
            };
            let (_, record) = fields.into_iter().find(|(name, _)| name == "record").expect("it");
            let apache_avro::types::Value::Bytes(record) = record else { panic!("bytes") };
            Bytes::from(record)
        })
        .collect();
    assert_eq!(stored, chain(&history.records));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_a_line_of_json_for_each_commit_and_its_times_are_points_to_replay() {
    let history = history().await;
    let data = history.data.path().display().to_string();
    let (code, lines, told) = run(&["audit", "export", "--data", &data]);
    assert_eq!(code, 0, "{told}");
    let commits: Vec<Value> =
        lines.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    assert_eq!(commits.len(), COMMITS);
    for (number, commit) in commits.iter().enumerate() {
        assert_eq!(commit["revision"], number + 1, "the genesis is nobody's commit: {commit}");
        assert_eq!(commit["reason"], format!("why {number}"), "{commit}");
        assert_eq!(commit["changes"].as_array().map(Vec::len), Some(1), "{commit}");
        let change = &commit["changes"][0];
        assert_eq!(change["key"], format!("db/{}", number % 4), "{commit}");
        assert_eq!(change["value"], number, "{commit}");
    }
    let at = commits[6]["at"].as_str().expect("a time");
    // Two commits may fall into the same millisecond.
    let last = commits.iter().rfind(|commit| commit["at"] == at).expect("it is there");
    let out = history.data.path().join("state").display().to_string();
    let replay = ["audit", "replay", "--at", at, "--out", &out, "--data", &data, "--json"];
    let (code, told) = json(&replay);
    assert_eq!((code, &told["revision"]), (0, &last["revision"]), "{told}");
}

/// Where a server is that answers whatever it is asked with this status.
fn says(status: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            if !matches!(socket.read(&mut [0; 8 * 1024]), Ok(1..)) {
                continue;
            }
            let length = status.len();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            // Who is gone is told nothing.
            let _ = write!(socket, "{head}\r\ncontent-length: {length}\r\n\r\n{status}");
        }
    });
    url
}

/// Rebuilds a state from a data folder; the exit code, and whether a server is said to have the same.
fn agrees(data: &Path, url: &str, at: &[&str]) -> (i32, Value) {
    let out = tempfile::tempdir().expect("a folder");
    let (data, out) = (data.display().to_string(), out.path().join("state").display().to_string());
    let replay = ["audit", "replay", "--json", "--data", &data, "--server", url, "--out", &out];
    let (code, told) = json(&[&replay, at].concat());
    (code, told["server_agrees"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_state_of_another_history_than_the_servers_is_told() {
    let history = history().await;
    let records = chain(&history.records);
    let server = Headwater::serve(history.data.path(), &[]);
    let url = server.url();
    // They part at the last commit.
    let other = tempfile::tempdir().expect("a folder");
    let log = open(&other.path().join("log")).await;
    let forked = [&records[..COMMITS], &[forged(&records, COMMITS - 1)]].concat();
    log.writer().expect("a writer").append(forked).await;
    log.close().await;
    let before = (COMMITS - 1).to_string();
    assert_eq!(agrees(other.path(), &url, &["--at", &before]), (0, true.into()));
    assert_eq!(agrees(other.path(), &url, &[]), (1, false.into()), "at the server's head");
    assert_eq!(run(&["put", "app", "later", "1", "--server", &url]).0, 0);
    assert_eq!(agrees(other.path(), &url, &[]), (1, false.into()), "below the server's head");
    let data = other.path().display().to_string();
    let (_, _, told) = run(&["audit", "replay", "--data", &data, "--server", &url]);
    let wanted = format!("another history, or another state, at revision {COMMITS}");
    assert!(told.contains(&wanted), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_the_same_record_and_another_state_is_told() {
    let history = history().await;
    let mut server = Headwater::serve(history.data.path(), &[]);
    let mut status: Value = ask(server.host(), &Ask::get("/v1/status")).await.is(200).json();
    assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    let data = history.data.path();
    assert_eq!(agrees(data, &says(status.to_string()), &[]), (0, true.into()));
    let digits = status["digest"].as_str().expect("a digest").len();
    status["digest"] = "0".repeat(digits).into();
    assert_eq!(agrees(data, &says(status.to_string()), &[]), (1, false.into()));
}

mod over_http {
    use headwater_tests::on_both_logs;

    use super::*;

    /// Runs the binary on a thread of its own, as others must go on meanwhile.
    async fn ran(args: &[&str]) -> (i32, String, String) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let running = move || run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(running).await.expect("no panic")
    }

    async fn as_json(args: &[&str]) -> (i32, Value) {
        let (code, out, told) = ran(args).await;
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{told}")))
    }

    on_both_logs! {
        async fn a_servers_history_is_proven_from_its_genesis_to_its_head(log) {
            let stand = Stand::start(log);
            let url = stand.server.url();
            for number in 0..70 {
                let (key, value) = (format!("k/{}", number % 9), number.to_string());
                assert_eq!(ran(&["put", "app", &key, &value, "--server", &url]).await.0, 0);
            }
            let (_, status) = as_json(&["status", "--server", &url, "--json"]).await;
            let (code, report) = as_json(&["audit", "verify", "--server", &url, "--json"]).await;
            assert_eq!((code, &report["sound"]), (0, &Value::Bool(true)), "{report}");
            assert_eq!(report["head"]["digest"], status["digest"]);
            assert_eq!(report["confirmed"][0]["hash"], status["hash"], "{report}");
            // A head that contradicts the server's own ends with the report, too.
            let other = format!("70:{}", "0".repeat(64));
            let (code, report) =
                as_json(&["audit", "verify", "--url", &url, "--head", &other, "--json"]).await;
            assert_eq!((code, found(&report)), (1, (70, "published")), "{report}");
            assert_eq!((&report["proven"]["revision"], &report["confirmed"][0]["hash"]), (&69.into(), &status["hash"]));
            let (code, told, _) = ran(&["audit", "verify", "--url", &url, "--head", &other]).await;
            assert!(code == 1 && told.contains("BROKEN at revision 70: published"), "{told}");
            let wrong = format!("60:{}", "0".repeat(64));
            let (code, report) =
                as_json(&["audit", "verify", "--url", &url, "--head", &wrong, "--json"]).await;
            assert_eq!((code, found(&report)), (1, (60, "published")), "{report}");
        }

        async fn a_history_in_the_servers_tail_is_read_in_one_stream(log) {
            let stand = Stand::start(log);
            let url = stand.server.url();
            for number in 0..120 {
                let key = format!("k/{number}");
                assert_eq!(ran(&["put", "app", &key, "1", "--server", &url]).await.0, 0);
            }
            let answered = async || {
                Scrape::of(stand.server.host()).await.value("headwater_http_requests_total")
            };
            let before = answered().await;
            let (code, report) = as_json(&["audit", "verify", "--server", &url, "--json"]).await;
            assert_eq!((code, &report["commits"]), (0, &120.into()), "{report}");
            let asked = answered().await - before;
            assert!(asked < 10.0, "{asked} requests for 120 commits");
            // The stream tells when a record was appended; who asks for one record is not told.
            let dir = tempfile::tempdir().expect("a folder");
            let avro = dir.path().join("h.avro").display().to_string();
            let export = ["audit", "export", "--format", "avro", "--out", &avro, "--server", &url];
            assert_eq!(ran(&export).await.0, 0);
            let times: Vec<_> = apache_avro::Reader::new(fs::File::open(&avro).expect("a file"))
                .expect("an object container file")
                .map(|object| {
                    let apache_avro::types::Value::Record(fields) = object.expect("an object") else {
                        panic!("a record")
                    };
                    fields.into_iter().find(|(name, _)| name == "appended_at").expect("it").1
                })
                .collect();
            use apache_avro::types::Value::{Null, TimestampMillis, Union};
            assert_eq!(times[0], Union(0, Box::new(Null)));
            let recent = |time: &apache_avro::types::Value| {
                matches!(time, Union(1, at) if matches!(**at, TimestampMillis(ms) if ms > 1_700_000_000_000))
            };
            assert_eq!((times.len(), times.iter().filter(|time| recent(time)).count()), (121, 120));
        }

        async fn a_key_that_is_also_a_folder_of_keys_is_rebuilt_into_files_and_read_back(log) {
            let stand = Stand::start(log);
            let url = stand.server.url();
            let keys = ["a", "a/b", "a.json/c", "a.json"];
            for key in keys {
                let put = ["put", "app", key, "{\"it\": 1}", "--server", &url];
                assert_eq!(ran(&put).await.0, 0);
            }
            let dir = tempfile::tempdir().expect("a folder");
            let tree = dir.path().join("tree").display().to_string();
            let (code, _, told) = ran(&["audit", "replay", "--dir", &tree, "--server", &url]).await;
            assert_eq!(code, 0, "{told}");
            assert_eq!(fs::read_to_string(format!("{tree}/app/a.json")).expect("a file"), "{\"it\": 1}");
            assert_eq!(fs::read_to_string(format!("{tree}/app/a/b.json")).expect("a file"), "{\"it\": 1}");
            let import = ["import", "copy", &format!("{tree}/app"), "--server", &url];
            assert_eq!(ran(&import).await.0, 0);
            for key in keys {
                let (code, value, _) = ran(&["get", "copy", key, "--server", &url]).await;
                assert!(code == 0 && value.contains("\"it\""), "{key}: {value}");
            }
        }

        async fn a_rebuilt_state_is_compared_with_the_servers(log) {
            let stand = Stand::start(log);
            let url = stand.server.url();
            for number in 0..5 {
                assert_eq!(ran(&["put", "app", "k", &number.to_string(), "--server", &url]).await.0, 0);
            }
            for at in [&["--at", "3"][..], &[]] {
                let dir = tempfile::tempdir().expect("a folder");
                let out = dir.path().join("state").display().to_string();
                let replay = ["audit", "replay", "--server", &url, "--out", &out, "--json"];
                let (code, told) = as_json(&[&replay, at].concat()).await;
                assert_eq!((code, &told["server_agrees"]), (0, &Value::Bool(true)), "{told}");
            }
            let (_, table, _) = ran(&["audit", "log", "--server", &url, "--order", "desc"]).await;
            let newest = table.lines().nth(1).expect("a row");
            assert!(newest.starts_with('5') && newest.contains("put app/k"), "{table}");
            let (_, first, _) =
                ran(&["audit", "log", "--server", &url, "--limit", "1", "--after", "2", "--json"]).await;
            let first: Value = serde_json::from_str(&first).expect("one line");
            assert_eq!(first["revision"], 3);
        }

        async fn an_archive_of_a_server_is_the_archive_of_its_log(log) {
            let stand = Stand::start(log);
            let url = stand.server.url();
            for number in 0..5 {
                assert_eq!(ran(&["put", "app", "k", &number.to_string(), "--server", &url]).await.0, 0);
            }
            let dir = tempfile::tempdir().expect("a folder");
            let archive = dir.path().join("archive").display().to_string();
            assert_eq!(ran(&["archive", &archive, "--server", &url]).await.0, 0);
            assert_eq!(ran(&["put", "app", "k", "5", "--server", &url]).await.0, 0);
            let (code, report) = as_json(
                &["audit", "verify", "--archive", &archive, "--server", &url, "--json"],
            ).await;
            assert_eq!((code, &report["head"]["revision"]), (0, &5.into()), "{report}");
            let (_, archived) = as_json(&["archive", &archive, "--server", &url, "--json"]).await;
            assert_eq!(archived["added"], 1, "{archived}");
            let receipt = dir.path().join("r").display().to_string();
            let made = ran(&["audit", "receipt", "2", "--out", &receipt, "--archive", &archive]).await;
            assert_eq!(made.0, 0, "{}", made.2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_publishers_leave_behind_that_race_is_ignored_and_the_history_sound() {
    let one = Stand::start(headwater_tests::stand::Log::Kafka);
    let two = one.another();
    let storm = Storm::on(&[one.server.host(), two.server.host()], 8);
    tokio::time::timeout(Duration::from_secs(60), async {
        while storm.done() < 600 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("writes get done");
    // While they write, and behind the last of them.
    let verify =
        ["audit", "verify", "--json", "--kafka", broker::shared(), "--stream", one.stream()];
    let verify = verify.map(str::to_owned);
    let audit = || {
        let args = verify.clone();
        let running = move || json(&args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(running)
    };
    let (code, report) = audit().await.expect("no panic");
    assert_eq!(code, 0, "{report}");
    storm.end().await;
    let (code, report) = audit().await.expect("no panic");
    assert_eq!(code, 0, "{report}");
    assert!(report["ignored"]["late"].as_u64() > Some(0), "they did race: {report}");
    assert_eq!(report["head"]["revision"], one.status().await.revision, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_an_operator_led_on_is_sound_and_says_by_whom_and_why() {
    let history = history().await;
    let data = history.data.path().display().to_string();
    let head = COMMITS.to_string();
    let adopt = ["stream", "adopt", "--revision", &head, "--data", &data, "--actor", "eve"];
    assert_eq!(run(&[&adopt[..], &["-m", "restored from Monday"]].concat()).0, 0);
    let (code, report) = json(&["audit", "verify", "--json", "--data", &data]);
    let word = &report["words"][0];
    assert_eq!((code, &word["word"]), (0, &"adopts".into()), "{report}");
    assert_eq!(word["revision"], COMMITS + 1);
    assert_eq!((&word["actor"], &word["reason"]), (&"eve".into(), &"restored from Monday".into()));
    let (_, told, _) = run(&["audit", "verify", "--data", &data]);
    assert!(told.contains("the stream was adopted from revision 12, by eve"), "{told}");
}

#[test]
fn a_server_that_is_not_there_is_told_of_and_a_wrong_source_is_a_usage_error() {
    let nowhere = "http://127.0.0.1:1";
    assert_eq!(run(&["audit", "log", "--server", nowhere]).0, 3);
    assert_eq!(run(&["audit", "verify", "--data", "/nonexistent/headwater"]).0, 1);
    assert_eq!(run(&["audit", "verify", "--data", "/x", "--archive", "/y"]).0, 2);
    assert_eq!(run(&["audit", "diff", "1"]).0, 2);
}
