//! The commands of a user against a real server: what they print, and the exit codes that scripts decide by.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use headwater_tests::process::binary;
use headwater_tests::ran::Ran;
use headwater_tests::stand::{Log, Stand};
use serde_json::{Value, json};

/// A server with its user.
struct Desk {
    stand: Stand,
}

fn command(server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env("HEADWATER_SERVER", server).stdin(Stdio::null());
    command
}

impl Desk {
    fn open() -> Self {
        Self { stand: Stand::start(Log::Embedded) }
    }

    fn run(&self, args: &[&str]) -> Ran {
        command(&self.stand.server.url(), args).output().unwrap().into()
    }
}

#[test]
fn what_is_put_is_got_listed_and_deleted() {
    let desk = Desk::open();
    desk.run(&["put", "demo", "db/pool", "{\"max\": 20}", "-m", "more traffic"]).ends(0);
    let got = desk.run(&["get", "demo", "db/pool"]).ends(0);
    assert_eq!(got.out.trim_end(), "{\"max\": 20}");
    desk.run(&["put", "demo", "motd", "Hello", "-t", "text/plain"]).ends(0);
    let listed = desk.run(&["list", "demo"]).ends(0);
    assert!(listed.out.contains("db/pool") && listed.out.contains("motd"), "{}", listed.out);
    let one = desk.run(&["list", "demo", "--prefix", "db/", "--json"]).ends(0);
    assert!(one.out.contains("db/pool") && !one.out.contains("motd"), "{}", one.out);
    one.json();
    let namespaces = desk.run(&["list"]).ends(0);
    assert!(namespaces.out.contains("demo"), "{}", namespaces.out);
    desk.run(&["delete", "demo", "motd"]).ends(0);
    desk.run(&["get", "demo", "motd"]).ends(4);
    desk.run(&["delete", "demo", "motd"]).ends(4);
    let status = desk.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["revision"], 3, "{status}");
}

#[test]
fn a_put_says_its_revision_to_programs() {
    let desk = Desk::open();
    let first = desk.run(&["put", "demo", "k", "1", "--json"]).ends(0).json();
    let second = desk.run(&["put", "demo", "k", "2", "--json"]).ends(0).json();
    assert_eq!((&first["revision"], &second["revision"]), (&json!(1), &json!(2)));
    assert_eq!(desk.run(&["get", "demo", "k", "--json"]).ends(0).json()["value"], 2);
}

#[test]
fn exit_codes_tell_scripts_what_happened_and_messages_tell_people_what_to_do() {
    let desk = Desk::open();
    desk.run(&["put", "demo", "k", "1"]).ends(0);
    let exists = desk.run(&["put", "demo", "k", "2", "--if-absent"]).ends(5);
    assert!(exists.err.contains("revision 1"), "{}", exists.err);
    desk.run(&["put", "demo", "k", "2", "--if-revision", "9"]).ends(5);
    desk.run(&["put", "demo", "k", "2", "--if-revision", "1"]).ends(0);
    let text = desk.run(&["put", "demo", "k", "Hello"]).ends(1);
    assert!(text.err.contains("--content-type text/plain"), "{}", text.err);
    desk.run(&["put", "Demo", "k", "1"]).ends(2);
    desk.run(&["put", "demo"]).ends(2);
    desk.run(&["put", "_system", "k", "1"]).ends(1);
    let again = ["put", "demo", "once", "1", "--idempotency-key", "one", "--json"];
    let (first, second) = (desk.run(&again).ends(0).json(), desk.run(&again).ends(0).json());
    assert_eq!(first["revision"], second["revision"]);
    let nobody = command("http://127.0.0.1:9", &["get", "demo", "k"]).output().unwrap();
    let nobody = Ran::from(nobody).ends(3);
    assert!(nobody.err.contains("headwater serve"), "{}", nobody.err);
    for role in ["publisher", "snapshotter"] {
        let alone = desk.run(&[role]).ends(1);
        assert!(alone.err.contains("--kafka"), "{}", alone.err);
    }
}

