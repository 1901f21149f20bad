//! A real Kafka broker: Apache Kafka itself, one node that is broker and controller, on free ports of loopback.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tempfile::TempDir;

use crate::guarded::{Guarded, Launch};

/// The version that `tests/pom.xml` pins.
const VERSION: &str = "4.2.0";
/// How long a start may take before it counts as failed; about 3 s on an idle machine of 2 cores.
const START: Duration = Duration::from_secs(90);
/// Starts that may fail because somebody else took the port.
const TRIES: usize = 3;

/// The addresses of a broker that all tests of this binary share: `KAFKA_BOOTSTRAP_SERVERS` where that is set,
/// else one that is started now and ends with the test binary. Use a topic of your own ([`crate::topic::fresh_name`]).
///
/// # Panics
/// When there is no JVM or no Kafka; the message says what to run.
pub fn shared() -> &'static str {
    static SHARED: OnceLock<(String, Option<Broker>)> = OnceLock::new();
    let (bootstrap, _) = SHARED.get_or_init(|| {
        if let Ok(existing) = std::env::var("KAFKA_BOOTSTRAP_SERVERS")
            && !existing.is_empty()
        {
            return (existing, None);
        }
        // A static is never dropped: the guard removes the folder.
        let broker = Options { forget: true, ..Options::default() }.start();
        (broker.bootstrap(), Some(broker))
    });
    bootstrap
}

/// How a broker is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    properties: Vec<(String, String)>,
    /// Whether its folder is removed by the guard, as nobody will drop it.
    forget: bool,
    /// Whether the JVM runs as in production: slower to start, and worth measuring.
    full_speed: bool,
    /// Its port and its controller's; free ones where none are given.
    ports: Option<(u16, u16)>,
    /// The id of its cluster; a fresh one where none is given.
    cluster_id: Option<String>,
    /// Its folder, which somebody else removes; one of its own where none is given.
    dir: Option<PathBuf>,
    /// The folder its own is made in, and that goes with it.
    within: Option<PathBuf>,
    /// One more way in: its name and port.
    listener: Option<(String, u16)>,
    /// Who may enter by a password (SCRAM-SHA-512).
    users: Vec<(String, String)>,
    /// How clients that the test itself makes reach it.
    client: Vec<(String, String)>,
}

impl Options {
    /// A node of a cluster: its ports are known before it starts, and its folder lies in one of the cluster's.
    pub(crate) fn node(ports: (u16, u16), cluster_id: &str, dir: PathBuf) -> Self {
        let (ports, cluster_id) = (Some(ports), Some(cluster_id.to_owned()));
        Self { ports, cluster_id, dir: Some(dir), ..Self::default() }
    }

    /// Sets a property of `server.properties`, in place of the harness's own value.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Runs the JVM as in production: slower to start, and worth measuring.
    #[must_use]
    pub fn full_speed(mut self) -> Self {
        self.full_speed = true;
        self
    }

    /// Lets a static hold it, which is never dropped: the guard removes this folder, in which its own is made.
    pub(crate) fn forgotten_in(mut self, folder: PathBuf) -> Self {
        (self.forget, self.within) = (true, Some(folder));
        self
    }

    /// Adds a way in. Its protocol and what belongs to it are properties.
    #[must_use]
    pub fn listener(mut self, name: &str, port: u16) -> Self {
        self.listener = Some((name.into(), port));
        self
    }

    /// Adds somebody who may enter by a password (SCRAM-SHA-512).
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.into(), password.into()));
        self
    }

    /// Says how clients of the harness reach it: properties of librdkafka.
    #[must_use]
    pub fn client(mut self, name: &str, value: &str) -> Self {
        self.client.push((name.into(), value.into()));
        self
    }

    /// Starts it, and waits until it serves.
    pub fn start(self) -> Broker {
        let jars = jars();
        for _ in 1..TRIES {
            if let Ok(broker) = Broker::try_start(&self, &jars) {
                return broker;
            }
        }
        Broker::try_start(&self, &jars).unwrap_or_else(|log| panic!("Kafka does not start:\n{log}"))
    }
}

/// A broker of a test's own, to kill, pause and restart. Dropped: gone, with its data.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    launch: Launch,
    process: Guarded,
    data: PathBuf,
    client: Vec<(String, String)>,
    _dir: Option<TempDir>,
}

