//! A real S3 server: versitygw over a directory, on a free port of loopback.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater_image_store::{S3Settings, Store};
use tempfile::TempDir;

use crate::broker::free_port;
use crate::guarded::{Guarded, Launch};

/// The version that `scripts/versitygw` builds.
const VERSION: &str = "1.8.0";
const BUCKET: &str = "images";
const ACCESS: &str = "headwater";
const SECRET: &str = "not-a-secret";
/// How long a start may take before it counts as failed.
const START: Duration = Duration::from_secs(30);

/// A server with one bucket. Dropped: gone, with its data.
#[derive(Debug)]
pub struct S3 {
    port: u16,
    launch: Launch,
    process: Guarded,
    dir: TempDir,
}

impl S3 {
    /// Starts one with an empty bucket, and waits until it serves.
    ///
    /// # Panics
    /// When it is not built; the message says what to run.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("headwater-s3-").tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("data").join(BUCKET)).expect("a bucket");
        let port = free_port();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let listen = format!("127.0.0.1:{port}");
        let (binary, data) = (binary().display().to_string(), path("data"));
        let keys = ["--access", ACCESS, "--secret", SECRET];
        // Its tags stand in the files' extended attributes: beside the files (`--sidecar`) they would change a moment
        // before or after them, and a condition on a tag would hold for other bytes.
        let command = [&[&*binary, "--port", &listen], &keys[..], &["--quiet", "posix", &data]];
        let command = command.concat().into_iter().map(str::to_owned).collect();
        let log = dir.path().join("versitygw.log");
        let launch = Launch { command, environment: Vec::new(), log, remove: None };
        let mut server = Self { port, process: launch.start(), launch, dir };
        server.wait_until_it_serves();
        server
    }

    /// The URL of a place in its bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// How to reach it.
    pub fn settings(&self) -> S3Settings {
        S3Settings {
            endpoint: Some(self.endpoint()),
            allow_http: Some(true),
            credentials: Some((ACCESS.to_owned(), SECRET.to_owned())),
            ..S3Settings::default()
        }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How a process reaches it: by the usual variables.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ]
    }

    /// A place in its bucket, opened.
    pub fn store(&self, prefix: &str) -> Store {
        Store::open(&self.url(prefix), &self.settings()).expect("a place")
    }

    /// The files of a place as they stand on this machine's disk, for a web server in front or a foreign hand.
    pub fn dir(&self, prefix: &str) -> PathBuf {
        self.dir.path().join("data").join(BUCKET).join(prefix)
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again on the same port and data, and waits until it serves.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = self.launch.start();
        self.wait_until_it_serves();
    }

    fn wait_until_it_serves(&mut self) {
        let deadline = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let ended = self.process.exit();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "versitygw does not start ({ended:?}):\n{}",
                self.process.log_tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Where `scripts/versitygw` puts it.
fn binary() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    let home = cache.unwrap_or_default().join("headwater").join(format!("versitygw-{VERSION}"));
    let binary = home.join("versitygw");
    assert!(
        binary.is_file(),
        "the tests of images need versitygw {VERSION} at {}: run scripts/versitygw",
        binary.display()
    );
    binary
}
