//! `headwater doctor`: a healthy stand has no failure, and each sick one is told with its cure.

use std::process::{Command, Output};

use headwater_tests::broker::{self, free_port};
use headwater_tests::http::{Ask, ask};
use headwater_tests::process::{Headwater, binary};
use headwater_tests::secure::{self, GUEST, READER, SecureBroker, USER};
use headwater_tests::stand::{Log, Stand, bounded};
use headwater_tests::topic;
use serde_json::Value;

/// What the doctor found, and its exit status.
struct Report {
    code: i32,
    findings: Vec<Value>,
    text: String,
}

impl Report {
    fn of(arguments: &[&str]) -> Self {
        let Output { status, stdout, stderr } = Command::new(binary())
            .args(["doctor", "--json", "--kafka-connect-timeout-ms", "3000"])
            .args(arguments)
            .current_dir(std::env::temp_dir())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&stdout).into_owned();
        let findings = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text}\n{}", String::from_utf8_lossy(&stderr));
        });
        Self { code: status.code().unwrap(), findings, text }
    }

    fn verdict(&self, check: &str) -> &str {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        let found = found.unwrap_or_else(|| panic!("{check} was not checked: {}", self.text));
        found["verdict"].as_str().unwrap()
    }

    /// It failed, and for one of its findings both `what` and the cure are told.
    fn fails(&self, what: &str, cure: &str) {
        assert_eq!(self.code, 1, "{}", self.text);
        let told = self.findings.iter().any(|finding| {
            finding["verdict"] == "failed"
                && finding["detail"].as_str().unwrap().contains(what)
                && finding["mend"].as_str().unwrap().contains(cure)
        });
        assert!(told, "{what}, {cure}: {}", self.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_stand_has_no_failure_and_servers_that_agree() {
    let claim = async {
        let stand = Stand::start(Log::Kafka);
        let put = stand.ask(Ask::put("/v1/config/app/limit", "1")).await.is(201);
        let other = stand.another();
        let read = format!("/v1/config/app/limit?min_revision={}&timeout=20s", put.revision());
        other.ask(Ask::get(read)).await.is(200);
        let (one, two) = (stand.server.url(), other.server.url());
        let data = stand.data().display().to_string();
        let report = Report::of(&[
            "--kafka",
            broker::shared(),
            "--stream",
            stand.stream(),
            "--server",
            &one,
            "--server",
            &two,
            "--data",
            &data,
            "--write",
        ]);
        assert_eq!(report.code, 0, "{}", report.text);
        for check in [
            "broker versions",
            "table",
            "lease",
            "topic",
            "copies",
            "records",
            "clock",
            "write",
            "agreement",
            "data directory",
            &one,
            &two,
        ] {
            assert_eq!(report.verdict(check), "ok", "{check}: {}", report.text);
        }
        assert_eq!(report.verdict("brokers"), "warning", "one broker is not many");
        assert_eq!(stand.status().await.revision, 1, "a marker is no commit");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_and_servers_that_are_not_there_are_failures() {
    let claim = async {
        let (kafka, server) =
            (format!("127.0.0.1:{}", free_port()), format!("http://127.0.0.1:{}", free_port()));
        let report = Report::of(&["--kafka", &kafka, "--server", &server]);
        report.fails(&kafka, "see that the brokers run");
        assert_eq!(report.verdict(&server), "failed");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_would_lose_commits_fails_with_the_command_that_mends_it() {
    let claim = async {
        let stream = topic::fresh_name("doctor");
        let wrong = [("cleanup.policy", "compact"), ("retention.ms", "1000")];
        topic::create(broker::shared(), &format!("{stream}.commits"), 1, &wrong).await;
        let report = Report::of(&["--kafka", broker::shared(), "--stream", &stream]);
        report.fails("cleanup.policy is compact", "--add-config cleanup.policy=delete");
        report.fails("retention.ms is 1000", "--add-config retention.ms=-1");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_a_warning_unless_nobody_may_make_it() {
    let claim = async {
        let stream = topic::fresh_name("doctor");
        let flags = ["--kafka", broker::shared(), "--stream", &stream];
        let report = Report::of(&flags);
        assert_eq!((report.code, report.verdict("topic")), (0, "warning"), "{}", report.text);
        let report = Report::of(&[&flags[..], &["--kafka-create-topic", "false"]].concat());
        report.fails("does not exist", "kafka-topics.sh");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_and_a_wrong_password_are_told_apart() {
    let claim = async {
        let secure = SecureBroker::shared();
        let kafka = secure.bootstrap();
        let report = |who| {
            let flags = secure::flags(&secure.properties(who));
            let flags: Vec<_> = flags.iter().map(String::as_str).collect();
            Report::of(&[&["--kafka", &kafka, "--stream", "doctor"][..], &flags].concat())
        };
        report(GUEST).fails("do not show the topic", "kafka-acls.sh");
        let wrong = report((GUEST.0, "hunter2-hunter2"));
        wrong.fails("do not trust each other", "password");
        assert!(!wrong.text.contains("hunter2"), "{}", wrong.text);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_may_only_read_fails_the_trial_to_write() {
    let claim = async {
        let secure = SecureBroker::shared();
        secure.allow(READER, &["Read", "Describe", "DescribeConfigs"]);
        let (data, kafka) = (tempfile::tempdir().unwrap(), secure.bootstrap());
        let stream = topic::fresh_name("doctor");
        let as_user = secure::flags(&secure.properties(USER));
        let as_user: Vec<_> = as_user.iter().map(String::as_str).collect();
        let log = ["--kafka", &kafka, "--stream", &stream];
        let _server = Headwater::serve(data.path(), &[&log[..], &as_user].concat());
        let as_reader = secure::flags(&secure.properties(READER));
        let as_reader: Vec<_> = as_reader.iter().map(String::as_str).collect();
        let report = Report::of(&[&log[..], &["--write"], &as_reader].concat());
        report.fails("took no marker", "--operation Write");
        assert_eq!(report.verdict("records"), "ok", "{}", report.text);
        let report = Report::of(&[&log[..], &["--write"], &as_user].concat());
        assert_eq!(report.verdict("write"), "ok", "{}", report.text);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_is_not_written_to_before_its_stream_is_founded() {
    let claim = async {
        let stream = topic::fresh_name("doctor");
        let settings = [("cleanup.policy", "delete"), ("message.timestamp.type", "LogAppendTime")];
        topic::create(broker::shared(), &format!("{stream}.commits"), 1, &settings).await;
        let report = Report::of(&["--kafka", broker::shared(), "--stream", &stream, "--write"]);
        assert_eq!(report.verdict("write"), "warning", "{}", report.text);
        assert!(report.text.contains("ends at position 0"), "{}", report.text);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_log_is_a_failure_with_its_alarm() {
    let claim = async {
        let stand = Stand::start(Log::Kafka);
        stand.ask(Ask::put("/v1/config/app/limit", "1")).await.is(201);
        let topic = format!("{}.commits", stand.stream());
        topic::delete(broker::shared(), &topic).await;
        topic::create(broker::shared(), &topic, 1, &[("message.timestamp.type", "LogAppendTime")])
            .await;
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(90);
        while stand.status().await.phase != "read_only" {
            assert!(tokio::time::Instant::now() < deadline, "{}", stand.server.log());
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let url = stand.server.url();
        Report::of(&["--server", &url]).fails("not_on_this_log", "docs/operations.md");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_two_streams_are_a_failure() {
    let claim = async {
        let (one, two) = (Stand::start(Log::Embedded), Stand::start(Log::Embedded));
        let report = Report::of(&["--server", &one.server.url(), "--server", &two.server.url()]);
        report.fails("different streams", "--stream");
    };
    bounded(claim).await;
}

#[test]
fn a_person_reads_a_line_a_check_and_the_cure_below_it() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let output = Command::new(binary()).args(["doctor", "--server", &nobody]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains(&format!("FAILED   {nobody}: ")) && text.contains("\n         → "),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_does_not_hang_the_doctor() {
    let claim = async {
        let data = tempfile::tempdir().unwrap();
        let mut server = Headwater::serve(data.path(), &[]);
        ask(server.host(), &Ask::get("/healthz")).await.is(200);
        server.pause();
        let report = Report::of(&["--server", &server.url()]);
        server.resume();
        assert_eq!(report.code, 1, "{}", report.text);
    };
    bounded(claim).await;
}
