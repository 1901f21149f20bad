//! Where to read from, what, and how to start.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use headwater_image_store::{S3Settings, Store};
use headwater_log::Log;
use headwater_replica::Replica;
use headwater_schemas::Namespace;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::core::{Core, Life};
use crate::engine::{self, Plan};
use crate::error::ConnectError;
use crate::local::LocalStream;
use crate::overlay::Overlay;
use crate::sources::{MORE_THAN_ONE, Sources, wrong};

/// How long `connect` waits for the head before it starts from the cache. Less starts sooner on an old state while
/// the source is only slow; more delays the service's start while the source is down.
pub const STARTUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of commits kept for followers of [`Client::commits`]. Less lets slow ones skip sooner; more costs every service
/// memory, whether it follows commits or not.
const BACKLOG_BYTES: usize = 8 * 1024 * 1024;

/// Says where a client reads from and what; made by [`Client::builder`].
#[derive(Debug, Clone)]
#[must_use = "connect() makes the client"]
pub struct Builder {
    sources: Sources,
    image_dirs: Vec<PathBuf>,
    image_urls: Vec<String>,
    s3: S3Settings,
    namespaces: Vec<String>,
    also: Vec<String>,
    cache_dir: Option<PathBuf>,
    startup_timeout: Duration,
    allow_empty: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            sources: Sources::default(),
            image_dirs: Vec::new(),
            image_urls: Vec::new(),
            s3: S3Settings::default(),
            namespaces: Vec::new(),
            also: Vec::new(),
            cache_dir: None,
            startup_timeout: STARTUP_TIMEOUT,
            allow_empty: false,
        }
    }
}

impl Builder {
    /// Follows a relay (any Headwater server), such as `http://127.0.0.1:7070`. Repeatable: the next one is taken
    /// when one cannot be reached.
    pub fn relay(mut self, url: impl Into<String>) -> Self {
        self.sources.relays.push(url.into());
        self
    }

    /// Follows a stream on Kafka itself: `brokers` is `HOST:PORT,…`. Without a cache or an image it begins with the
    /// stream's table (the compacted topic `<stream>.config`), else with the whole log. Thousands of services should
    /// use a relay.
    #[cfg(feature = "kafka")]
    pub fn kafka(mut self, brokers: impl Into<String>, stream: impl Into<String>) -> Self {
        self.sources.kafka.at = Some((brokers.into(), stream.into()));
        self
    }

