//! The command line as somebody meets it who has read nothing: what is typed wrong, where nobody sits at a terminal,
//! and where nobody listens.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headwater_tests::process::{Headwater, binary};
use headwater_tests::ran::{self, Ran};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server, and a folder to work in.
struct Desk {
    server: Headwater,
    dir: TempDir,
}

impl Desk {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { server: Headwater::serve(&dir.path().join("data"), &[]), dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = ran::command(&self.server.url(), args);
        command.current_dir(self.dir.path()).env("TMPDIR", self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    fn fed(&self, args: &[&str], input: &str) -> Ran {
        ran::fed(self.command(args), input)
    }

    /// Writes a file to work with.
    fn file(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn put(&self, key: &str, value: &str) {
        self.run(&["put", "demo", key, value]).ends(0);
    }

    fn revision(&self) -> u64 {
        self.run(&["status", "--json"]).ends(0).json()["revision"].as_u64().unwrap()
    }

    /// On a terminal of this many columns.
    fn on_terminal(&self, line: &str, columns: u16, environment: &[(&str, &str)]) -> Ran {
        let mut command = Command::new("script");
        let line = format!("stty cols {columns}; {} {line}", binary().display());
        command.args(["-qec", &line, "/dev/null"]).env("HEADWATER_SERVER", self.server.url());
        command.env("TERM", "xterm").env_remove("NO_COLOR").envs(environment.iter().copied());
        command.stdin(Stdio::null()).output().expect("script, of the package bsdutils, runs").into()
    }
}

#[test]
fn an_import_writes_only_what_differs_and_says_how_many_were_unchanged() {
    let desk = Desk::open();
    desk.file("a.json", r#"{"a": 1, "b": {"x":  1.50}, "c": 3}"#);
    desk.run(&["import", "demo", "a.json"]).ends(0).says("imported 3 keys").says("0 unchanged");
    let again = desk.run(&["import", "demo", "a.json"]).ends(0);
    again.says("nothing differs: 3 keys unchanged").says("nothing was written");
    let dry = desk.run(&["import", "demo", "a.json", "--dry-run", "--json"]).ends(0).json();
    assert_eq!((&dry["unchanged"], &dry["commits"]), (&json!(3), &json!(0)));
    assert_eq!(desk.revision(), 1);
    // One by its bytes, one by its white space alone, one not at all.
    desk.file("b.json", r#"{"a": 2, "b": {"x": 1.50}, "c": 3}"#);
    let dry = desk.run(&["import", "demo", "b.json", "--dry-run"]).ends(0);
    dry.says("would add 0 keys, change 2 and leave 1 unchanged, in 1 commit");
    let done = desk.run(&["import", "demo", "b.json", "--json"]).ends(0).json();
    assert_eq!(done, json!({"keys": 2, "deleted": 0, "unchanged": 1, "commits": 1, "revision": 2}));
    let written = desk.run(&["watch", "--after", "1", "--count", "2", "--json"]).ends(0).json();
    let keys: Vec<_> =
        written["changes"].as_array().unwrap().iter().map(|it| it["key"].clone()).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn an_import_compares_types_and_the_white_space_around_json_too() {
    let desk = Desk::open();
    desk.file("tree/a.json", " 1\n");
    desk.file("tree/b.txt", "1");
    desk.run(&["import", "demo", "tree"]).ends(0).says("imported 2 keys");
    desk.run(&["import", "demo", "tree"]).ends(0).says("nothing differs: 2 keys unchanged");
    desk.file("tree/a.json", "1\n ");
    desk.run(&["import", "demo", "tree"]).ends(0).says("imported 1 key ").says("1 unchanged");
    desk.run(&["put", "demo", "b.txt", "1", "-t", "text/html"]).ends(0);
    desk.run(&["import", "demo", "tree"]).ends(0).says("imported 1 key ").says("1 unchanged");
    let held = desk.run(&["get", "demo", "b.txt", "--json"]).ends(0).json();
    assert_eq!(held["content_type"], "text/plain");
    assert_eq!(desk.run(&["get", "demo", "a.json"]).ends(0).out, "1\n ");
}

#[test]
fn what_is_exported_is_imported_from_standard_input() {
    let desk = Desk::open();
    desk.put("db/pool", "{\"max\":  20}");
    desk.run(&["put", "demo", "motd", "Hello", "-t", "text/plain"]).ends(0);
    let lines = desk.run(&["export", "demo", "--format", "ndjson"]).ends(0).out;
    let import = ["import", "copy", "-", "--format", "ndjson"];
    desk.fed(&import, &lines).ends(0).says("imported 2 keys into copy");
    assert_eq!(desk.run(&["get", "copy", "db/pool"]).ends(0).out, "{\"max\":  20}");
    desk.fed(&import, &lines).ends(0).says("nothing differs");
    desk.fed(&["import", "json", "-"], "{\"k\": 1}").ends(0).says("imported 1 key");
    desk.fed(&["import", "json", "-"], "nonsense").ends(1).tells("standard input");
    desk.run(&["import", "json", "-", "--format", "xml"]).ends(2);
    desk.file("tree/a.json", "1");
    desk.run(&["import", "json", "tree", "--format", "json"]).ends(2).tells("--format");
}

#[test]
fn an_empty_export_empties_a_namespace_and_a_file_with_nothing_in_it_does_not() {
    let desk = Desk::open();
    let empty = desk.run(&["export", "nobody"]).ends(0).out;
    desk.file("empty.json", &empty);
    desk.put("a", "1");
    desk.run(&["import", "demo", "empty.json"]).ends(0).says("nothing differs");
    // The end of a pipe whose other end failed.
    let broken = desk.fed(&["import", "demo", "-", "--format", "ndjson", "--prune"], "").ends(1);
    broken.tells("nothing to import");
    fs::create_dir(desk.dir.path().join("folder")).unwrap();
    desk.run(&["import", "demo", "folder", "--prune"]).ends(1).tells("nothing to import");
    let dry = desk.run(&["import", "demo", "empty.json", "--prune", "--dry-run"]).ends(0);
    dry.says("would delete a");
    desk.run(&["get", "demo", "a"]).ends(0);
    desk.run(&["import", "demo", "empty.json", "--prune"]).ends(0).says("deleted 1");
    desk.run(&["get", "demo", "a"]).ends(4);
    desk.put("a", "1");
    desk.run(&["export", "nobody", "--format", "tree", "-o", "tree"]).ends(0);
    desk.run(&["import", "demo", "tree", "--prune"]).ends(0).says("deleted 1");
}

#[test]
fn an_edit_that_nobody_can_agree_to_is_a_usage_error_before_the_editor_starts() {
    let desk = Desk::open();
    desk.put("k", "1");
    let mut command = desk.command(&["edit", "demo", "k"]);
    command.env("EDITOR", "touch started; echo 2 >");
    let refused = Ran::from(command.output().unwrap()).ends(2);
    refused.tells("standard input is no terminal").tells("--yes");
    assert!(!desk.dir.path().join("started").exists());
    assert_eq!(desk.revision(), 1);
    let mut command = desk.command(&["edit", "demo", "k", "--yes"]);
    Ran::from(command.env("EDITOR", "echo 2 >").output().unwrap()).ends(0);
    assert_eq!(desk.revision(), 2);
}

#[test]
fn json_is_printed_by_an_edit_and_a_rollback_that_write_nothing() {
    let desk = Desk::open();
    desk.put("k", "1");
    desk.put("k", "2");
    let edit = |editor: &str, input: &str| {
        let mut command = desk.command(&["edit", "demo", "k", "--json"]);
        command.env("EDITOR", editor).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::from(child.wait_with_output().unwrap()).ends(0)
    };
    let nothing = json!({"revision": 2, "commit_id": null, "changes": []});
    assert_eq!(edit("true", "").json(), nothing);
    let declined = edit("echo 3 >", "n\n");
    assert_eq!(declined.json(), nothing);
    declined.tells("your text is in");
    // On a terminal everything is seen: what programs read goes into a file.
    let back = "rollback demo --to 1 -m back --json > rollback.json";
    let dir = desk.dir.path().to_path_buf();
    let mut command = Command::new("script");
    let line = format!("cd {} && {} {back}", dir.display(), binary().display());
    command.args(["-qec", &line, "/dev/null"]).env("HEADWATER_SERVER", desk.server.url());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("script, of the package bsdutils, runs");
    child.stdin.take().unwrap().write_all(b"n\n").unwrap();
    Ran::from(child.wait_with_output().unwrap()).ends(0).says("Take 1 key back");
    let told: Value =
        serde_json::from_slice(&fs::read(dir.join("rollback.json")).unwrap()).unwrap();
    assert_eq!(told, nothing);
}

#[test]
fn manual_pages_say_in_json_where_they_are_and_completions_are_a_script_only() {
    let desk = Desk::open();
    assert_eq!(desk.run(&["man", "pages", "--json"]).ends(0).json(), json!({"dir": "pages"}));
    let refused = desk.run(&["completions", "bash", "--json"]).ends(2);
    assert_eq!(refused.out, "");
    refused.tells("--json");
    desk.run(&["completions", "--help"]).ends(0).says("takes no --json");
}

#[test]
fn preconditions_are_told_in_flags_with_the_next_step() {
    let desk = Desk::open();
    desk.put("k", "1");
    desk.put("k", "2");
    let taken = desk.run(&["put", "demo", "k", "3", "--if-absent"]).ends(5);
    taken.tells("last changed by revision 2").tells("--if-revision 2 instead of --if-absent");
    let old = desk.run(&["put", "demo", "k", "3", "--if-revision", "1"]).ends(5);
    old.tells("`headwater get demo k`").tells("--if-revision 2");
    let gone = desk.run(&["put", "demo", "no", "3", "--if-exists"]).ends(5);
    gone.tells("the key is absent").tells("leave --if-exists out");
    desk.run(&["delete", "demo", "k", "--if-revision", "1"]).ends(5).tells("--if-revision 2");
    let back = ["rollback", "demo", "--to", "1", "-m", "x", "--base-revision", "1"];
    let changed = desk.run(&back).ends(5).tells("should not have changed after 1");
    changed.tells("--dry-run");
    desk.file("set.yaml", "changes: [{namespace: demo, key: no, delete: true}]\n");
    let set = desk.run(&["commit", "-f", "set.yaml"]).ends(5);
    set.tells("demo/no is absent, and should be there").tells("in the file");
    for future in
        [&["get", "demo", "k", "--at", "99"][..], &["rollback", "demo", "--to", "99", "-m", "x"]]
    {
        desk.run(future).ends(4).tells("the newest is 2").tells("`headwater status`");
    }
    let once = ["put", "demo", "k", "3", "--idempotency-key", "one"];
    desk.run(&once).ends(0);
    let other = ["put", "demo", "k", "4", "--idempotency-key", "one"];
    desk.run(&other).ends(1).tells("--idempotency-key was used for another write");
    desk.run(&["rollback", "demo", "--to", "1", "-m", ""]).ends(2).tells("--reason");
}

#[test]
fn no_message_speaks_of_headers_fields_or_the_parsers_own_calls() {
    let desk = Desk::open();
    desk.put("k", "1");
    desk.file("twice.yaml", "changes: []\nchanges: []\n");
    desk.file("two.yaml", "changes: []\n---\nchanges: []\n");
    desk.file("null.yaml", "changes: [{namespace: demo, key: k, put: {value: {null: 1}}}]\n");
    desk.file("empty.yaml", "\n");
    desk.file("bad.json", "{\"changes\": [}");
    fs::write(desk.dir.path().join("bytes.yaml"), b"changes: \xff").unwrap();
    let files = ["twice.yaml", "two.yaml", "null.yaml", "empty.yaml", "bad.json", "bytes.yaml"];
    let of_files = files.map(|file| (vec!["commit", "-f", file], file));
    let others = [
        (vec!["put", "demo", "k", "Hello"], "--content-type text/plain"),
        (vec!["put", "demo", "k", "1", "--if-absent"], "revision 1"),
        (vec!["get", "demo", "k", "--at", "9"], "the newest is 1"),
        (vec!["put", "demo", "k", "1", "--idempotency-key", ""], "--idempotency-key must be"),
        (vec!["edit", "demo", "k"], "--yes"),
    ];
    for (args, says) in of_files.into_iter().chain(others) {
        let ran = desk.run(&args);
        assert!(ran.code > 0, "{args:?}");
        let told = ran.tells(says).err;
        for leak in [
            "min_revision",
            "failures",
            "Content-Type",
            "Idempotency-Key",
            "Retry-After",
            "/v1/",
            "Options",
            "Option<",
            "from_str",
            "<input>",
            "panicked",
        ] {
            assert!(!told.contains(leak), "{leak} in {told}");
        }
    }
}

#[test]
fn a_server_may_be_typed_without_http_and_what_is_no_server_is_a_usage_error() {
    let desk = Desk::open();
    let host = desk.server.host().to_owned();
    let run = |args: &[&str], server: &str| {
        let mut command = Command::new(binary());
        Ran::from(command.args(args).env("HEADWATER_SERVER", server).output().unwrap())
    };
    run(&["status"], &host).ends(0);
    run(&["status", "--server", &host], "").ends(0);
    run(&["doctor", "--server", &host], "").ends(0);
    run(&["audit", "log", "--server", &host], "").ends(0);
    for wrong in ["", "ftp://x", "http://", "foo bar", "http://x/?a=b"] {
        let refused = run(&["status", "--server", wrong], &host).ends(2);
        refused.tells("--server").tells("http://127.0.0.1:7070");
    }
    let nobody = run(&["get", "demo", "k", "--server", "127.0.0.1:9"], &host).ends(3);
    nobody.tells("http://127.0.0.1:9 cannot be reached").tells("headwater serve");
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let desk = Desk::open();
    let many: serde_json::Map<String, Value> =
        (0..3_000).map(|n| (format!("k{n}"), json!("x".repeat(100)))).collect();
    desk.file("many.json", &Value::Object(many).to_string());
    desk.run(&["import", "demo", "many.json"]).ends(0);
    for args in [
        &["list", "demo"][..],
        &["list", "demo", "--json"],
        &["export", "demo"],
        &["export", "demo", "--format", "ndjson"],
        &["diff", "demo", "0"],
        &["watch", "demo", "--after", "0"],
        &["completions", "zsh"],
    ] {
        let mut command = desk.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        drop(out);
        let ran = Ran::from(child.wait_with_output().unwrap()).ends(0);
        assert!(
            !ran.err.contains("panicked") && !ran.err.contains("pipe"),
            "{args:?}: {}",
            ran.err
        );
    }
}

#[test]
fn what_cannot_be_told_changes_no_exit_code() {
    let desk = Desk::open();
    desk.put("k", "1");
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for (args, code) in [
        (&["list", "demo"][..], 0),
        (&["export", "demo"], 0),
        (&["diff", "demo", "0"], 0),
        (&["rollback", "demo", "--to", "0", "-m", "x", "--dry-run"], 0),
        (&["watch", "demo", "--after", "0", "--count", "1"], 0),
        (&["get", "demo", "absent"], 4),
    ] {
        let mut command = desk.command(args);
        Ran::from(command.stderr(full()).output().unwrap()).ends(code);
        if code == 0 {
            let mut command = desk.command(args);
            Ran::from(command.stdout(full()).output().unwrap()).ends(1).tells("standard output");
        }
    }
}

#[test]
fn a_count_of_nothing_is_a_usage_error() {
    let desk = Desk::open();
    desk.put("k", "1");
    desk.run(&["history", "demo", "k", "-n", "0"]).ends(2);
    desk.run(&["watch", "demo", "--count", "0"]).ends(2);
}

/// The texts that an editor left.
fn left(dir: &Path) -> Vec<String> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let drafts = paths.filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("headwater-"))
    });
    drafts.map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn ctrl_c_in_the_editor_is_the_editors_and_at_the_question_loses_no_text() {
    let desk = Desk::open();
    desk.put("k", "1");
    let mut command = desk.command(&["edit", "demo", "k"]);
    // It waits until it is told to go on, so that the interrupt comes while it runs.
    command.env("EDITOR", "mkfifo go; touch started; cat go; echo 2 >");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let give_up = Instant::now() + Duration::from_secs(30);
    while !desk.dir.path().join("started").exists() {
        assert!(Instant::now() < give_up, "the editor starts");
        std::thread::sleep(Duration::from_millis(10));
    }
    interrupt(&child);
    fs::write(desk.dir.path().join("go"), "on").unwrap();
    let mut told = Vec::new();
    let mut err = child.stderr.take().unwrap();
    while !String::from_utf8_lossy(&told).contains("[y/N]") {
        let mut byte = [0];
        assert_eq!(err.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&told));
        told.extend(byte);
    }
    interrupt(&child);
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("ended by SIGINT") && rest.contains("your text is in"), "{rest}");
    assert_eq!((left(desk.dir.path()), desk.revision()), (vec!["2\n".to_owned()], 1));
}

#[test]
fn colours_and_local_times_are_for_a_terminal_that_takes_them() {
    let desk = Desk::open();
    desk.put("k", "1");
    desk.put("k", "2");
    let zone = ("TZ", "Etc/GMT-3");
    desk.on_terminal("diff demo 1", 80, &[]).ends(0).says("\u{1b}[32m+2\u{1b}[0m");
    for off in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = desk.on_terminal("diff demo 1", 80, &[off]).ends(0);
        assert!(!plain.out.contains('\u{1b}'), "{}", plain.out);
    }
    let piped = desk.run(&["diff", "demo", "1"]).ends(0);
    assert!(!piped.out.contains('\u{1b}'), "{}", piped.out);
    desk.on_terminal("history demo k", 80, &[zone]).ends(0).says(" +03");
    let json = desk.on_terminal("history demo k --json", 80, &[zone]).ends(0);
    assert!(json.out.contains("Z\"") && !json.out.contains("+03"), "{}", json.out);
    // A narrow terminal breaks lines by itself: a row stays one line, to be copied whole.
    let narrow = desk.on_terminal("history demo k", 20, &[]).ends(0);
    assert_eq!(narrow.out.lines().count(), 3, "{}", narrow.out);
}

