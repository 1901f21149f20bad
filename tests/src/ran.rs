//! The commands of the binary as a user types them, and what they ended with.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::binary;

/// A command against the server at `url`: with nobody to answer it, no editor, and no actor.
pub fn command(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env("HEADWATER_SERVER", url).stdin(Stdio::null());
    for name in ["VISUAL", "EDITOR", "HEADWATER_ACTOR"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command that reads all of `input`.
///
/// # Panics
/// When it does not start, or does not read it.
pub fn fed(mut command: Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut stdin = child.stdin.take().expect("its standard input is ours");
    stdin.write_all(input.as_bytes()).expect("the command reads");
    drop(stdin);
    child.wait_with_output().expect("the command ends").into()
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status; -1 when a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a command says UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Ran {
    /// It ended so.
    ///
    /// # Panics
    /// With all that it said, when it did not.
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    /// Standard output holds these words.
    ///
    /// # Panics
    /// With all that it said, when it does not.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text), "{text:?} is not in:\n{}{}", self.out, self.err);
        self
    }

    /// Standard error holds these words.
    ///
    /// # Panics
    /// With what stands there, when it does not.
    #[track_caller]
    pub fn tells(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{text:?} is not in:\n{}", self.err);
        self
    }

    /// Standard output as one JSON value.
    ///
    /// # Panics
    /// With it, when it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Every line of standard output as JSON.
    ///
    /// # Panics
    /// With it, when a line is none.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let line = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", self.out))
        };
        self.out.lines().map(line).collect()
    }
}
