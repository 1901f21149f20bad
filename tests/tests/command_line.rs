//! The binary as a user meets it: output, exit codes, messages that say what to do next.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use headwater_tests::process::{Headwater, binary};

fn headwater(server: &str, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(args)
        .env("HEADWATER_SERVER", server)
        .env_remove("HEADWATER_LOG")
        .env_remove("RUST_LOG");
    command.output().expect("the binary runs")
}

/// Runs it, and gives its exit code, standard output and standard error.
fn run(server: &str, args: &[&str]) -> (i32, String, String) {
    let output = headwater(server, args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

fn code(server: &str, args: &[&str]) -> i32 {
    run(server, args).0
}

fn server() -> (tempfile::TempDir, Headwater) {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Headwater::serve(&dir.path().join("data"), &[]);
    (dir, server)
}

#[test]
fn a_value_comes_back_byte_by_byte() {
    let (dir, server) = server();
    let file = dir.path().join("value");
    std::fs::write(&file, b"\0\xFF\n").unwrap();
    let given = format!("@{}", file.display());
    assert_eq!(code(&server.url(), &["put", "demo", "raw", &given, "-t", "image/png"]), 0);
    assert_eq!(headwater(&server.url(), &["get", "demo", "raw"]).stdout, b"\0\xFF\n");
}

#[test]
fn exit_codes_are_as_documented() {
    let (_dir, server) = server();
    let url = server.url();
    assert_eq!(code(&url, &["put", "demo", "limit", "42", "--if-absent"]), 0);
    assert_eq!(code(&url, &["put", "demo", "limit", "42", "--if-absent"]), 5);
    assert_eq!(code(&url, &["put", "demo", "limit", "43", "--if-revision", "1"]), 0);
    assert_eq!(code(&url, &["delete", "demo", "limit", "--if-revision", "1"]), 5);
    assert_eq!(code(&url, &["get", "demo", "absent"]), 4);
    assert_eq!(code(&url, &["delete", "demo", "absent"]), 4);
    assert_eq!(code(&url, &["put", "demo", "limit", "not json"]), 1);
    assert_eq!(code(&url, &["put", "demo", "a//b", "1"]), 2);
    assert_eq!(code(&url, &["no-such-command"]), 2);
    assert_eq!(code("http://127.0.0.1:1", &["get", "demo", "limit"]), 3);
    assert_eq!(code("http://127.0.0.1:1", &["put", "demo", "limit", "1"]), 3);
    let (_, help, _) = run(&url, &["--help"]);
    assert!(help.contains("Exit codes:"), "{help}");
}

#[test]
fn errors_say_what_to_do_next() {
    let (_dir, server) = server();
    let (_, _, told) = run(&server.url(), &["put", "demo", "motd", "Hello"]);
    assert!(told.contains("--content-type text/plain"), "{told}");
    let (_, _, told) = run("http://127.0.0.1:1", &["status"]);
    assert!(told.contains("headwater serve"), "{told}");
}

#[test]
fn the_same_idempotency_key_lands_once() {
    let (_dir, server) = server();
    let put = ["put", "demo", "n", "1", "--idempotency-key", "once", "--json"];
    let (first, second) = (run(&server.url(), &put), run(&server.url(), &put));
    assert_eq!((first.0, &first.1), (0, &second.1));
}

#[test]
fn json_output_is_the_apis_own() {
    let (_dir, server) = server();
    let url = server.url();
    assert_eq!(code(&url, &["put", "demo", "limit", "42", "--actor", "ada", "-m", "why"]), 0);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&run(&url, args).1).expect("JSON")
    };
    assert_eq!(json(&["get", "demo", "limit", "--json"])["actor"], "ada");
    assert_eq!(json(&["list", "demo", "--json"])["value"], 42);
    assert_eq!(json(&["list", "--json"])["name"], "demo");
    assert_eq!(json(&["status", "--json"])["revision"], 1);
}

#[test]
fn an_import_is_previewed_applied_and_can_be_run_again() {
    let (dir, server) = server();
    let url = server.url();
    let models: Vec<String> =
        (0..2_345).map(|n| format!("\"models/m{n}\": {{\"price\": {n}.50}}")).collect();
    let file = dir.path().join("models.json");
    std::fs::write(&file, format!("{{{}}}", models.join(",\n"))).unwrap();
    let file = file.display().to_string();
    let (dry, told, _) = run(&url, &["import", "llm", &file, "--dry-run"]);
    assert!(dry == 0 && told.contains("would add 2345 keys"), "{told}");
    assert_eq!(code(&url, &["get", "llm", "models/m7"]), 4, "a dry run writes nothing");
    let (done, told, _) = run(&url, &["import", "llm", &file]);
    assert!(done == 0 && told.contains("imported 2345 keys into llm in 3 commits"), "{told}");
    let (again, told, _) = run(&url, &["import", "llm", &file]);
    assert!(again == 0 && told.contains("2345 keys unchanged"), "{told}");
    let (_, status, _) = run(&url, &["status", "--json"]);
    assert!(status.contains("\"revision\":3"), "the same again is no commit: {status}");
    let (_, value, _) = run(&url, &["get", "llm", "models/m7"]);
    assert_eq!(value, "{\"price\": 7.50}");
}

#[test]
fn a_directory_is_imported_file_by_file() {
    let (dir, server) = server();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("db")).unwrap();
    std::fs::write(tree.join("db/pool.json"), "{\"size\": 1}").unwrap();
    std::fs::write(tree.join("motd.txt"), "hi").unwrap();
    let path = tree.display().to_string();
    assert_eq!(code(&server.url(), &["import", "app", &path, "--strip-extension"]), 0);
    assert_eq!(run(&server.url(), &["get", "app", "db/pool"]).1, "{\"size\": 1}");
    assert_eq!(run(&server.url(), &["get", "app", "motd"]).1, "hi");
}

