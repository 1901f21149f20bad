//! The commands that look back, change safely and move state about, against a real server: what they print, what they
//! write, and how they end.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater_tests::process::{Headwater, binary};
use headwater_tests::ran::{self, Ran};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server with its user.
struct Desk {
    server: Headwater,
    _data: TempDir,
}

impl Desk {
    fn open() -> Self {
        Self::open_in(&[])
    }

    fn open_in(environment: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self { server: Headwater::serve_in(data.path(), &[], environment), _data: data }
    }

    fn command(&self, args: &[&str]) -> Command {
        ran::command(&self.server.url(), args)
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    fn fed(&self, args: &[&str], input: &str) -> Ran {
        ran::fed(self.command(args), input)
    }

    fn put(&self, key: &str, value: &str) {
        self.run(&["put", "demo", key, value, "--actor", "ada", "-m", "because"]).ends(0);
    }

    fn value(&self, key: &str) -> String {
        self.run(&["get", "demo", key]).ends(0).out
    }

    fn revision(&self) -> u64 {
        self.run(&["status", "--json"]).ends(0).json()["revision"].as_u64().unwrap()
    }

    /// Runs `edit` with a script as the editor; `$0` is the file.
    fn edit(&self, dir: &Path, script: &str, args: &[&str], input: &str) -> Ran {
        let editor = dir.join("editor");
        fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.command(&[&["edit", "demo"], args].concat());
        command.env("EDITOR", &editor).env("TMPDIR", dir).env("BINARY", binary());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that ends without a question does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }
}

/// The texts that an editor left in a directory.
fn left(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let drafts = entries
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("headwater-"));
    drafts.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn headwater_by_itself_teaches_five_commands() {
    let ran: Ran = Command::new(binary()).output().unwrap().into();
    let taught = ran.ends(0);
    for command in ["serve", "put", "get", "watch", "rollback"] {
        assert!(taught.out.contains(&format!("  headwater {command} ")), "{}", taught.out);
    }
}

#[test]
fn history_tells_every_version_newest_first_deletions_included() {
    let desk = Desk::open();
    desk.put("db/pool", "1");
    desk.put("db/pool", "2");
    desk.run(&["delete", "demo", "db/pool", "-m", "gone"]).ends(0);
    let told = desk.run(&["history", "demo", "db/pool"]).ends(0).says("put v2").says("gone");
    let order: Vec<_> =
        ["delete", "put v2", "put v1"].iter().map(|what| told.out.find(what).unwrap()).collect();
    assert!(order.is_sorted(), "{}", told.out);
    assert!(!told.out.contains('\u{1b}'), "nobody sits at a terminal");
    let versions = desk.run(&["history", "demo", "db/pool", "--json"]).ends(0).lines();
    let ops: Vec<_> = versions.iter().map(|it| (&it["op"], it["revision"].as_u64())).collect();
    let wanted = [(json!("delete"), Some(3)), (json!("put"), Some(2)), (json!("put"), Some(1))];
    assert_eq!(ops, wanted.iter().map(|(op, revision)| (op, *revision)).collect::<Vec<_>>());
    let newest = desk.run(&["history", "demo", "db/pool", "--json", "-n", "1"]).ends(0).lines();
    assert_eq!(newest, versions[..1]);
    desk.run(&["history", "demo", "never"]).ends(4);
}

#[test]
fn a_diff_is_unified_and_leaves_out_what_was_put_again() {
    let desk = Desk::open();
    desk.put("a", "{\"max\": 20, \"min\": 1}");
    desk.put("same", "1");
    desk.put("a", "{\"max\": 40, \"min\": 1}");
    desk.put("same", "1");
    desk.put("new", "1");
    let told = desk.run(&["diff", "demo", "2"]).ends(0);
    let told = told.says("-  \"max\": 20,").says("+  \"max\": 40,").says("   \"min\": 1");
    let told = told.says("--- (absent)").says("+++ demo/new at revision 5");
    assert!(!told.out.contains("demo/same"), "{}", told.out);
    assert!(told.err.contains("2 keys differ from revision 2 to 5"), "{}", told.err);
    let back = desk.run(&["diff", "demo", "5", "2", "--prefix", "n", "--json"]).ends(0).lines();
    assert_eq!((&back[0]["kind"], back.len()), (&json!("removed"), 1));
    desk.run(&["diff", "demo", "99"]).ends(4);
    desk.run(&["diff", "demo", "yesterday"]).ends(2);
}

#[test]
fn values_and_lists_are_shown_as_they_were() {
    let desk = Desk::open();
    desk.put("a", "1");
    desk.put("a", "2");
    desk.put("b", "1");
    assert_eq!(desk.run(&["get", "demo", "a", "--at", "1"]).ends(0).out, "1");
    assert_eq!(desk.run(&["list", "demo", "--at", "2", "--json"]).ends(0).lines().len(), 1);
    desk.run(&["get", "demo", "b", "--at", "2"]).ends(4);
    desk.run(&["get", "demo", "a", "--at", "99"]).ends(4);
    assert_eq!(desk.run(&["get", "demo", "a", "--at", "2999-01-01T00:00:00Z"]).ends(0).out, "2");
}

#[test]
fn a_rollback_is_previewed_done_and_undone() {
    let desk = Desk::open();
    desk.put("db/pool", "{\"max\": 20}");
    desk.put("db/pool", "{\"max\": 2000}");
    desk.put("db/new", "1");
    let back = ["rollback", "demo", "--to", "1", "-m", "too large"];
    let shown = desk.run(&[&back[..], &["--dry-run"]].concat()).ends(0);
    shown.says("-  \"max\": 2000").says("+  \"max\": 20").says("+++ (absent)");
    assert_eq!(desk.revision(), 3, "a dry run writes nothing");
    desk.run(&[&back[..], &["--base-revision", "2"]].concat()).ends(5);
    desk.run(&[&back[..], &["--base-revision", "2", "--dry-run"]].concat()).ends(5);
    desk.run(&back).ends(0).says("2 keys are as at revision 1, by revision 4");
    assert_eq!(desk.value("db/pool"), "{\"max\": 20}");
    desk.run(&["get", "demo", "db/new"]).ends(4);
    desk.run(&back).ends(0).says("nothing differs from revision 1");
    let undone = ["rollback", "demo", "--key", "db/new", "--to", "3", "-m", "oh", "--json"];
    let receipt = desk.run(&undone).ends(0).json();
    assert_eq!(
        (&receipt["revision"], &receipt["changes"][0]["key"]),
        (&json!(5), &json!("db/new"))
    );
    let nothing = desk.run(&undone).ends(0).json();
    assert_eq!((&nothing["revision"], &nothing["commit_id"]), (&json!(5), &Value::Null));
    // A time: whatever was the head then, which nothing differs from.
    let now = ["rollback", "demo", "--to", "2999-01-01T00:00:00Z", "-m", "x"];
    desk.run(&now).ends(0).says("nothing differs from revision 5");
    desk.run(&["rollback", "demo", "--to", "99", "-m", "x"]).ends(4);
    desk.run(&["rollback", "demo", "--to", "1"]).ends(2);
    desk.run(&["rollback", "demo", "--to", "1", "-m", "x", "--key", "a", "--prefix", "a"]).ends(2);
}

/// Runs a command on a terminal, and types this.
fn typed(desk: &Desk, args: &[&str], input: &str, environment: &[(&str, &str)]) -> Ran {
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("{} {}", binary().display(), quoted.join(" "));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("HEADWATER_SERVER", desk.server.url());
    command.env("TERM", "xterm").env_remove("NO_COLOR").envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("script, of the package bsdutils, runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn on_a_terminal_a_rollback_is_shown_in_colours_and_asked_about_first() {
    let desk = Desk::open();
    desk.put("k", "1");
    desk.put("k", "2");
    let back = ["rollback", "demo", "--to", "1", "-m", "back"];
    let declined = typed(&desk, &back, "n\n", &[]).ends(0).says("\u{1b}[32m+1\u{1b}[0m");
    declined.says("Take 1 key back to revision 1?").says("nothing was changed");
    assert_eq!(desk.value("k"), "2");
    let agreed = typed(&desk, &back, "y\n", &[("NO_COLOR", "1")]).ends(0);
    assert!(!agreed.out.contains('\u{1b}'), "{}", agreed.out);
    assert_eq!(desk.value("k"), "1");
    let berlin = [("TZ", "Etc/GMT-1")];
    typed(&desk, &["history", "demo", "k"], "", &berlin).ends(0).says(" +01");
}

#[test]
fn a_change_set_from_a_file_or_standard_input_is_applied_whole_or_not_at_all() {
    let desk = Desk::open();
    let dir = tempfile::tempdir().unwrap();
    let yaml = "reason: sale\nchanges:\n  - namespace: demo\n    key: pool\n    put: {value: {z: 1, a: [true, null]}}\n  - namespace: demo\n    key: motd\n    put: {content_type: text/plain, value: Hello}\n    expect: {absent: true}\n";
    let file = dir.path().join("sale.yaml");
    fs::write(&file, yaml).unwrap();
    let file = file.display().to_string();
    desk.run(&["commit", "-f", &file, "--dry-run"]).ends(0).says("+++ demo/motd");
    assert_eq!(desk.revision(), 0);
    let receipt = desk.run(&["commit", "-f", &file, "--actor", "ada", "--json"]).ends(0).json();
    assert_eq!(receipt["changes"].as_array().unwrap().len(), 2);
    assert_eq!(desk.value("pool"), "{\"z\":1,\"a\":[true,null]}", "in the order of the file");
    let version = desk.run(&["history", "demo", "motd", "--json"]).ends(0).json();
    assert_eq!((&version["actor"], &version["reason"]), (&json!("ada"), &json!("sale")));
    desk.run(&["commit", "-f", &file]).ends(5);
    desk.run(&["commit", "-f", &file, "--dry-run", "--json"]).ends(5).json();
    let json =
        r#"{"changes": [{"namespace": "demo", "key": "pool", "put": {"value": {"x":  1.50}}}]}"#;
    desk.fed(&["commit", "-f", "-"], json).ends(0).says("1 change at revision 2");
    assert_eq!(desk.value("pool"), "{\"x\":  1.50}", "JSON keeps its bytes");
    desk.fed(&["commit", "-f", "-"], "changes: []\nreasn: x\n").ends(1);
    desk.run(&["commit", "-f", "/nonexistent"]).ends(1);
}

#[test]
fn a_value_is_edited_shown_asked_about_and_written() {
    let desk = Desk::open();
    let dir = tempfile::tempdir().unwrap();
    desk.put("pool", "{\"max\": 20}");
    let script = "sed -i 's/20/40/' \"$1\"; case $1 in *.json) ;; *) exit 9;; esac";
    let edited = desk.edit(dir.path(), script, &["pool", "-m", "more"], "y\n").ends(0);
    edited.tells("-  \"max\": 20").tells("+  \"max\": 40").says("set at revision 2");
    assert_eq!(desk.value("pool"), "{\"max\": 40}", "an editor's last line break is not meant");
    desk.edit(dir.path(), "true", &["pool"], "").ends(0).says("nothing was changed");
    assert_eq!(left(dir.path()), [""; 0]);
    let created =
        desk.edit(dir.path(), "echo 7 > \"$1\"", &["fresh", "--yes", "--json"], "").ends(0);
    assert_eq!(created.json()["version"], 1);
    assert_eq!((desk.value("fresh").as_str(), desk.revision()), ("7", 3));
    desk.edit(dir.path(), "exit 3", &["pool"], "").ends(1);
    assert_eq!(left(dir.path()), [""; 0], "nobody's work is in it");
}

#[test]
fn a_text_outlives_an_editor_that_fails_and_a_question_that_nobody_can_answer_or_see() {
    let desk = Desk::open();
    desk.put("k", "1");
    let failing = tempfile::tempdir().unwrap();
    let ran = desk.edit(failing.path(), "echo 2 > \"$1\"; exit 1", &["k"], "").ends(1);
    assert_eq!(left(failing.path()), ["2\n"]);
    ran.tells(failing.path().to_str().unwrap());
    let closed = tempfile::tempdir().unwrap();
    let ran = desk.edit(closed.path(), "echo 3 > \"$1\"", &["k"], "").ends(2);
    assert_eq!(left(closed.path()), ["3\n"]);
    ran.tells(closed.path().to_str().unwrap()).tells("--yes");
    // Standard input that cannot be read, and output that nobody takes.
    for full in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = desk.command(&["edit", "demo", "k"]);
        command.env("EDITOR", "echo 4 >").env("TMPDIR", dir.path());
        if full {
            fs::write(dir.path().join("answer"), "n\n").unwrap();
            command.stdin(fs::File::open(dir.path().join("answer")).unwrap());
            command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        } else {
            command.stdin(fs::File::open(dir.path()).unwrap());
        }
        let ran = Ran::from(command.stderr(Stdio::piped()).output().unwrap()).ends(1);
        assert_eq!(left(dir.path()), ["4\n"]);
        ran.tells(dir.path().to_str().unwrap());
    }
    assert_eq!(desk.value("k"), "1");
}

#[test]
fn a_text_that_is_not_written_is_kept_and_its_place_told() {
    let desk = Desk::open();
    let dir = tempfile::tempdir().unwrap();
    desk.put("k", "1");
    let declined = desk.edit(dir.path(), "echo 2 > \"$1\"", &["k"], "n\n").ends(0);
    assert_eq!((left(dir.path()), desk.value("k").as_str()), (vec!["2\n".to_owned()], "1"));
    declined.says(dir.path().to_str().unwrap());
    let taken = tempfile::tempdir().unwrap();
    let meanwhile = "\"$BINARY\" put demo k 100 >/dev/null; echo 3 > \"$1\"";
    let conflict = desk.edit(taken.path(), meanwhile, &["k", "--yes"], "").ends(5);
    assert_eq!((left(taken.path()), desk.value("k").as_str()), (vec!["3\n".to_owned()], "100"));
    assert!(conflict.err.contains(taken.path().to_str().unwrap()), "{}", conflict.err);
    let bad = tempfile::tempdir().unwrap();
    desk.edit(bad.path(), "echo nonsense > \"$1\"", &["k", "--yes"], "").ends(1);
    assert_eq!(left(bad.path()), ["nonsense\n"]);
}

/// Everything a namespace holds: key, type, bytes.
fn held(desk: &Desk, namespace: &str) -> Vec<(String, String, Vec<u8>)> {
    let listed = desk.run(&["list", namespace, "--json"]).ends(0).lines();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entry = |entry: Value| {
        let key = text(&entry["key"]);
        let bytes = desk.command(&["get", namespace, &key]).output().unwrap().stdout;
        (key, text(&entry["content_type"]), bytes)
    };
    listed.into_iter().map(entry).collect()
}

#[test]
fn what_is_exported_is_imported_byte_by_byte() {
    let (desk, empty) = (Desk::open(), Desk::open());
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    desk.put("db/pool", "{\"max\":  20.50,\n \"z\": 1, \"a\": 2}");
    desk.put("db/pool/nested", " 7 \n");
    desk.put("a.json", "1");
    let odd = [
        ("motd", "text/plain", "Hello\n"),
        (".hidden", "text/plain", ""),
        ("x/y", "text/x-lua", "é"),
        ("raw", "image/png", "\0\u{1}"),
    ];
    for (key, kind, value) in odd {
        fs::write(at("value"), value).unwrap();
        desk.run(&["put", "demo", key, &format!("@{}", at("value")), "-t", kind]).ends(0);
    }
    let wanted = held(&desk, "demo");
    assert_eq!(wanted.len(), 7);
    desk.put("later", "1");
    for (form, to) in [("ndjson", "demo.ndjson"), ("tree", "demo")] {
        let export = ["export", "demo", "--format", form, "-o", &at(to), "--at", "7", "--json"];
        let report = desk.run(&export).ends(0).json();
        assert_eq!((&report["entries"], &report["revision"]), (&json!(7), &json!(7)));
        let namespace = format!("from-{form}");
        empty.run(&["import", &namespace, &at(to)]).ends(0).says("imported 7 keys");
        assert_eq!(held(&empty, &namespace), wanted, "{form}");
    }
    assert_eq!(
        fs::read_to_string(at("demo/db/pool.json")).unwrap(),
        "{\"max\":  20.50,\n \"z\": 1, \"a\": 2}"
    );
    desk.run(&["export", "demo", "--format", "tree", "-o", &at("demo")]).ends(1);
    desk.run(&["export", "demo", "--format", "tree"]).ends(2);
    // What JSON cannot say is refused, and no file is left half written.
    let refused = desk.run(&["export", "demo", "-o", &at("demo.json")]).ends(1);
    assert!(refused.err.contains("--format ndjson") && !dir.path().join("demo.json").exists());
    let part = desk.run(&["export", "demo", "--prefix", "db/"]).ends(0);
    assert_eq!(part.json()["db/pool/nested"], 7);
    fs::write(at("part.json"), part.out).unwrap();
    empty.run(&["import", "part", &at("part.json")]).ends(0);
    assert_eq!(
        empty.run(&["get", "part", "db/pool"]).ends(0).out,
        "{\"max\":  20.50,\n \"z\": 1, \"a\": 2}"
    );
    assert_eq!(desk.run(&["export", "nobody"]).ends(0).json(), json!({}));
}

#[test]
fn a_pruning_import_lists_first_and_deletes_only_what_is_not_there() {
    let desk = Desk::open();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    fs::write(&file, "{\"kept\": 1, \"new\": 2}").unwrap();
    let file = file.display().to_string();
    for key in ["kept", "old", "older"] {
        desk.put(key, "1");
    }
    let import = ["import", "demo", &file, "--prune"];
    let dry = desk.run(&[&import[..], &["--dry-run"]].concat()).ends(0);
    dry.says("would delete old\nwould delete older")
        .says("would add 1 key, change 0, delete 2 and leave 1 unchanged, in 1 commit");
    let dry = desk.run(&[&import[..], &["--dry-run", "--json"]].concat()).ends(0).json();
    assert_eq!(dry["removed"], json!(["old", "older"]));
    assert_eq!(desk.revision(), 3, "nothing was written");
    desk.run(&import).ends(0).says("imported 1 key ").says("deleted 2").says("1 unchanged");
    assert_eq!(desk.revision(), 4, "one commit");
    let keys: Vec<_> = held(&desk, "demo").into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["kept", "new"]);
    desk.run(&["import", "demo", &file]).ends(0);
}

