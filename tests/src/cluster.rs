//! A real Kafka cluster: three nodes, each broker and controller, three copies of everything, two of them in sync.
//!
//! One cluster for all tests of a binary, which take turns: three JVMs are enough for a small machine, and a test that
//! kills brokers needs the others to itself. Whoever takes a turn finds the cluster whole.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use crate::broker::{self, Broker, Options, free_port};
use crate::guarded::{Guarded, Launch};

/// How many nodes there are.
pub const NODES: usize = 3;
/// How long the cluster may take to become whole.
const WHOLE: Duration = Duration::from_secs(90);
/// How often it is looked at meanwhile: it gives no sign.
const LOOK: Duration = Duration::from_millis(50);

/// Short time-outs, so that a fault is over within seconds, and three copies of everything.
const PROPERTIES: [(&str, &str); 15] = [
    ("broker.session.timeout.ms", "1500"),
    ("broker.heartbeat.interval.ms", "250"),
    ("controller.quorum.fetch.timeout.ms", "1000"),
    ("controller.quorum.election.timeout.ms", "500"),
    ("replica.lag.time.max.ms", "3000"),
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    ("group.min.session.timeout.ms", "1000"),
    ("log.cleaner.backoff.ms", "200"),
    // A broker that was paused must not find its connections closed and its leadership moved for balance's sake.
    ("auto.leader.rebalance.enable", "false"),
];

/// Three brokers.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Broker>,
    /// Where their folders lie.
    dir: PathBuf,
    /// Removes that folder when the test binary ends.
    _janitor: Guarded,
}

/// The cluster, for as long as one test has its turn.
#[derive(Debug)]
pub struct Turn(MutexGuard<'static, Option<Cluster>>);

/// Takes a turn with the one cluster of this test binary, which is whole then; starts it the first time.
///
/// # Panics
/// When Kafka does not start; the message holds its log.
pub async fn turn() -> Turn {
    static SHARED: Mutex<Option<Cluster>> = Mutex::const_new(None);
    let mut shared = SHARED.lock().await;
    let healed = tokio::task::spawn_blocking(move || {
        shared.get_or_insert_with(Cluster::start).heal();
        Turn(shared)
    });
    healed.await.expect("a cluster")
}

impl Deref for Turn {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.0.as_ref().expect("a cluster")
    }
}

impl DerefMut for Turn {
    fn deref_mut(&mut self) -> &mut Cluster {
        self.0.as_mut().expect("a cluster")
    }
}

impl Cluster {
    /// A cluster of its own, as one would run it: slower to start, and worth measuring.
    pub fn full_speed() -> Self {
        Self::start_with(Options::full_speed)
    }

    fn start() -> Self {
        Self::start_with(|options| options)
    }

    fn start_with(how: fn(Options) -> Options) -> Self {
        let made = tempfile::Builder::new().prefix("headwater-cluster-").tempdir();
        // A static is never dropped: the janitor removes the folder.
        let dir = made.expect("a folder").keep();
        let janitor = Launch {
            command: ["sleep", "infinity"].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            log: dir.join("janitor.log"),
            remove: Some(dir.clone()),
        };
        let jars = broker::jars();
        let (ports, cluster_id) = (ports(), broker::cluster_id());
        let voters: Vec<_> =
            (1..).zip(ports).map(|(id, (_, at))| format!("{id}@127.0.0.1:{at}")).collect();
        let voters = voters.join(",");
        let starting: Vec<_> = (1..)
            .zip(ports)
            .map(|(id, ports)| {
                let (jars, folder) = (jars.clone(), dir.join(format!("node-{id}")));
                fs::create_dir(&folder).expect("a folder");
                let mut options = Options::node(ports, &cluster_id, folder)
                    .property("node.id", &id.to_string())
                    .property("controller.quorum.voters", &voters);
                for (name, value) in PROPERTIES {
                    options = options.property(name, value);
                }
                let options = how(options);
                std::thread::spawn(move || Broker::launch(&options, &jars))
            })
            .collect();
        let nodes = starting.into_iter().map(|node| {
            let node = node.join().expect("a thread");
            node.unwrap_or_else(|log| panic!("Kafka does not start:\n{log}"))
        });
        let mut cluster = Self { nodes: nodes.collect(), dir, _janitor: janitor.start() };
        cluster.nodes.iter_mut().for_each(Broker::wait);
        cluster.await_whole();
        cluster
    }

    /// The addresses of all brokers: `127.0.0.1:a,127.0.0.1:b,127.0.0.1:c`.
    pub fn bootstrap(&self) -> String {
        let all: Vec<_> = self.nodes.iter().map(Broker::bootstrap).collect();
        all.join(",")
    }

