//! A server on either log, in one line.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use headwater_api::{CommitBody, CommitsBody, StatusBody};
use tempfile::TempDir;

use crate::http::{Answer, Ask, Connection, Lost, ask};
use crate::process::Headwater;
use crate::{broker, topic};

/// How long one test of the whole may take.
const LIMIT: Duration = Duration::from_secs(180);
/// How long a server may take to find out why it is not ready.
const CAUSE: Duration = Duration::from_secs(40);
/// How long history may take to catch up with the head.
const HISTORY: Duration = Duration::from_secs(20);

/// Which log a stream is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// The server's own.
    Embedded,
    /// The broker that all tests of this binary share.
    Kafka,
}

/// Makes each claim a test on both logs: `async fn claim(log) { … Stand::start(log) … }`.
#[macro_export]
macro_rules! on_both_logs {
    ($($(#[$about:meta])* async fn $claim:ident($log:ident) $body:block)+) => {$(
        $(#[$about])*
        mod $claim {
            #[allow(unused_imports, reason = "a claim may need nothing from outside")]
            use super::*;

            async fn claim($log: $crate::stand::Log) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_the_embedded_log() {
                $crate::stand::bounded(claim($crate::stand::Log::Embedded)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_kafka() {
                $crate::stand::bounded(claim($crate::stand::Log::Kafka)).await;
            }
        }
    )+};
}

/// Runs a test that must not hang.
pub async fn bounded(test: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(LIMIT, test).await;
    assert!(ended.is_ok(), "the test still runs after {LIMIT:?}");
}

/// A server with a data directory and a stream of its own. Dropped: gone, with its data.
#[derive(Debug)]
pub struct Stand {
    /// The server.
    pub server: Headwater,
    log: Log,
    /// The brokers, where its log is on Kafka.
    kafka: Option<String>,
    stream: String,
    data: Option<TempDir>,
    /// More variables of its environment, and of those beside it.
    environment: &'static [(&'static str, &'static str)],
}

impl Stand {
    /// Starts a server on an empty log, and waits until it is ready.
    pub fn start(log: Log) -> Self {
        Self::with(log, &[])
    }

    /// The same with more flags.
    pub fn with(log: Log, flags: &[&str]) -> Self {
        let stream = topic::fresh_name("stand");
        let data = tempfile::tempdir().expect("a folder");
        let all = [&on(log, &stream), flags].concat();
        let server = Headwater::serve(data.path(), &all);
        Self { server, log, kafka: kafka_of(log), stream, data: Some(data), environment: &[] }
    }

    /// The same with more variables in its environment: limits that a test can reach.
    pub fn limited(log: Log, environment: &'static [(&'static str, &'static str)]) -> Self {
        let stream = topic::fresh_name("stand");
        let data = tempfile::tempdir().expect("a folder");
        let server = Headwater::serve_in(data.path(), &on(log, &stream), environment);
        Self { server, log, kafka: kafka_of(log), stream, data: Some(data), environment }
    }

    /// Starts one on a broker of the test's own that keeps no table and looks at none, and so will those beside it.
    pub fn without_a_table(bootstrap: &str) -> Self {
        Self::on_broker_in(bootstrap, &[("HEADWATER_TABLE__ENABLED", "false")])
    }

    /// Starts a server on a broker of the test's own.
    pub fn on_broker(bootstrap: &str) -> Self {
        Self::on_broker_in(bootstrap, &[])
    }

    fn on_broker_in(bootstrap: &str, environment: &'static [(&'static str, &'static str)]) -> Self {
        let stream = topic::fresh_name("stand");
        let data = tempfile::tempdir().expect("a folder");
        let flags = ["--stream", &stream, "--kafka", bootstrap];
        let server = Headwater::serve_in(data.path(), &flags, environment);
        let kafka = Some(bootstrap.to_owned());
        Self { server, log: Log::Kafka, kafka, stream, data: Some(data), environment }
    }

    /// One server for all tests of this binary that ask for nothing special. Use a namespace of your own.
    pub fn shared(log: Log) -> &'static Self {
        static EMBEDDED: OnceLock<Stand> = OnceLock::new();
        static KAFKA: OnceLock<Stand> = OnceLock::new();
        let shared = match log {
            Log::Embedded => &EMBEDDED,
            Log::Kafka => &KAFKA,
        };
        shared.get_or_init(|| {
            let stream = topic::fresh_name("stand");
            let server = Headwater::serve_forgotten(&on(log, &stream));
            Self { server, log, kafka: kafka_of(log), stream, data: None, environment: &[] }
        })
    }

    /// A second server on the same stream, with a data directory of its own. Kafka only.
    pub fn another(&self) -> Self {
        let kafka = self.kafka.as_deref().expect("an embedded log belongs to one process");
        let data = tempfile::tempdir().expect("a folder");
        let flags = ["--stream", &self.stream, "--kafka", kafka];
        let server = Headwater::serve_in(data.path(), &flags, self.environment);
        let (kafka, stream) = (self.kafka.clone(), self.stream.clone());
        let (log, environment) = (self.log, self.environment);
        Self { server, log, kafka, stream, data: Some(data), environment }
    }

    /// Where its log is.
    pub fn log(&self) -> Log {
        self.log
    }

    /// The name of its stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Its data directory.
    ///
    /// # Panics
    /// For the shared one.
    pub fn data(&self) -> &Path {
        self.data.as_ref().expect("the shared stand's data is nobody's").path()
    }

    /// Asks once, on a connection of its own.
    ///
    /// # Panics
    /// When no answer comes; the message holds the server's log.
    pub async fn ask(&self, ask: Ask) -> Answer {
        let answer = async { self.connect().await?.send(&ask).await };
        answer.await.unwrap_or_else(|Lost(why)| panic!("{ask:?}: {why}\n{}", self.server.log()))
    }

    /// A connection to keep.
    ///
    /// # Errors
    /// [`Lost`] when the server is not there.
    pub async fn connect(&self) -> Result<Connection, Lost> {
        Connection::open(self.server.host()).await
    }

    /// What the server says of itself.
    pub async fn status(&self) -> StatusBody {
        status(self.server.host()).await
    }

    /// All its commits; see [`chain`].
    pub async fn chain(&self) -> Vec<CommitBody> {
        chain(self.server.host()).await
    }

    /// An SDK client that follows this server, to be given namespaces.
    pub fn sdk(&self) -> headwater::Builder {
        headwater::Client::builder().relay(self.server.url())
    }
}

fn kafka_of(log: Log) -> Option<String> {
    (log == Log::Kafka).then(|| broker::shared().to_owned())
}

fn on(log: Log, stream: &str) -> Vec<&str> {
    match log {
        Log::Embedded => vec!["--stream", stream],
        Log::Kafka => vec!["--stream", stream, "--kafka", broker::shared()],
    }
}

/// What a server says of itself.
pub async fn status(host: &str) -> StatusBody {
    ask(host, &Ask::get("/v1/status")).await.is(200).json()
}

/// Waits until a server that is not ready says why on `/readyz`, in words that contain `cause`.
///
/// # Panics
/// When it does not in time; the message holds its log.
pub async fn waits_for(server: &Headwater, cause: &str) {
    let deadline = tokio::time::Instant::now() + CAUSE;
    loop {
        // It may not listen yet.
        if let Ok(mut there) = Connection::open(server.host()).await
            && let Ok(answer) = there.send(&Ask::get("/readyz")).await
            && answer.status == 503
            && answer.text().contains(cause)
        {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{cause}:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every commit of a server that nobody writes to now, by pages, checked: revisions are dense from 1, each commit
/// names the hash of the one before it, the last one is the head.
pub async fn chain(host: &str) -> Vec<CommitBody> {
    let head = status(host).await;
    let mut commits: Vec<CommitBody> = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
        let page = page(host, &format!("/v1/commits?limit=1000{cursor}")).await;
        commits.extend(page.commits);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    for (commit, revision) in commits.iter().zip(1..) {
        assert_eq!(commit.revision, revision, "revisions are dense");
    }
    for pair in commits.windows(2) {
        assert_eq!(pair[1].parent, pair[0].hash, "revision {} is linked", pair[1].revision);
        assert!(pair[0].at <= pair[1].at, "time goes back at revision {}", pair[1].revision);
    }
    assert_eq!(commits.len() as u64, head.revision, "all commits up to the head are listed");
    if let Some(last) = commits.last() {
        assert_eq!(last.hash, head.hash, "the last commit is the head");
    }
    commits
}

/// A page; history that catches up is asked again, as it says.
async fn page(host: &str, target: &str) -> CommitsBody {
    let deadline = tokio::time::Instant::now() + HISTORY;
    loop {
        let answer = ask(host, &Ask::get(target)).await;
        if answer.status != 503 || tokio::time::Instant::now() >= deadline {
            return answer.is(200).json();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