#[test]
fn a_watch_prints_the_changes_asked_for_as_they_arrive() {
    let (_dir, server) = server();
    let url = server.url();
    let watched = std::thread::scope(|scope| {
        let watching = scope
            .spawn(|| run(&url, &["watch", "demo", "--prefix", "db/", "--count", "2", "--json"]));
        // The watch begins at the head it finds: changes are made until it has seen enough.
        for n in 0.. {
            assert_eq!(code(&url, &["put", "demo", "db/pool", &n.to_string()]), 0);
            assert_eq!(code(&url, &["put", "demo", "other", "1"]), 0);
            if watching.is_finished() || n > 500 {
                break;
            }
        }
        watching.join().expect("no panic")
    });
    assert_eq!(watched.0, 0, "{}", watched.2);
    let lines: Vec<serde_json::Value> =
        watched.1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{}", watched.1);
    for line in lines {
        assert_eq!(
            (&line["changes"][0]["key"], line["changes"].as_array().unwrap().len()),
            (&"db/pool".into(), 1)
        );
    }
}

#[test]
fn a_watch_misses_nothing_when_its_server_starts_again() {
    let (_dir, mut server) = server();
    let url = server.url();
    let put = |n: u64| assert_eq!(code(&url, &["put", "demo", "k", &n.to_string()]), 0);
    (1..=3).for_each(put);
    let args = ["watch", "demo", "--after", "0", "--values", "both", "--count", "6", "--json"];
    let mut watching = Command::new(binary());
    watching.args(args).args(["--server", &url]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watching = watching.spawn().unwrap();
    let mut told = BufReader::new(watching.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.starts_with("watching from revision 0"), "{line}");
    put(4);
    assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    server.restart();
    (5..=6).for_each(put);
    let watched = watching.wait_with_output().unwrap();
    assert!(watched.status.success(), "{told:?}");
    let out = String::from_utf8(watched.stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, n) in lines.iter().zip(1u64..) {
        let change = &line["changes"][0];
        let old = change["old"]["value"].as_u64();
        assert_eq!((line["revision"].as_u64(), change["value"].as_u64()), (Some(n), Some(n)));
        assert_eq!(old, n.checked_sub(1).filter(|old| *old > 0), "{line}");
    }
    assert_eq!(lines.len(), 6, "{out}");
}

#[test]
fn a_watch_that_cannot_be_is_refused_with_the_cause() {
    let (_dir, server) = server();
    let url = server.url();
    let (both, _, told) = run(&url, &["watch", "demo", "--prefix", "a", "--key", "b"]);
    assert!(both == 2 && told.contains("--key"), "{told}");
    let (nobody, _, told) = run("http://127.0.0.1:9", &["watch", "demo"]);
    assert!(nobody == 3 && told.contains("headwater serve"), "{told}");
}

#[test]
fn a_server_drains_and_exits_0_with_a_stream_open_and_goes_on_where_it_was() {
    let (_dir, mut server) = server();
    let url = server.url();
    assert_eq!(code(&url, &["put", "demo", "n", "1"]), 0);
    let mut watching = Command::new(binary());
    watching.args(["watch", "demo", "--server", &url]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut watching = watching.spawn().unwrap();
    let mut told = BufReader::new(watching.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.starts_with("watching from revision 1"), "{line}");
    assert_eq!(server.terminate(Duration::from_secs(10)), 0);
    server.restart();
    assert_eq!(run(&url, &["get", "demo", "n"]).1, "1");
    assert_eq!(code(&url, &["put", "demo", "n", "2", "--if-revision", "1"]), 0);
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn a_second_server_on_the_same_data_or_port_is_refused_and_told_why() {
    let (dir, server) = server();
    let data = dir.path().join("data").display().to_string();
    let (failed, _, told) = run("", &["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
    assert!(failed == 1 && told.contains("another headwater process"), "{told}");
    let other = dir.path().join("other").display().to_string();
    let (failed, _, told) = run("", &["serve", "--data", &other, "--listen", server.host()]);
    assert!(failed == 1 && told.contains("--listen"), "{told}");
    assert!(!Path::new(&other).exists(), "a server that cannot listen leaves no data behind");
}

#[test]
fn settings_come_from_the_file_the_environment_and_flags_in_that_order() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("headwater.toml");
    let data = dir.path().join("from-environment").display().to_string();
    std::fs::write(
        &config,
        "data = \"/nonexistent/from-file\"\nstream = \"a\"\n[publisher]\nmax_changes = 1\n",
    )
    .unwrap();
    let config = config.display().to_string();
    let environment =
        [("HEADWATER_DATA", &*data), ("HEADWATER_STREAM", "b"), ("HEADWATER_CONFIG", &*config)];
    let mut server = Headwater::start_unready(&["serve", "--stream", "c"], &environment);
    server.wait_until_ready(Duration::from_secs(60));
    let (_, status, _) = run(&server.url(), &["status", "--json"]);
    assert!(status.contains("\"stream\":\"c\""), "{status}");
    let file = dir.path().join("two.json");
    std::fs::write(&file, "{\"a\": 1, \"b\": 2}").unwrap();
    let (refused, _, told) = run(&server.url(), &["import", "demo", &file.display().to_string()]);
    assert!(refused == 1 && told.contains("commit 1 of 1"), "{told}");
    assert!(Path::new(&data).join("log").exists());
}

#[test]
fn split_mode_without_kafka_is_refused_and_told_why() {
    for role in ["publisher", "snapshotter"] {
        let (failed, _, told) = run("", &[role]);
        assert!(
            failed == 1 && told.contains("--kafka") && told.contains("headwater serve"),
            "{told}"
        );
    }
}
