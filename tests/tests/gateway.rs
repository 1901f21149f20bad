//! The LLM gateway of the examples, as a program: live answers, no restart, no server needed to go on.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headwater_tests::http::{Ask, ask};
use headwater_tests::process::{Headwater, binary};

/// How long anything here may take at most.
const SOON: Duration = Duration::from_secs(30);

/// A running gateway. Dropped: gone.
struct Gateway {
    process: Child,
    host: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Gateway {
    fn start(relay: &str, cache: &str) -> Self {
        let program: PathBuf = binary().with_file_name("llm-gateway");
        let mut command = Command::new(program);
        command
            .args(["--relay", relay, "--listen", "127.0.0.1:0", "--cache", cache])
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("`make build` builds the gateway, too");
        let lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let told: Vec<String> = lines.map_while(Result::ok).take(2).collect();
        let host = told
            .last()
            .and_then(|line| Some(line.split_once("http://")?.1.split_once('/')?.0.to_owned()));
        let host = host.unwrap_or_else(|| panic!("the gateway did not start: {told:?}"));
        Self { process, host }
    }

    async fn model(&self, name: &str) -> (u16, serde_json::Value) {
        let answer = ask(&self.host, &Ask::get(format!("/models/{name}"))).await;
        (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
    }

    /// Asks until the answer is as wanted.
    async fn until(&self, name: &str, wanted: impl Fn(u16, &serde_json::Value) -> bool) {
        let deadline = Instant::now() + SOON;
        loop {
            let (status, answer) = self.model(name).await;
            if wanted(status, &answer) {
                return;
            }
            assert!(Instant::now() < deadline, "still {status}: {answer}");
        }
    }
}

fn put(server: &Headwater, name: &str, price: &str) {
    let model = format!(
        r#"{{"provider": "p", "mode": "chat", "context": {{"input": 8, "output": null}}, "prices": {{"in": {price}}}}}"#
    );
    let put = Command::new(binary())
        .args(["put", "llm.models", name, &model, "--server", &server.url()])
        .output();
    let put = put.expect("the binary runs");
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
}

#[tokio::test]
async fn a_price_changes_in_a_running_gateway_and_stays_when_the_server_dies() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut server = Headwater::serve(&dir.path().join("data"), &[]);
    put(&server, "openai/gpt-4o", "2.5e-06");
    let cache = dir.path().join("cache").display().to_string();
    let gateway = Gateway::start(&server.url(), &cache);
    // A name may hold a slash, as it stands or encoded.
    for name in ["openai/gpt-4o", "openai%2Fgpt-4o"] {
        let (status, answer) = gateway.model(name).await;
        assert_eq!(
            (status, &answer["revision"], &answer["model"]["prices"]["in"]),
            (200, &1.into(), &2.5e-06.into())
        );
    }
    assert_eq!(gateway.model("no/such").await.0, 404);
    put(&server, "openai/gpt-4o", "5e-06");
    put(&server, "new", "1");
    gateway
        .until("openai/gpt-4o", |_, answer| {
            answer["revision"] == 2 && answer["model"]["prices"]["in"] == 5e-06
        })
        .await;
    gateway.until("new", |status, _| status == 200).await;
    server.kill9();
    assert_eq!(gateway.model("openai/gpt-4o").await.1["revision"], 2);
}

#[tokio::test]
async fn a_deleted_model_is_not_found_and_a_bad_one_keeps_its_last_good_facts() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Headwater::serve(&dir.path().join("data"), &[]);
    put(&server, "kept", "1");
    put(&server, "deleted", "1");
    let gateway = Gateway::start(&server.url(), &dir.path().join("cache").display().to_string());
    for name in ["kept", "deleted"] {
        assert_eq!(gateway.model(name).await.0, 200);
    }
    let run = |args: &[&str]| {
        Command::new(binary()).args(args).args(["--server", &server.url()]).status()
    };
    assert!(run(&["put", "llm.models", "kept", "\"not a model\""]).expect("it runs").success());
    assert!(run(&["delete", "llm.models", "deleted"]).expect("it runs").success());
    gateway.until("deleted", |status, _| status == 404).await;
    let (status, answer) = gateway.model("kept").await;
    assert_eq!((status, &answer["revision"]), (200, &1.into()));
}
