//! A program of `examples/`, as a process.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::guarded::{Guarded, Launch};
use crate::http::{Answer, Ask, ask};
use crate::process::binary;

/// How long a program may take until it says where it answers.
const START: Duration = Duration::from_secs(30);

/// A running program. Dropped: gone.
#[derive(Debug)]
pub struct Example {
    process: Guarded,
    log: PathBuf,
    _dir: TempDir,
}

impl Example {
    /// Starts it with these arguments.
    pub fn start(name: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the log");
        let log = dir.path().join("log");
        let program = binary().with_file_name(name);
        assert!(program.is_file(), "there is no {}: run `make build`", program.display());
        let mut command = vec![program.display().to_string()];
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        let launch = Launch { command, environment: Vec::new(), log: log.clone(), remove: None };
        Self { process: launch.start(), log, _dir: dir }
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it has printed these words.
    ///
    /// # Panics
    /// When it does not in time, or ends; the message holds its log.
    pub fn wait_for(&mut self, words: &str) {
        let deadline = Instant::now() + START;
        while !self.log().contains(words) {
            let ended = self.process.exit();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no {words:?} ({ended:?}) in:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its exit status, once it has ended by itself.
    ///
    /// # Panics
    /// When it still runs after half a minute.
    pub fn ended(&mut self) -> i32 {
        let code = self.process.wait(START);
        code.unwrap_or_else(|| panic!("it still runs:\n{}", self.log()))
    }

    /// Asks it to end (SIGTERM) and gives its exit status.
    pub fn terminate(&mut self) -> i32 {
        self.process.signal("TERM");
        self.ended()
    }
}

/// A running program that answers over HTTP. Dropped: gone.
#[derive(Debug)]
pub struct Service {
    program: Example,
    host: String,
}

impl Service {
    /// Starts it on a free port with these arguments, and waits until it says where it answers.
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut program = Example::start(name, &[args, &["--listen", "127.0.0.1:0"]].concat());
        program.wait_for("try: curl http://");
        let log = program.log();
        let told = log.split("try: curl http://").nth(1).and_then(|it| it.split('/').next());
        let host = told.expect("where it answers").to_owned();
        Self { program, host }
    }

    /// Where it listens: `127.0.0.1:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Asks once.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn ask(&self, what: Ask) -> Answer {
        ask(&self.host, &what).await
    }

    /// Asks until the answer is as wanted, and gives that one.
    ///
    /// # Panics
    /// When it is not in time; the message holds the last answer and the log.
    pub async fn until(&self, what: Ask, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + START;
        loop {
            let answer = self.ask(what.clone()).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "still {} {}\n{}",
                answer.status,
                answer.text(),
                self.program.log()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// All that it printed.
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Asks it to end (SIGTERM) and gives its exit status.
    pub fn terminate(&mut self) -> i32 {
        self.program.terminate()
    }
}