#[test]
fn a_snapshot_is_fetched_verified_and_looked_into_and_a_changed_byte_found() {
    let desk = Desk::open_in(&[("HEADWATER_SNAPSHOTTER__CUT_EVERY_SECONDS", "1")]);
    desk.put("db/pool", "20");
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("images").display().to_string();
    let give_up = Instant::now() + Duration::from_secs(90);
    let fetched = loop {
        let ran = desk.run(&["image", "fetch", &at, "--json"]);
        if ran.code == 0 || Instant::now() > give_up {
            break ran.ends(0).json();
        }
        assert_eq!(ran.code, 4, "{}", ran.err);
        std::thread::sleep(Duration::from_millis(200));
    };
    let file = fetched["file"].as_str().unwrap().to_owned();
    let newest = desk.run(&["image", "inspect", "--json"]).ends(0).json();
    assert_eq!(newest["hash"], fetched["hash"]);
    let inside = desk.run(&["image", "inspect", &file, "--json"]).ends(0).json();
    assert_eq!((&inside["digest"], &inside["revision"]), (&newest["digest"], &newest["revision"]));
    desk.run(&["image", "inspect", &file]).ends(0).says("NAMESPACE");
    desk.run(&["image", "inspect"]).ends(0).says("log position");
    let proved = desk.run(&["image", "verify", &file, "--json"]).ends(0).json();
    assert_eq!((&proved["verified"], &proved["blake3"]), (&json!(true), &newest["blake3"]));
    desk.run(&["image", "verify", &file]).ends(0).says("every digest holds");
    let mut bytes = fs::read(&file).unwrap();
    for at in [bytes.len() / 4, bytes.len() / 2, bytes.len() - 9] {
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        desk.run(&["image", "verify", &file]).ends(1);
        bytes[at] ^= 1;
    }
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    desk.run(&["image", "verify", &file, "--json"]).ends(1);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let run = |args: &[&str]| Ran::from(Command::new(binary()).args(args).output().unwrap());
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        run(&["completions", shell]).ends(0).says("rollback").says("base-revision");
    }
    run(&["completions", "tcsh"]).ends(2);
    let script = dir.path().join("headwater.bash");
    fs::write(&script, run(&["completions", "bash"]).out).unwrap();
    let parsed = Command::new("bash").arg("-n").arg(&script).status().unwrap();
    assert!(parsed.success());
    let pages = dir.path().join("man");
    run(&["man", &pages.display().to_string()]).ends(0);
    for page in ["headwater.1", "headwater-rollback.1", "headwater-image-fetch.1"] {
        let text = fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".SH"), "{page}: {text}");
    }
}