    /// Sets a property of librdkafka for [`Builder::kafka`], such as `security.protocol` or `sasl.password`.
    /// Repeatable. What a log stands or falls with, such as `isolation.level`, is refused by `connect`.
    #[cfg(feature = "kafka")]
    pub fn kafka_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.sources.kafka.properties.set(name, value);
        self
    }

    /// The file with the token for `sasl.mechanism=OAUTHBEARER`, a JWT. It is read again before the token ends.
    #[cfg(feature = "kafka")]
    pub fn kafka_token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.sources.kafka.token_file = Some(file.into());
        self
    }

    /// Follows a log that this process has: one in memory for tests, or a log of another kind.
    pub fn log(mut self, log: Arc<dyn Log>) -> Self {
        self.sources.log = Some(log);
        self
    }

    /// Reads a copy of the stream that this process keeps already, as every Headwater server does. The client keeps none of
    /// its own and needs no network; caches and images are the copy's affair.
    pub fn replica(mut self, replica: Replica) -> Self {
        self.sources.replica = Some(replica);
        self
    }

    /// Follows a folder of files instead of a server: on a laptop, or a mounted ConfigMap. `DIR/<namespace>/<key>` with
    /// the type by the extension, which is no part of the key: `payments.prod/db/pool.json` is the key `db/pool`. JSON,
    /// `.txt`, `.yaml`, `.yml` and `.toml` are known; every other name is the key as it stands, a text if it is UTF-8. A
    /// text loses the line end at the end of its file. Hidden files are passed over.
    ///
    /// The folder is watched; what changed together is one commit, taken when the folder has been quiet for 100 ms, and
    /// links are followed, so that Kubernetes' swaps of `..data` are seen whole. A file that cannot be taken (no JSON
    /// within, larger than 256 KiB, a name that is no key) keeps its last value and stands in
    /// [`Status::refused_files`](crate::Status::refused_files). A folder that is gone makes the client stale; it serves
    /// what it had. At most 10,000 files and 32 MiB, and 2 MiB that change at once. The cache is not used: the files are
    /// here already.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// std::fs::create_dir(dir.join("app"))?;
    /// std::fs::write(dir.join("app/limit.json"), "100")?;
    /// let hw = headwater::Client::builder().files(dir).namespaces(["app"]).connect_blocking()?;
    /// assert_eq!(hw.get::<u32>("limit")?, Some(100));
    /// # Ok(()) }
    /// ```
    pub fn files(mut self, dir: impl Into<PathBuf>) -> Self {
        self.sources.files = Some(dir.into());
        self
    }

    /// Follows a stream that this process itself writes.
    pub(crate) fn local(mut self, stream: Arc<LocalStream>) -> Self {
        self.sources.local = Some(stream);
        self
    }

    /// Looks for images in a directory that a snapshotter writes to, such as a shared mount. Repeatable.
    ///
    /// Images alone are a source, too, without a relay: the client starts from the newest that the directories and
    /// [`Builder::image_url`] announce, and takes every newer one (looked for every second in directories, every 5 to
    /// 10 seconds elsewhere). It is then as new as images are cut, and takes each as a whole.
    pub fn image_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.image_dirs.push(dir.into());
        self
    }

    /// Looks for images where a snapshotter shares them: `https://…` for a web server or CDN in front of them,
    /// `file:///…`, or, with the feature `s3`, `s3://BUCKET/PREFIX`. Repeatable, the nearest first: of equal images a
    /// directory's is taken before these, and these before the relay's. Nothing is taken from them that does not verify
    /// or that the relay says is not of its chain.
    pub fn image_url(mut self, url: impl Into<String>) -> Self {
        self.image_urls.push(url.into());
        self
    }

    /// What the environment (`AWS_*`) does not say of buckets: their server, region and style.
    #[cfg(feature = "s3")]
    pub fn s3(mut self, settings: S3Settings) -> Self {
        self.s3 = settings;
        self
    }

    /// The namespaces to read, laid over each other: where two hold a key, the later wins. Without any, the client
    /// follows every namespace, and keys are read by [`Client::namespace`].
    pub fn namespaces<N: Into<String>>(mut self, namespaces: impl IntoIterator<Item = N>) -> Self {
        self.namespaces.extend(namespaces.into_iter().map(Into::into));
        self
    }

    /// Further namespaces to follow, not laid over the others: read them by [`Client::namespace`].
    pub fn also_namespaces<N: Into<String>>(
        mut self,
        namespaces: impl IntoIterator<Item = N>,
    ) -> Self {
        self.also.extend(namespaces.into_iter().map(Into::into));
        self
    }

    /// Where the last known good state is kept: with it a service starts while everything else is down.
    /// Processes on one machine may share it.
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// How long to wait for the head at the start before taking the cache. Default [`STARTUP_TIMEOUT`].
    pub fn startup_timeout(mut self, timeout: Duration) -> Self {
        self.startup_timeout = timeout;
        self
    }

    /// Starts even with no state at all: every key is absent until a source answers.
    pub fn allow_empty(mut self) -> Self {
        self.allow_empty = true;
        self
    }

    /// Starts the client: waits up to the start-up time-out for the head, then starts from the cache (or from what an
    /// image gave), marked stale. Runs on any runtime, or none: the client has a thread of its own.
    ///
    /// # Cancel safety
    /// Dropping the future ends the client again.
    ///
    /// # Errors
    /// [`ConnectError`], with a reason for every rung of the ladder.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let (answer, answered) = oneshot::channel();
        // A caller that is gone has dropped the guard, which ends the client.
        let starting = self.start(move |core| drop(answer.send(core)))?;
        starting.finish(answered.await.unwrap_or(Err(ConnectError::Ended)))
    }

    /// As [`Builder::connect`], blocking this thread.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect_blocking(self) -> Result<Client, ConnectError> {
        let (answer, answered) = blocking::sync_channel(1);
        let starting = self.start(move |core| drop(answer.send(core)))?;
        starting.finish(answered.recv().unwrap_or(Err(ConnectError::Ended)))
    }

    fn start(
        mut self,
        answer: impl FnOnce(Answer) + Send + 'static,
    ) -> Result<Starting, ConnectError> {
        let overlay = Overlay::new(parse(&self.namespaces)?);
        let followed = (!overlay.is_empty() || !self.also.is_empty())
            .then(|| -> Result<_, ConnectError> {
                Ok([parse(&self.namespaces)?, parse(&self.also)?].concat())
            })
            .transpose()?;
        let stores = self.image_urls.iter().map(|url| Store::open(url, &self.s3));
        let stores = stores.collect::<Result<Vec<_>, _>>();
        let image_stores = stores.map_err(|error| ConnectError::Settings(error.to_string()))?;
        let files = self.sources.open_files()?;
        let has_images = !(self.image_dirs.is_empty() && image_stores.is_empty());
        if files.is_some() && has_images {
            return Err(wrong(MORE_THAN_ONE));
        }
        if files.is_some() {
            // Its stream is a new one with every start.
            self.cache_dir = None;
        }
        let stop = CancellationToken::new();
        let settings = headwater_replica::Settings {
            cache_dir: self.cache_dir,
            image_dirs: self.image_dirs,
            image_stores,
            namespaces: followed.clone(),
            layers: overlay.shared(),
            tail_bytes: BACKLOG_BYTES,
            ..headwater_replica::Settings::default()
        };
        let plan = Plan {
            settings,
            table: self.sources.table()?,
            local: self.sources.local.clone(),
            files,
            held: self.sources.held(has_images)?,
            startup_timeout: self.startup_timeout,
            allow_empty: self.allow_empty,
            stop: stop.clone(),
        };
        let stop = stop.drop_guard();
        engine::start(plan, Box::new(answer))?;
        Ok(Starting { overlay, followed: followed.map(Overlay::new), stop })
    }
}

/// What the client's own thread answers when it has started.
pub(crate) type Answer = Result<Arc<Core>, ConnectError>;

/// A client that has not answered yet. Dropping it ends the client.
struct Starting {
    overlay: Overlay,
    followed: Option<Overlay>,
    stop: tokio_util::sync::DropGuard,
}

impl Starting {
    fn finish(self, answer: Answer) -> Result<Client, ConnectError> {
        let life = Arc::new(Life::new(answer?, self.stop));
        Ok(Client::new(life, self.overlay, self.followed))
    }
}

fn parse(names: &[String]) -> Result<Vec<Namespace>, ConnectError> {
    let parsed = names.iter().map(|name| Namespace::parse(name));
    parsed.collect::<Result<_, _>>().map_err(|error| ConnectError::Settings(error.to_string()))
}
