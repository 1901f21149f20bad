//! A service with the SDK in it, as a process of its own: `src/bin/probe.rs`.

use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::guarded::{Guarded, Launch};
use crate::process::beside_the_test;

/// A `probe` process. Dropped: gone.
#[derive(Debug)]
pub struct Probe {
    process: Guarded,
    _logs: TempDir,
}

impl Probe {
    /// Starts one with these flags; see `src/bin/probe.rs`.
    pub fn start(flags: &[&str]) -> Self {
        let logs = tempfile::tempdir().expect("a folder for the log");
        let mut command = vec![beside_the_test("probe").display().to_string()];
        command.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let log = logs.path().join("probe.log");
        let launch = Launch { command, environment: Vec::new(), log, remove: None };
        Self { process: launch.start(), _logs: logs }
    }

    /// Its account once it has connected.
    pub fn connected(&mut self, patience: Duration) -> Value {
        self.line("connected", patience)
    }

    /// Its account once it has reached the revision it waits for.
    pub fn reached(&mut self, patience: Duration) -> Value {
        self.line("reached", patience)
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    fn line(&mut self, event: &str, patience: Duration) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let log = self.process.log_tail();
            let mut told = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = told.find(|line| line["event"] == event) {
                return line["status"].clone();
            }
            let ended = self.process.exit();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the probe has not {event} after {patience:?} (exit {ended:?}):\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
