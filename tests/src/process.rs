//! A real `headwater` process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::broker::free_port;
use crate::guarded::{Guarded, Launch};

/// How long a server may take until it is ready.
const READY: Duration = Duration::from_secs(60);

/// A `headwater` server process. Dropped: gone.
#[derive(Debug)]
pub struct Headwater {
    listen: String,
    launch: Launch,
    process: Guarded,
    _logs: Option<TempDir>,
}

impl Headwater {
    /// Starts `headwater serve` on a free port with its data in `data`, and waits until it is ready.
    pub fn serve(data: &Path, extra: &[&str]) -> Self {
        Self::serve_in(data, extra, &[])
    }

    /// The same with more variables in its environment.
    pub fn serve_in(data: &Path, extra: &[&str], environment: &[(&str, &str)]) -> Self {
        let data = data.display().to_string();
        let mut args = vec!["serve", "--data", &data];
        args.extend_from_slice(extra);
        let mut server = Self::start_unready(&args, environment);
        server.wait_until_ready(READY);
        server
    }

    /// Starts `headwater` with these arguments and `--listen` on a free port, and waits until it is ready.
    pub fn start(args: &[&str]) -> Self {
        let mut server = Self::start_unready(args, &[]);
        server.wait_until_ready(READY);
        server
    }

    /// Starts it, with more variables in its environment, and waits for nothing: for starts that are to fail or
    /// to take long.
    pub fn start_unready(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let logs = tempfile::tempdir().expect("a folder for the log");
        let mut command = vec![binary().display().to_string()];
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        command.extend(["--listen".to_owned(), listen.clone()]);
        let environment =
            environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let log = logs.path().join("headwater.log");
        let launch = Launch { command, environment, log, remove: None };
        Self { listen, process: launch.start(), launch, _logs: Some(logs) }
    }

    /// Starts `headwater serve` with data that nobody looks at, for a static, which is never dropped: the guard
    /// removes its folder when the test ends. Waits until it is ready.
    pub fn serve_forgotten(extra: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("headwater-shared-").tempdir();
        let dir = dir.expect("a folder").keep();
        let listen = format!("127.0.0.1:{}", free_port());
        let data = dir.join("data").display().to_string();
        let binary = binary().display().to_string();
        let mut command = vec![&*binary, "serve", "--data", &data, "--listen", &listen];
        command.extend_from_slice(extra);
        let command = command.into_iter().map(str::to_owned).collect();
        let log = dir.join("headwater.log");
        let launch = Launch { command, environment: Vec::new(), log, remove: Some(dir) };
        let mut server = Self { listen, process: launch.start(), launch, _logs: None };
        server.wait_until_ready(READY);
        server
    }

    /// Where it listens: `127.0.0.1:port`.
    pub fn host(&self) -> &str {
        &self.listen
    }

    /// Where it answers: `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Asks it to end (SIGTERM) and gives its exit status.
    ///
    /// # Panics
    /// When it still runs after `patience`.
    pub fn terminate(&mut self, patience: Duration) -> i32 {
        self.process.signal("TERM");
        self.wait(patience)
    }

    /// Waits for its end and gives its exit status.
    ///
    /// # Panics
    /// When it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> i32 {
        let code = self.process.wait(patience);
        code.unwrap_or_else(|| panic!("still running after {patience:?}:\n{}", self.log()))
    }

    /// Its exit status, if it has ended.
    pub fn exit(&mut self) -> Option<i32> {
        self.process.exit()
    }

    /// Stops its clock (SIGSTOP): its connections stay, and nobody answers.
    pub fn pause(&mut self) {
        self.process.signal("STOP");
    }

    /// Lets a paused one go on.
    pub fn resume(&mut self) {
        self.process.signal("CONT");
    }

    /// Starts it again with the same arguments and port, and waits until it is ready. Kills it where it still
    /// runs.
    pub fn restart(&mut self) {
        self.restart_unready();
        self.wait_until_ready(READY);
    }

    /// The same without the wait.
    pub fn restart_unready(&mut self) {
        self.process.kill9();
        self.process = self.launch.start();
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    /// When it does not in time, or the process ends; the message holds its log.
    pub fn wait_until_ready(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while status_of(&self.listen, "/readyz") != Some(200) {
            if let Some(code) = self.exit() {
                panic!("headwater ended with {code} before it was ready:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not ready after {patience:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The last lines of what it printed.
    pub fn log(&self) -> String {
        self.process.log_tail()
    }
}

/// The binary under test: `HEADWATER_BIN`, else the one that was built beside this test.
///
/// # Panics
/// When it is not there; the message says how to build it.
pub fn binary() -> PathBuf {
    let binary = std::env::var_os("HEADWATER_BIN")
        .map_or_else(|| beside_the_test("headwater"), PathBuf::from);
    assert!(
        binary.is_file(),
        "there is no headwater binary at {}: run `make build`, or set HEADWATER_BIN to one",
        binary.display()
    );
    binary
}

/// `<target>/release/deps/<test>` and `<target>/release/<program>` → `<target>/release/<name>`.
pub(crate) fn beside_the_test(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a program knows where it is");
    let folder = this.parent().unwrap_or(Path::new("."));
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    folder.join(name)
}

/// The status of a plain GET; none when nobody answers within a second.
fn status_of(address: &str, path: &str) -> Option<u16> {
    let limit = Some(Duration::from_secs(1));
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(limit).ok()?;
    stream.set_write_timeout(limit).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = [0; 12];
    stream.read_exact(&mut line).ok()?;
    std::str::from_utf8(line.get(9..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_status_is_read_from_the_first_line_and_silence_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
        });
        assert_eq!(status_of(&address, "/readyz"), Some(503));
        answering.join().unwrap();
        assert_eq!(status_of(&address, "/readyz"), None, "nobody listens any more");
    }
}