impl Broker {
    /// Starts one with the defaults, and waits until it serves.
    pub fn start() -> Self {
        Options::default().start()
    }

    fn try_start(options: &Options, jars: &Path) -> Result<Self, String> {
        let mut broker = Self::launch(options, jars)?;
        broker.wait_until_it_serves()?;
        Ok(broker)
    }

    /// Starts one and does not wait: a node of a cluster serves only when others do.
    pub(crate) fn launch(options: &Options, jars: &Path) -> Result<Self, String> {
        let (path, dir) = match &options.dir {
            Some(given) => (given.clone(), None),
            None => {
                let within = options.within.clone().unwrap_or_else(std::env::temp_dir);
                let made = tempfile::Builder::new().prefix("headwater-kafka-").tempdir_in(within);
                let made = made.expect("a folder");
                (made.path().to_owned(), Some(made))
            }
        };
        let (port, controller) = options.ports.unwrap_or_else(|| (free_port(), free_port()));
        let properties = path.join("server.properties");
        let text = properties_text(options, &path, port, controller);
        std::fs::write(&properties, text).expect("the properties can be written");
        let cluster_id = options.cluster_id.clone().unwrap_or_else(cluster_id);
        format_storage(jars, &properties, &cluster_id, &options.users)?;
        let (dir, remove) = match dir {
            Some(dir) if options.forget => {
                let kept = dir.keep();
                (None, options.within.clone().or(Some(kept)))
            }
            dir => (dir, None),
        };
        let launch = launch(jars, &properties, options.full_speed, remove);
        let process = launch.start();
        let client = options.client.clone();
        Ok(Self { port, process, launch, data: path.join("data"), client, _dir: dir })
    }