#[test]
fn an_import_of_a_json_object_and_of_a_directory_is_what_was_there() {
    let desk = Desk::open();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("models.json");
    let object: serde_json::Map<String, Value> =
        (0..2_500).map(|key| (format!("m/{key:04}"), json!({ "price": key }))).collect();
    std::fs::write(&file, Value::Object(object).to_string()).unwrap();
    let path = file.display().to_string();
    desk.run(&["import", "llm", &path, "--dry-run"]).ends(0);
    assert_eq!(desk.run(&["status", "--json"]).json()["revision"], 0, "a dry run writes nothing");
    desk.run(&["import", "llm", &path, "-m", "first"]).ends(0);
    let value: Value =
        serde_json::from_str(&desk.run(&["get", "llm", "m/2499"]).ends(0).out).unwrap();
    assert_eq!(value["price"], 2_499);
    let status = desk.run(&["status", "--json"]).json();
    // 2,500 keys, at most 1,000 a commit, and the stream's own schema.
    assert_eq!((&status["revision"], &status["entries"]), (&json!(3), &json!(2_501)), "{status}");

    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("db")).unwrap();
    std::fs::write(tree.join("db/pool.json"), "{\"max\": 3}").unwrap();
    std::fs::write(tree.join("motd.txt"), "Hello").unwrap();
    std::fs::write(tree.join(".hidden"), "no").unwrap();
    desk.run(&["import", "app", &tree.display().to_string()]).ends(0);
    assert_eq!(desk.run(&["get", "app", "db/pool.json"]).ends(0).out.trim_end(), "{\"max\": 3}");
    assert_eq!(desk.run(&["get", "app", "motd.txt"]).ends(0).out.trim_end(), "Hello");
    let keys = desk.run(&["list", "app", "--json", "--keys-only"]).ends(0).out;
    assert!(!keys.contains("hidden"), "{keys}");
    desk.run(&["import", "app", "/nonexistent"]).ends(1);
}

/// `headwater watch`, line by line. Dropped: gone.
struct Watch {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Watch {
    fn start(server: &str, args: &[&str]) -> Self {
        let mut process = command(server, args).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { process, lines }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Watch {
    /// It begins at the head as of its start, which nothing tells: so changes are made until one has arrived.
    fn first(&self, desk: &Desk) -> Value {
        let line = (1..60).find_map(|value: u64| {
            desk.run(&["put", "demo", "k", &value.to_string()]).ends(0);
            self.lines.recv_timeout(Duration::from_millis(500)).ok()
        });
        serde_json::from_str(&line.expect("a change arrives")).unwrap()
    }
}

#[test]
fn watch_prints_each_commit_of_its_namespaces_as_it_is_applied() {
    let desk = Desk::open();
    let watch = Watch::start(&desk.stand.server.url(), &["watch", "demo", "--json"]);
    assert_eq!(watch.first(&desk)["changes"][0]["key"], "k");
    desk.run(&["put", "other", "k", "1"]).ends(0);
    desk.run(&["put", "demo", "x", "7", "-m", "to see it"]).ends(0);
    desk.run(&["delete", "demo", "x"]).ends(0);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let line = watch.lines.recv_timeout(Duration::from_secs(30)).expect("each arrives");
        let commit: Value = serde_json::from_str(&line).unwrap();
        let change = &commit["changes"][0];
        assert_eq!(change["namespace"], "demo", "{commit}");
        if change["key"] == "x" {
            seen.push((change["op"].clone(), change["value"].clone(), commit["reason"].clone()));
        }
    }
    let put = (json!("put"), json!(7), json!("to see it"));
    assert_eq!(seen, [put, (json!("delete"), Value::Null, Value::Null)]);
}

#[test]
fn watch_ends_after_its_count() {
    let desk = Desk::open();
    let args = ["watch", "demo", "--json", "--count", "1"];
    let mut watch = Watch::start(&desk.stand.server.url(), &args);
    watch.first(&desk);
    assert_eq!(watch.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_wrong_setting_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headwater.toml");
    std::fs::write(&file, "lissten = \"127.0.0.1:1\"\n").unwrap();
    let mut command = command("", &["serve", "--config"]);
    command.arg(&file).arg("--data").arg(dir.path());
    let ran = Ran::from(command.output().unwrap()).ends(1);
    assert!(ran.err.contains("lissten"), "{}", ran.err);
}
