//! `docker-compose.yml` without containers: the same processes with the same flags and variables, their host names
//! mapped to ports of this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use headwater_tests::broker::{self, free_port};
use headwater_tests::deployed::{root, table, text, texts, yaml};
use headwater_tests::guarded::Launch;
use headwater_tests::http::{Ask, Connection, ask};
use headwater_tests::process::{Headwater, binary};
use headwater_tests::stand::{bounded, status};
use headwater_tests::topic;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Duration, Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);
const SERVERS: [&str; 4] = ["publisher-1", "publisher-2", "snapshotter-1", "snapshotter-2"];

/// The stand of the compose file, on a broker of the tests.
struct Stand {
    compose: Value,
    servers: BTreeMap<String, Headwater>,
    dir: TempDir,
    stream: String,
}

impl Stand {
    /// Starts all servers, in no order.
    fn start() -> Self {
        let compose = yaml("docker-compose.yml");
        let (dir, stream) = (tempfile::tempdir().unwrap(), topic::fresh_name("compose"));
        let mut stand = Self { compose, servers: BTreeMap::new(), dir, stream };
        for name in SERVERS {
            let data = stand.dir.path().join(name).display().to_string();
            let (flags, mut environment) = (stand.command(name), stand.environment(name));
            environment.insert("HEADWATER_DATA".into(), data);
            let flags: Vec<_> = flags.iter().map(String::as_str).collect();
            let environment: Vec<_> =
                environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            stand.servers.insert(name.into(), Headwater::start_unready(&flags, &environment));
        }
        for server in stand.servers.values_mut() {
            server.wait_until_ready(PATIENCE);
        }
        stand
    }

    fn service(&self, name: &str) -> &Value {
        let service = &self.compose["services"][name];
        assert!(service.is_object(), "the compose file has no service {name}");
        service
    }

    fn command(&self, name: &str) -> Vec<String> {
        texts(&self.service(name)["command"]).iter().map(|text| self.mapped(text)).collect()
    }

    /// Variables of the service, behind those of the image.
    fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let mut all = image_environment();
        all.extend(table(&self.service(name)["environment"]));
        // Each server gets an address of its own by a flag.
        assert_eq!(all.remove("HEADWATER_LISTEN").as_deref(), Some("0.0.0.0:7070"));
        all.into_iter().map(|(name, value)| (name, self.mapped(&value))).collect()
    }

    /// The same with addresses of this machine and a stream of its own.
    fn mapped(&self, text: &str) -> String {
        let mut mapped = if text == "demo" { self.stream.clone() } else { text.to_owned() };
        for broker in ["kafka-1:9092", "kafka-2:9092", "kafka-3:9092"] {
            mapped = mapped.replace(broker, broker::shared());
        }
        for (name, server) in &self.servers {
            mapped = mapped.replace(&format!("{name}:7070"), server.host());
        }
        mapped.replace("/usr/share/headwater", &root().join("examples/data").display().to_string())
    }

    fn host(&self, name: &str) -> &str {
        self.servers[name].host()
    }
}

/// What the Dockerfile sets.
fn image_environment() -> BTreeMap<String, String> {
    let file = text("Dockerfile");
    let sets = file.lines().filter_map(|line| line.strip_prefix("ENV "));
    let pairs = sets.flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compose_files_processes_are_ready_share_what_is_put_and_serve_the_gateway() {
    let claim = async {
        let stand = Stand::start();
        let put = ask(stand.host("publisher-1"), &Ask::put("/v1/config/app/limit", "42")).await;
        let revision = put.is(201).revision();
        for name in SERVERS {
            let read = format!("/v1/config/app/limit?min_revision={revision}&timeout=20s");
            assert_eq!(ask(stand.host(name), &Ask::get(read)).await.is(200).text(), "42", "{name}");
            let role = name.split('-').next().unwrap();
            assert_eq!(status(stand.host(name)).await.role, role);
        }
        let import = Command::new(binary()).args(stand.command("models")).output().unwrap();
        assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
        image_of(stand.host("snapshotter-1")).await;
        image_of(stand.host("snapshotter-2")).await;
        gateway(&stand).await;
    };
    bounded(claim).await;
}

/// The snapshotter announces an image.
async fn image_of(host: &str) {
    let deadline = Instant::now() + PATIENCE;
    while ask(host, &Ask::get("/v1/images/latest")).await.status != 200 {
        assert!(Instant::now() < deadline, "{host} cuts no image");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The demo service answers with what was imported.
async fn gateway(stand: &Stand) {
    let entry = texts(&stand.service("gateway")["entrypoint"]);
    assert_eq!(entry, ["llm-gateway"]);
    let listen = format!("127.0.0.1:{}", free_port());
    let cache = stand.dir.path().join("gateway").display().to_string();
    let mut command = vec![binary().with_file_name(&entry[0]).display().to_string()];
    command.extend(
        stand.command("gateway").iter().map(|text| {
            text.replace("0.0.0.0:8080", &listen).replace("/var/lib/headwater", &cache)
        }),
    );
    let log = stand.dir.path().join("gateway.log");
    let _gateway = Launch { command, environment: Vec::new(), log, remove: None }.start();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(mut there) = Connection::open(&listen).await
            && let Ok(answer) = there.send(&Ask::get("/models/gpt-4o")).await
            && answer.status == 200
        {
            return;
        }
        assert!(Instant::now() < deadline, "the gateway does not answer");
        sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn every_path_that_the_compose_file_mounts_is_there_and_every_volume_is_declared() {
    let compose = yaml("docker-compose.yml");
    for (name, service) in compose["services"].as_object().unwrap() {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name} mounts {source}");
            } else {
                assert!(compose["volumes"].as_object().unwrap().contains_key(source), "{source}");
            }
        }
        for (needed, _) in service["depends_on"].as_object().into_iter().flatten() {
            assert!(compose["services"][needed].is_object(), "{name} depends on {needed}");
        }
    }
}

#[test]
fn three_brokers_keep_three_copies_and_no_port_is_open_to_the_network() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    let brokers: Vec<_> = services.iter().filter(|(name, _)| name.starts_with("kafka-")).collect();
    assert_eq!(brokers.len(), 3);
    for (name, broker) in brokers {
        let set = table(&broker["environment"]);
        let advertised = format!("PLAINTEXT://{name}:9092");
        assert_eq!(set["KAFKA_ADVERTISED_LISTENERS"], advertised);
        assert!(
            set["KAFKA_CONTROLLER_QUORUM_VOTERS"]
                .contains(&format!("{}@{name}:9093", set["KAFKA_NODE_ID"]))
        );
        assert_eq!(
            (
                set["KAFKA_DEFAULT_REPLICATION_FACTOR"].as_str(),
                set["KAFKA_MIN_INSYNC_REPLICAS"].as_str()
            ),
            ("3", "2")
        );
    }
    for (name, service) in services {
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} opens {port}");
        }
    }
}

#[test]
fn the_image_runs_as_nobody_in_particular_and_has_what_the_compose_file_names() {
    let file = text("Dockerfile");
    assert!(file.contains("\nUSER 10001:10001\n") && file.contains("\nHEALTHCHECK "));
    let examples = Path::new("examples/data/models.json");
    assert!(
        file.contains(&format!("COPY {} /usr/share/headwater/models.json", examples.display()))
    );
    assert!(root().join(examples).is_file());
    let channel = text("rust-toolchain.toml");
    let channel = channel.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    let minor = channel.trim_matches('"').rsplit_once('.').unwrap().0;
    assert!(file.contains(&format!("FROM rust:{minor}-")), "the image is built by Rust {channel}");
}
