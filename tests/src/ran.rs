//! What a command of the binary ended with.

use std::process::Output;

use serde_json::Value;

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