    /// Its address: `127.0.0.1:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How a client of the test's own reaches it.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("log_level", "0");
        config.extend(self.client.iter().cloned());
        config
    }

    /// Starts one again that was killed, on the same port and data, and waits until it serves.
    pub fn begin(&mut self) {
        self.process = self.launch.start();
        self.wait();
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Lets it shut down in order; after 30 s it is killed.
    pub fn stop(&mut self) {
        self.process.signal("TERM");
        if self.process.wait(Duration::from_secs(30)).is_none() {
            self.process.kill9();
        }
    }

    /// Stops its clock (SIGSTOP): its connections stay, and nobody answers.
    pub fn pause(&mut self) {
        self.process.signal("STOP");
    }

    /// Lets a paused one go on.
    pub fn resume(&mut self) {
        self.process.signal("CONT");
    }

    /// Whether its process runs, paused or not.
    pub fn is_up(&mut self) -> bool {
        self.process.exit().is_none()
    }

    /// Where it keeps its records.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Starts it again on the same port and data, and waits until it serves.
    pub fn restart(&mut self) {
        self.relaunch();
        self.wait();
    }

    /// The same without the wait.
    pub fn relaunch(&mut self) {
        self.process.signal("CONT");
        self.stop();
        self.process = self.launch.start();
    }

    /// Waits until it serves.
    ///
    /// # Panics
    /// When it does not; the message holds its log.
    pub fn wait(&mut self) {
        if let Err(log) = self.wait_until_it_serves() {
            panic!("Kafka does not start again:\n{log}");
        }
    }

    fn wait_until_it_serves(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        let address = (Ipv4Addr::LOCALHOST, self.port);
        // The port first: librdkafka would wait longer and longer between its tries.
        while TcpStream::connect(address).is_err() {
            self.check_start(deadline)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        let client: BaseConsumer = self.config().create().expect("a client");
        loop {
            let metadata = client.fetch_metadata(None, Duration::from_secs(5));
            if metadata.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return Ok(());
            }
            self.check_start(deadline)?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn check_start(&mut self, deadline: Instant) -> Result<(), String> {
        let ended = self.process.exit();
        if ended.is_none() && Instant::now() < deadline {
            return Ok(());
        }
        let how = ended.map_or("no answer in time".into(), |code| format!("exit status {code}"));
        Err(format!("{how}\n{}", self.process.log_tail()))
    }
}

/// A port of loopback that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// Where `scripts/kafka` puts Kafka's jars.
pub(crate) fn jars() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let jars = cache.unwrap_or_default().join("headwater").join(format!("kafka-{VERSION}"));
    let java = Command::new("java").arg("-version").output();
    assert!(
        java.is_ok_and(|java| java.status.success()),
        "the Kafka tests need a JVM (17 or later) and found no `java`: run `make kafka`, or set \
         KAFKA_BOOTSTRAP_SERVERS to a running broker"
    );
    assert!(
        jars.join(format!("kafka_2.13-{VERSION}.jar")).is_file(),
        "the Kafka tests need Apache Kafka {VERSION} in {}: run `make kafka`, or set \
         KAFKA_BOOTSTRAP_SERVERS to a running broker",
        jars.display()
    );
    jars
}

fn properties_text(options: &Options, dir: &Path, port: u16, controller: u16) -> String {
    let data = dir.join("data").display().to_string();
    // A listener of another protocol brings its own map, in which the first is the clients'.
    let protocol = options.properties.iter().find(|(name, _)| name == "inter.broker.listener.name");
    let protocol = protocol.map_or("PLAINTEXT", |(_, name)| name);
    let more = options.listener.as_ref();
    let more = more.map_or(String::new(), |(name, port)| format!(",{name}://127.0.0.1:{port}"));
    let advertised = format!("{protocol}://127.0.0.1:{port}{more}");
    let listeners = format!("{advertised},CONTROLLER://127.0.0.1:{controller}");
    let voters = format!("1@127.0.0.1:{controller}");
    let defaults = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", &voters),
        ("listeners", &listeners),
        ("advertised.listeners", &advertised),
        ("controller.listener.names", "CONTROLLER"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("log.dirs", &data),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        // Who holds a lease may be missed soon, and a compacted topic is cleaned at once.
        ("group.min.session.timeout.ms", "500"),
        ("log.cleaner.backoff.ms", "200"),
        // One that was killed may come back only when its old session has ended.
        ("broker.session.timeout.ms", "3000"),
        ("broker.heartbeat.interval.ms", "300"),
    ];
    let own = |name: &str| options.properties.iter().any(|(own, _)| own == name);
    let defaults = defaults.iter().filter(|(name, _)| !own(name));
    let defaults = defaults.map(|(name, value)| format!("{name}={value}\n"));
    let own = options.properties.iter().map(|(name, value)| format!("{name}={value}\n"));
    defaults.chain(own).collect()
}

pub(crate) fn java(jars: &Path, heap: &str, full_speed: bool) -> Vec<String> {
    let classes = format!("{}/*", jars.display());
    // In tests a quick start matters, and speed does not.
    let quick: &[&str] =
        if full_speed { &[] } else { &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"] };
    let arguments = ["java", heap].into_iter().chain(quick.iter().copied());
    arguments.chain(["-cp", &classes]).map(str::to_owned).collect()
}

fn format_storage(
    jars: &Path,
    properties: &Path,
    cluster_id: &str,
    users: &[(String, String)],
) -> Result<(), String> {
    let scram = users.iter().flat_map(|(name, password)| {
        ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={name},password={password}]")]
    });
    let java = java(jars, "-Xmx128m", false);
    let output = Command::new(&java[0])
        .args(&java[1..])
        .args(["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c"])
        .arg(properties)
        .args(scram)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("its storage could not be formatted:\n{out}{err}"))
}

/// Runs one of Kafka's own tools to its end.
///
/// # Panics
/// When it fails; the message is what it printed.
pub fn tool(class: &str, arguments: &[&str]) {
    let java = java(&jars(), "-Xmx128m", false);
    let output = Command::new(&java[0]).args(&java[1..]).arg(class).args(arguments).output();
    let output = output.expect("java runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{class} {arguments:?}:\n{out}{err}");
}

/// A random id; one that begins with `-` would be taken for an option.
pub(crate) fn cluster_id() -> String {
    loop {
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let id = engine.encode(uuid::Uuid::new_v4().as_bytes());
        if !id.starts_with('-') {
            return id;
        }
    }
}

fn launch(jars: &Path, properties: &Path, full_speed: bool, remove: Option<PathBuf>) -> Launch {
    let mut command = java(jars, "-Xmx512m", full_speed);
    command.extend(["kafka.Kafka".to_owned(), properties.display().to_string()]);
    let log = properties.with_file_name("broker.log");
    Launch { command, environment: Vec::new(), log, remove }
}
