//! What the key `db/pool` says.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The pool, as it stands in the configuration. What is not so is refused, and the last good one stays.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolSettings {
    pub(crate) database: Database,
    /// Connections at most. Too few make requests wait; too many are the database's burden.
    pub(crate) max_connections: NonZeroU16,
    #[serde(default)]
    pub(crate) times: Times,
}

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) name: String,
    pub(crate) user: String,
    /// A file of this machine that holds the password: whoever may read the configuration need not know it.
    pub(crate) password_file: Option<PathBuf>,
}

/// How long things may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Times {
    /// Waiting for a connection that is free.
    pub(crate) wait_ms: NonZeroU32,
    /// Making a new one.
    pub(crate) connect_ms: NonZeroU32,
    /// One statement; the database ends it then.
    pub(crate) statement_ms: NonZeroU32,
}

impl Default for Times {
    fn default() -> Self {
        let ms = |ms| NonZeroU32::new(ms).unwrap_or(NonZeroU32::MIN);
        Self { wait_ms: ms(2_000), connect_ms: ms(2_000), statement_ms: ms(5_000) }
    }
}

/// Whole milliseconds as a duration.
pub(crate) fn millis(ms: NonZeroU32) -> Duration {
    Duration::from_millis(u64::from(ms.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_none_and_a_time_of_nothing_and_a_typing_error_are_refused() {
        let settings = |text: &str| {
            let database = r#"{"host": "db", "port": 5432, "name": "shop", "user": "app"}"#;
            serde_json::from_str::<PoolSettings>(&format!(r#"{{"database": {database}, {text}}}"#))
        };
        let good = settings(r#""max_connections": 8"#).unwrap();
        assert_eq!(good.times, Times::default());
        for bad in [
            r#""max_connections": 0"#,
            r#""max_connections": 8, "times": {"wait_ms": 0}"#,
            r#""max_connections": 8, "times": {"wait": 10}"#,
            r#""max_connection": 8"#,
        ] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }
}
