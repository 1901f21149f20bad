//! A real PostgreSQL: Debian's package, on a free port of loopback, by somebody who is not root.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::broker::free_port;
use crate::guarded::{Guarded, Launch};

/// Who it runs as where the tests run as root, which PostgreSQL refuses to.
const NOT_ROOT: &str = "postgres";
/// Who may do everything in it.
const USER: &str = "app";
const PASSWORD: &str = "not-a-secret";
/// How long a start may take before it counts as failed.
const START: Duration = Duration::from_secs(30);
/// How long an end may take.
const STOP: Duration = Duration::from_secs(10);

/// A server with nothing in it. Dropped: gone, with its data.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    process: Guarded,
    dir: TempDir,
}

impl Postgres {
    /// Starts one, and waits until it serves.
    ///
    /// # Panics
    /// When it is not installed; the message says what to run.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("headwater-postgres-").tempdir();
        let dir = dir.expect("a folder");
        std::fs::write(dir.path().join("password"), PASSWORD).expect("a file");
        std::fs::create_dir(dir.path().join("data")).expect("a folder");
        give_away(dir.path());
        let port = free_port();
        found(dir.path());
        let data = dir.path().join("data").display().to_string();
        let port_text = port.to_string();
        // Without syncs: nobody cuts the power of this one.
        let command = by_nobody_special(&[
            &program("postgres"),
            "-D",
            &data,
            "-p",
            &port_text,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        let log = dir.path().join("postgres.log");
        let launch = Launch { command, environment: Vec::new(), log, remove: None };
        let mut server = Self { port, process: launch.start(), dir };
        server.wait_until_it_serves();
        server
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who may do everything in it.
    pub fn user(&self) -> &str {
        USER
    }

    /// A file with that user's password.
    pub fn password_file(&self) -> PathBuf {
        self.dir.path().join("password")
    }

    /// Makes a database by these statements.
    ///
    /// # Panics
    /// With what PostgreSQL says, when it refuses.
    pub fn database(&self, name: &str, statements: &str) {
        self.ask("postgres", &format!("create database {name}"));
        self.ask(name, statements);
    }

    /// What a statement gives, a row a line.
    ///
    /// # Panics
    /// With what PostgreSQL says, when it refuses.
    pub fn ask(&self, database: &str, statement: &str) -> String {
        let (said, error) = self.try_ask(database, statement);
        assert!(error.is_empty(), "{statement}: {error}");
        said
    }

    fn try_ask(&self, database: &str, statement: &str) -> (String, String) {
        let output = Command::new(program("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "-v",
                "ON_ERROR_STOP=1",
            ])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-d", database])
            .args(["-c", statement])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    fn wait_until_it_serves(&mut self) {
        let deadline = Instant::now() + START;
        loop {
            // psql takes longer to fail than a connection.
            let there = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
            if there && self.try_ask("postgres", "select 1").0 == "1" {
                return;
            }
            let ended = self.process.exit();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "PostgreSQL does not start ({ended:?}):\n{}",
                self.process.log_tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // kill -9 would leave its shared memory behind.
        self.process.signal("INT");
        let _ = self.process.wait(STOP);
    }
}

/// Makes the files of a new server.
fn found(dir: &Path) {
    let path = |name: &str| dir.join(name).display().to_string();
    let (data, password) = (path("data"), path("password"));
    let command = by_nobody_special(&[
        &program("initdb"),
        "--no-sync",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--username",
        USER,
        "--pwfile",
        &password,
        "--pgdata",
        &data,
    ]);
    let output = Command::new(&command[0]).args(&command[1..]).current_dir(dir).output();
    let output = output.expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0)
}

/// Lets whoever runs the server into its folder.
fn give_away(dir: &Path) {
    if is_root() {
        let all = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir, all).expect("the folder is ours");
        let given = Command::new("chown").args(["-R", NOT_ROOT]).arg(dir).status();
        assert!(given.is_ok_and(|it| it.success()), "chown {NOT_ROOT} {}", dir.display());
    }
}

/// A command as somebody who is not root.
fn by_nobody_special(command: &[&str]) -> Vec<String> {
    let (user, group) = (format!("--reuid={NOT_ROOT}"), format!("--regid={NOT_ROOT}"));
    let other = ["setpriv", &user, &group, "--clear-groups"];
    let other = if is_root() { &other[..] } else { &[] };
    [other, command].concat().into_iter().map(str::to_owned).collect()
}

/// A program of the newest PostgreSQL there is: Debian puts none of the server's on `PATH`.
fn program(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .filter_map(|it| Some((it.file_name().to_str()?.parse().ok()?, it.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    installed.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let newest = installed.pop().map(|(_, bin)| bin);
    let folders = newest.into_iter().chain(std::env::split_paths(&path));
    let found = folders.map(|bin| bin.join(name)).find(|program| program.is_file());
    let missing = "the tests of the pool need PostgreSQL: run scripts/install test";
    found.unwrap_or_else(|| panic!("{name} is not here: {missing}")).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_serves_by_its_password_only_and_is_gone_when_dropped() {
        let server = Postgres::start();
        server.database("shop", "create table t (id int); insert into t values (7)");
        assert_eq!(server.ask("shop", "select id from t"), "7");
        let (port, dir) = (server.port(), server.dir.path().to_owned());
        let refused = Command::new(program("psql"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-U",
                USER,
                "-c",
                "select 1",
                "shop",
            ])
            .env("PGPASSWORD", "wrong")
            .output()
            .expect("psql runs");
        assert!(!refused.status.success());
        drop(server);
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() && !dir.exists());
    }
}
