//! Processes that end with the test that started them, however that ends.
//!
//! A small shell stands between: it starts the program, and kills it as soon as a pipe closes whose other end
//! only the test holds. So neither a panic, nor `kill -9` of the test, nor a static that is never dropped leaves
//! a JVM behind. Signals go to the program itself, by its process id.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// `$1` is the log file, `$2` a folder to remove at the end or nothing, the rest the program and its arguments.
/// The guard ends with the program, so that it never kills a process that got the same id later.
const SHELL: &str = r#"
log=$1 remove=$2; shift 2
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- & program=$!
echo "$program"
exec 2>/dev/null
(cat <&3 >/dev/null; kill -9 "$program" 2>/dev/null) & guard=$!
wait "$program"; code=$?
kill "$guard" 2>/dev/null
[ -z "$remove" ] || rm -rf "$remove"
exit "$code"
"#;

/// A program that runs, or ran.
#[derive(Debug)]
pub struct Guarded {
    shell: Child,
    /// Its end is the program's end.
    lifeline: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
    exit: Option<i32>,
}

/// A program to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables of its environment, beside those of the test.
    pub environment: Vec<(String, String)>,
    /// Where its output goes, behind what is there.
    pub log: PathBuf,
    /// A folder to remove when it has ended, for programs that nobody waits for.
    pub remove: Option<PathBuf>,
}

impl Launch {
    /// Starts it.
    pub fn start(&self) -> Guarded {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SHELL, "guard"])
            .arg(&self.log)
            .arg(self.remove.as_deref().unwrap_or(Path::new("")))
            .args(&self.command)
            .envs(self.environment.iter().cloned())
            // Ctrl-C is for the test; the rest follows by the closing pipe.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("/bin/sh starts");
        let lifeline = shell.stdin.take();
        let mut pid = String::new();
        let stdout = shell.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut pid).expect("the shell tells the process id");
        let pid = pid.trim().parse().unwrap_or_else(|_| panic!("no process id: {pid:?}"));
        Guarded { shell, lifeline, pid, log: self.log.clone(), exit: None }
    }
}

impl Guarded {
    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its exit status, once it has ended; 128 + n when signal n ended it.
    pub fn exit(&mut self) -> Option<i32> {
        if self.exit.is_none() {
            let status = self.shell.try_wait().expect("a child can be waited for");
            self.exit = status.map(|status| status.code().unwrap_or(-1));
        }
        self.exit
    }

    /// Waits for its end; none when it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<i32> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(code) = self.exit() {
                return Some(code);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it a signal, such as `KILL`, unless it has ended.
    pub fn signal(&mut self, signal: &str) {
        if self.exit().is_some() {
            return;
        }
        let kill = format!("kill -{signal} {}", self.pid);
        let sent = Command::new("/bin/sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        // It may end at this very moment: then there is nobody to signal.
        drop(sent);
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal("KILL");
        let gone = self.wait(Duration::from_secs(30));
        assert!(gone.is_some(), "process {} survives kill -9", self.pid);
    }

    /// The last lines of what it printed.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        self.signal("KILL");
        // What survives kill -9 is the kernel's to end.
        let _ = self.wait(Duration::from_secs(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(dir: &Path, script: &str) -> Guarded {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let log = dir.join("log");
        Launch { command, environment: Vec::new(), log, remove: None }.start()
    }

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}/stat")).exists()
    }

    #[test]
    fn a_program_says_how_it_ended_and_what_it_printed() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = launch(dir.path(), "echo hello; exit 7");
        assert_eq!(program.wait(Duration::from_secs(10)), Some(7));
        assert_eq!(program.log_tail(), "hello");
    }

    #[test]
    fn a_program_ends_with_its_lifeline() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = launch(dir.path(), "exec sleep 600");
        assert!(alive(program.pid()));
        drop(program.lifeline.take());
        assert_eq!(program.wait(Duration::from_secs(10)), Some(128 + 9));
        assert!(!alive(program.pid()));
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let program = launch(dir.path(), "exec sleep 600");
        let pid = program.pid();
        drop(program);
        assert!(!alive(pid));
    }

    #[test]
    fn signals_reach_the_program_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut program =
            launch(dir.path(), "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done");
        let deadline = Instant::now() + Duration::from_secs(10);
        while program.log_tail() != "up" {
            assert!(Instant::now() < deadline, "it never came up");
            std::thread::sleep(Duration::from_millis(5));
        }
        program.signal("TERM");
        assert_eq!(program.wait(Duration::from_secs(10)), Some(3));
    }
}