#[test]
fn no_home_and_no_terminal_type_are_needed() {
    let desk = Desk::open();
    desk.put("k", "1");
    let mut command = Command::new(binary());
    command.args(["list", "demo"]).env_clear().env("HEADWATER_SERVER", desk.server.url());
    Ran::from(command.output().unwrap()).ends(0).says("k    1");
}

#[test]
fn what_is_too_large_or_endless_is_refused_by_name() {
    let desk = Desk::open();
    desk.file("big", &"1".repeat(300_000));
    desk.run(&["put", "demo", "big", "@big"]).ends(1).tells("the most is 262144");
    desk.run(&["put", "demo", "big", "@/dev/zero"]).ends(1).tells("/dev/zero: it is larger than");
    desk.run(&["commit", "-f", "/dev/zero"]).ends(1).tells("/dev/zero: it is larger than");
    desk.run(&["put", "demo", "big", "@data"]).ends(1).tells("data: ");
    desk.run(&["commit", "-f", "data"]).ends(1).tells("data: ");
}

#[test]
fn an_export_that_json_cannot_say_prints_nothing() {
    let desk = Desk::open();
    desk.put("a", "1");
    desk.run(&["put", "demo", "motd", "Hello", "-t", "text/plain"]).ends(0);
    let refused = desk.run(&["export", "demo"]).ends(1);
    assert_eq!(refused.out, "");
    refused.tells("motd is text/plain").tells("--format ndjson");
}
