//! Kafka behind TLS, passwords, tokens and rights: who may enters, and who may not is told why.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use headwater::Handle;
use headwater_tests::broker::{Options, free_port};
use headwater_tests::http::{Ask, ask};
use headwater_tests::process::Headwater;
use headwater_tests::secure::{self, AUTHORITY, GUEST, READER, SecureBroker, USER};
use headwater_tests::stand::{bounded, waits_for};
use headwater_tests::topic;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server of one role that reaches the secure broker in its own way.
struct Visit {
    server: Headwater,
    _data: TempDir,
}

impl Visit {
    fn begin(role: &str, stream: &str, properties: &[(String, String)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (path, kafka) = (data.path().display().to_string(), SecureBroker::shared().bootstrap());
        let properties = secure::flags(properties);
        let mut flags = vec![role, "--data", &path, "--stream", stream, "--kafka", &kafka];
        flags.extend(["--kafka-connect-timeout-ms", "4000"]);
        flags.extend(properties.iter().map(String::as_str));
        Self {
            server: Headwater::start_unready(&flags, &[("HEADWATER_LOG", "debug")]),
            _data: data,
        }
    }

    fn ready(mut self) -> Self {
        self.server.wait_until_ready(PATIENCE);
        self
    }

    /// What it says when it is refused for good.
    fn refusal(mut self) -> String {
        let code = self.server.wait(PATIENCE);
        assert_eq!(code, 1, "{}", self.server.log());
        self.server.log()
    }

    async fn put(&self, value: &str) {
        let put =
            ask(self.server.host(), &Ask::put("/v1/config/app/limit", value.to_owned())).await;
        assert!(matches!(put.status, 200 | 201), "{}\n{}", put.text(), self.server.log());
    }
}

fn with(mut properties: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    properties.retain(|(other, _)| other != name);
    properties.push((name.to_owned(), value.to_owned()));
    properties
}

fn shows_no_password(text: &str) {
    for (_, password) in [USER, READER, GUEST] {
        assert!(!text.contains(password), "a password was printed: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_and_an_sdk_pass_tls_and_a_password_and_neither_is_ever_printed() {
    let claim = async {
        let (secure, stream) = (SecureBroker::shared(), topic::fresh_name("secure"));
        let publisher = Visit::begin("publisher", &stream, &secure.properties(USER)).ready();
        publisher.put("42").await;
        let builder =
            headwater::Client::builder().kafka(secure.bootstrap(), &stream).namespaces(["app"]);
        let builder = secure
            .properties(USER)
            .into_iter()
            .fold(builder, |builder, (name, value)| builder.kafka_config(name, value));
        shows_no_password(&format!("{builder:?}"));
        let service = builder.startup_timeout(PATIENCE).connect().await.unwrap();
        let limit: Handle<u64> = service.handle("limit").unwrap();
        assert_eq!(*limit.load(), 42);
        service.close().await;
        shows_no_password(&publisher.server.log());
        let status = ask(publisher.server.host(), &Ask::get("/v1/status")).await.text();
        shows_no_password(&status);
        assert!(status.contains("cluster_id"), "{status}");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused_and_the_message_names_it() {
    let claim = async {
        let other = tempfile::tempdir().unwrap();
        secure::certificates(other.path());
        let other = other.path().join(AUTHORITY).display().to_string();
        let properties = with(SecureBroker::shared().properties(USER), "ssl.ca.location", &other);
        let told = Visit::begin("publisher", &topic::fresh_name("secure"), &properties).refusal();
        assert!(
            told.contains("certificate verify failed") && told.contains("ssl.ca.location"),
            "{told}"
        );
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_the_message_says_so_without_it() {
    let claim = async {
        let properties =
            with(SecureBroker::shared().properties(USER), "sasl.password", "hunter2-hunter2");
        let told = Visit::begin("publisher", &topic::fresh_name("secure"), &properties).refusal();
        assert!(told.contains("authentication") && told.contains("credentials"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_tls_is_told_that_the_port_speaks_it_and_goes_on_trying() {
    let claim = async {
        let mut visit = Visit::begin("publisher", &topic::fresh_name("secure"), &[]);
        waits_for(&visit.server, "security.protocol").await;
        assert_eq!(visit.server.exit(), None);
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_is_ours_or_nobodys_ends_the_start_with_its_name() {
    let claim = async {
        for (name, reason) in
            [("acks", "acknowledged"), ("security.protokol", "No such configuration property")]
        {
            let properties = with(Vec::new(), name, "hunter2-hunter2");
            let told = Visit::begin("publisher", "secure", &properties).refusal();
            assert!(
                told.contains(name) && told.contains(reason) && !told.contains("hunter2"),
                "{told}"
            );
        }
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_describe_the_topic_is_told_and_ends() {
    let claim = async {
        let properties = SecureBroker::shared().properties(GUEST);
        let told = Visit::begin("publisher", &topic::fresh_name("secure"), &properties).refusal();
        assert!(told.contains("do not show the topic") && told.contains("Describe"), "{told}");
    };
    bounded(claim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_and_not_write_follows_and_is_told_why_it_is_no_publisher() {
    let claim = async {
        let (secure, stream) = (SecureBroker::shared(), topic::fresh_name("secure"));
        let publisher = Visit::begin("publisher", &stream, &secure.properties(USER)).ready();
        publisher.put("7").await;
        secure.allow(READER, &["Describe", "DescribeConfigs", "Read"]);
        let reader = secure.properties(READER);
        let snapshotter = Visit::begin("snapshotter", &stream, &reader).ready();
        let read = ask(snapshotter.server.host(), &Ask::get("/v1/config/app/limit")).await;
        assert_eq!(read.is(200).text(), "7");
        let denied = Visit::begin("publisher", &stream, &reader);
        waits_for(&denied.server, "authoriz").await;
        let put = ask(denied.server.host(), &Ask::put("/v1/config/app/limit", "8")).await;
        put.is_problem(503, "log_unavailable");
        assert!(put.text().contains("authoriz"), "{}", put.text());
    };
    bounded(claim).await;
}

/// An unsigned token, as a broker takes it that was told to trust anybody.
fn token(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    let claims = format!(r#"{{"sub":"headwater","iat":{now},"exp":{}}}"#, now + seconds);
    format!("{}.{}.", encode(r#"{"alg":"none"}"#.into()), encode(claims))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_read_again_from_its_file_before_it_ends() {
    let claim = async {
        let port = free_port();
        let login = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
            unsecuredLoginStringClaim_sub=\"broker\";";
        let broker = Options::default()
            .listener("OAUTH", port)
            .property("inter.broker.listener.name", "PLAINTEXT")
            .property(
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OAUTH:SASL_PLAINTEXT",
            )
            .property("sasl.enabled.mechanisms", "OAUTHBEARER")
            .property("listener.name.oauth.oauthbearer.sasl.jaas.config", login)
            // A session ends with its token.
            .property("connections.max.reauth.ms", "60000")
            .start();
        let stream = topic::fresh_name("token");
        let configs = [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("message.timestamp.type", "LogAppendTime"),
            ("max.message.bytes", "2097152"),
        ];
        topic::create(&broker.bootstrap(), &format!("{stream}.commits"), 1, &configs).await;
        let (data, kafka) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{port}"));
        let file = data.path().join("token");
        std::fs::write(&file, token(5)).unwrap();
        let (path, file_name) =
            (data.path().join("data").display().to_string(), file.display().to_string());
        let flags = ["publisher", "--data", &path, "--stream", &stream, "--kafka", &kafka];
        let access = ["--kafka-config", "security.protocol=sasl_plaintext"];
        let mechanism =
            ["--kafka-config", "sasl.mechanism=OAUTHBEARER", "--kafka-token-file", &file_name];
        let unchecked = [&flags[..], &access, &mechanism].concat();
        // Its topics would have to be made by hand, too.
        let no_table = [("HEADWATER_TABLE__ENABLED", "false")];
        let mut refused = Headwater::start_unready(&unchecked, &no_table);
        assert_eq!(refused.wait(PATIENCE), 1);
        assert!(refused.log().contains("kafka_verify_topic = false"), "{}", refused.log());
        let checked = [&unchecked[..], &["--kafka-verify-topic", "false"]].concat();
        let mut server = Headwater::start_unready(&checked, &no_table);
        server.wait_until_ready(PATIENCE);
        // The next token; by the time the first has ended only it can have been shown.
        std::fs::write(&file, token(600)).unwrap();
        tokio::time::sleep(Duration::from_secs(7)).await;
        for value in ["1", "2"] {
            let put = ask(server.host(), &Ask::put("/v1/config/app/limit", value)).await;
            assert!(matches!(put.status, 200 | 201), "{}\n{}", put.text(), server.log());
        }
    };
    bounded(claim).await;
}
