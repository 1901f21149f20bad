//! A snapshotter over a log in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use headwater_image::{Manifest, WireImage};
use headwater_image_store::Store as ImageStore;
use headwater_log::{Log, MemoryLog};
use headwater_replica::{Follow, Replica, Settings as ReplicaSettings};
use headwater_schemas::{Entry, State};
use headwater_snapshotter::{Settings, Snapshotter, Status, Steps};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::chain::{Chain, json};

/// A bound on every wait; what is waited for takes milliseconds.
const SOON: Duration = Duration::from_secs(30);

/// A log and a chain on it.
pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) log: MemoryLog,
}

impl World {
    pub(crate) async fn new(id: u8) -> Self {
        let log = MemoryLog::new();
        let chain = Chain::found(Arc::new(log.clone()), id).await;
        Self { chain, log }
    }

    /// Appends so many commits, over ten keys.
    pub(crate) async fn write(&mut self, commits: u64) {
        let from = self.chain.state.head().revision;
        let change = |n: u64| json("n", &format!("k{}", n % 10), &n.to_string());
        self.chain.each((from..from + commits).map(change)).await;
    }
}

/// How a snapshotter is run.
pub(crate) struct Plan {
    pub(crate) dir: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) tail_bytes: usize,
    /// Whether the replica follows the log; a replica that does not leaves all to the snapshotter's own reader.
    pub(crate) follows: bool,
    pub(crate) steps: Steps,
    /// Where images are shared.
    pub(crate) images: Option<ImageStore>,
}

impl Plan {
    pub(crate) fn at(dir: &Path) -> Self {
        let settings = Settings {
            dir: dir.join("store"),
            image_dir: dir.join("images"),
            // Only what a test asks for is cut.
            cut_every_commits: 1_000_000,
            cut_every_seconds: 3_600,
            keep: 3,
            gather_ms: 1,
        };
        let dir = dir.to_path_buf();
        Self {
            dir,
            settings,
            tail_bytes: 1 << 20,
            follows: true,
            steps: Steps::default(),
            images: None,
        }
    }

    /// Opens and runs it on `log`.
    pub(crate) fn run(self, log: &MemoryLog) -> Running {
        let log: Arc<dyn Log> = Arc::new(log.clone());
        let settings =
            ReplicaSettings { tail_bytes: self.tail_bytes, ..ReplicaSettings::default() };
        let (replica, follow) = Replica::new(settings, Follow::Log(log.clone()), None);
        let (stop, mut tasks) = (CancellationToken::new(), Vec::new());
        if self.follows {
            tasks.push(tokio::spawn(follow.run(stop.clone())));
        }
        let opened =
            Snapshotter::open_with(self.settings, log, replica.clone(), self.images, self.steps);
        let (snapshotter, keep) = opened.unwrap();
        tasks.push(tokio::spawn(keep.run(stop.clone())));
        Running { snapshotter, replica, dir: self.dir, stop, tasks }
    }
}

/// A running snapshotter.
pub(crate) struct Running {
    pub(crate) snapshotter: Snapshotter,
    pub(crate) replica: Replica,
    pub(crate) dir: PathBuf,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) async fn until(&self, what: &str, done: impl FnMut(&Status) -> bool) -> Status {
        let waited = tokio::time::timeout(SOON, self.snapshotter.until(done)).await;
        waited.unwrap_or_else(|_| panic!("{what}: {:?}", self.snapshotter.status())).unwrap()
    }

    /// Waits until the rows are at the chain's head.
    pub(crate) async fn reaches(&self, chain: &Chain) -> Status {
        let head = *chain.state.head();
        let status = self.until("the head", |status| status.revision == Some(head.revision)).await;
        assert_eq!(status.hash, head.hash);
        status
    }

    /// Waits for an image of the chain's head, and compares it with the model.
    pub(crate) async fn has_image_of(&self, chain: &Chain) -> Manifest {
        let revision = chain.state.head().revision;
        self.until("the image", |status| status.image_revision == Some(revision)).await;
        let manifest = announced(&self.dir).unwrap();
        assert_eq!(manifest.revision, revision);
        check_image(&self.dir, &manifest, &chain.state);
        manifest
    }

    /// Waits until the chain's head is announced where images are shared.
    pub(crate) async fn has_shared(&self, chain: &Chain) {
        let revision = Some(chain.state.head().revision);
        self.until("the shared image", |status| status.shared_revision == revision).await;
    }

    /// Stops it, and waits until it lets go of its files.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
        drop(self.snapshotter);
    }
}

/// What is announced on the shelf below `dir`.
pub(crate) fn announced(dir: &Path) -> Option<Manifest> {
    let json = std::fs::read(dir.join("images/latest.json")).ok()?;
    Some(Manifest::parse(&json).unwrap())
}

/// What is announced in a directory where images are shared.
pub(crate) fn shared(dir: &Path) -> Option<Manifest> {
    let json = std::fs::read(dir.join("latest.json")).ok()?;
    Some(Manifest::parse(&json).unwrap())
}

/// The names of the images on the shelf.
pub(crate) fn shelved(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir.join("images")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".hwi")).collect();
    names.sort();
    names
}

/// Compares every entry of an image with the model.
pub(crate) fn check_image(dir: &Path, manifest: &Manifest, state: &State) {
    let image = WireImage::open(&dir.join("images").join(&manifest.name)).unwrap();
    assert_eq!((image.head(), image.totals()), (state.head(), state.totals()));
    let mut entries: Vec<(String, String, Entry)> = Vec::new();
    image
        .for_each(&mut |namespace, key, entry| {
            entries.push((namespace.to_owned(), key.to_owned(), entry.to_entry()));
            Ok(())
        })
        .unwrap();
    let wanted: Vec<_> =
        state.iter().map(|(n, k, entry)| (n.to_string(), k.to_string(), entry.clone())).collect();
    assert!(entries == wanted, "{} entries instead of {}", entries.len(), wanted.len());
}

/// A directory that is thrown away.
pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Copies a directory: what a process leaves that is killed at this moment.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else if let Err(error) = std::fs::copy(file.path(), target) {
            // RocksDB may delete a file between the listing and the copy.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}