    /// The node with this id: 1, 2 or 3.
    pub fn node(&mut self, id: usize) -> &mut Broker {
        &mut self.nodes[id - 1]
    }

    /// Starts what was killed, lets go on what was paused, and waits until every copy is in sync.
    pub fn heal(&mut self) {
        for node in &mut self.nodes {
            node.resume();
            if !node.is_up() {
                node.relaunch();
            }
        }
        self.nodes.iter_mut().for_each(Broker::wait);
        self.await_whole();
    }

    /// The node that leads a topic's one partition; none while there is none.
    pub fn leader(&self, topic: &str) -> Option<usize> {
        let metadata = self.client().fetch_metadata(Some(topic), WHOLE).ok()?;
        let partition = metadata.topics().first()?.partitions().first()?;
        usize::try_from(partition.leader()).ok().filter(|leader| *leader > 0)
    }

    /// A node that does not lead a topic.
    pub fn follower(&self, topic: &str) -> usize {
        let leader = self.leader(topic);
        (1..=NODES).find(|id| Some(*id) != leader).expect("three nodes")
    }

    /// Makes a node the leader of a topic, as a rolling restart would: its copies stay where they are.
    pub fn move_leader(&self, topic: &str, to: usize) {
        let mut order = vec![to];
        order.extend((1..=NODES).filter(|id| *id != to));
        let file = self.dir.join("reassign.json");
        let plan = json!({ "version": 1, "partitions": [{ "topic": topic, "partition": 0, "replicas": order }] });
        fs::write(&file, plan.to_string()).expect("the plan can be written");
        let file = file.display().to_string();
        self.tool(
            "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
            &["--reassignment-json-file", &file, "--execute"],
        );
        self.tool(
            "org.apache.kafka.tools.LeaderElectionCommand",
            &["--election-type", "preferred", "--topic", topic, "--partition", "0"],
        );
    }

    /// Runs one of Kafka's own tools against the cluster.
    ///
    /// # Panics
    /// When it fails; the message holds what it said.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        let java = broker::java(&broker::jars(), "-Xmx128m", false);
        let output = Command::new(&java[0])
            .args(&java[1..])
            .args([class, "--bootstrap-server", &self.bootstrap()])
            .args(args)
            .output()
            .expect("java runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{class} {args:?}:\n{said}");
        said
    }

    /// Stops all brokers in order, keeps a copy of all that they hold, and starts them again.
    pub fn back_up(&mut self) -> Backup {
        let copies = self.dir.join(format!("backup-{}", uuid::Uuid::new_v4().simple()));
        self.halt();
        for (id, node) in (1..).zip(&self.nodes) {
            copy_tree(node.data_dir(), &copies.join(format!("node-{id}")));
        }
        self.heal();
        Backup(copies)
    }

    /// Puts an older copy in the place of all that the brokers hold: what came since is gone, and no broker knows it.
    pub fn restore(&mut self, backup: &Backup) {
        self.halt();
        for (id, node) in (1..).zip(&self.nodes) {
            fs::remove_dir_all(node.data_dir()).expect("the data can go");
            copy_tree(&backup.0.join(format!("node-{id}")), node.data_dir());
        }
        self.heal();
    }

    /// Kills all at once: none may wait for another to give up its leadership.
    fn halt(&mut self) {
        self.nodes.iter_mut().for_each(Broker::kill9);
    }

    fn client(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("log_level", "0");
        config.create().expect("a client")
    }

    fn await_whole(&self) {
        let (client, deadline) = (self.client(), Instant::now() + WHOLE);
        loop {
            let metadata = client.fetch_metadata(None, Duration::from_secs(5));
            let whole = metadata.as_ref().is_ok_and(|metadata| {
                let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
                metadata.brokers().len() == NODES
                    && partitions
                        .into_iter()
                        .all(|it| it.leader() > 0 && it.isr().len() == it.replicas().len())
            });
            if whole {
                return;
            }
            assert!(Instant::now() < deadline, "the cluster does not become whole");
            std::thread::sleep(LOOK);
        }
    }
}

/// A copy of all that the brokers held.
#[derive(Debug)]
pub struct Backup(PathBuf);

/// Each node's port and its controller's.
fn ports() -> [(u16, u16); NODES] {
    std::array::from_fn(|_| (free_port(), free_port()))
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap_or(to)).expect("a folder");
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "{} cannot be copied to {}",
        from.display(),
        to.display()
    );
}
