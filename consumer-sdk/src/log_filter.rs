//! The filter of a service's own logs as a key: more is logged, or less, without a restart.
//!
//! ```no_run
//! use tracing_subscriber::prelude::*;
//! use tracing_subscriber::{EnvFilter, fmt, reload};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (filter, handle) = reload::Layer::new(EnvFilter::try_new("info")?);
//! tracing_subscriber::registry().with(fmt::layer().with_filter(filter)).init();
//! let hw = headwater::Client::builder()
//!     .relay("http://127.0.0.1:7070")
//!     .namespaces(["payments.prod"])
//!     .connect()
//!     .await?;
//! let _bound = headwater::log_filter::bind(&hw, "log/filter", handle);
//! # Ok(()) }
//! ```
//!
//! `headwater put payments.prod log/filter '"info,payments::pool=debug"'` does the rest. Reload the filter alone, as here: a
//! whole filtered layer cannot be exchanged.

use std::fmt;

use tokio_util::task::AbortOnDropHandle;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload;

use crate::client::Client;
use crate::error::ValueError;
use crate::handle::{Guard, Handle};

/// The longest filter, in bytes: it is matched against every place that logs.
pub const MAX_FILTER_BYTES: usize = 4 * 1024;

/// A log filter that follows a key, for as long as this lives; then it stays as it is.
#[must_use = "the filter follows its key only while this lives"]
pub struct LogFilter {
    handle: Handle<String>,
    _following: AbortOnDropHandle<()>,
}

impl LogFilter {
    /// The filter in force.
    pub fn load(&self) -> Guard<String> {
        self.handle.load()
    }

    /// Why the newest value was refused, if it was; the last good one is in force. [`Client::status`] says it, too.
    pub fn rejected(&self) -> Option<ValueError> {
        self.handle.rejected()
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFilter").field("filter", &*self.load()).finish_non_exhaustive()
    }
}

/// Lets `filter` follow `key`, whose value is a text such as `info,my_crate=debug` (a JSON string, or `text/plain`).
/// A value that is no filter is refused: the last good one stays, and the refusal is logged and told by
/// [`LogFilter::rejected`] and [`Client::status`]. While the key is absent, the filter is the one it was when it was bound.
pub fn bind<S: 'static>(hw: &Client, key: &str, filter: reload::Handle<EnvFilter, S>) -> LogFilter {
    let at_first = filter.with_current(ToString::to_string).unwrap_or_default();
    let handle =
        hw.bind(key).default(at_first).validate(|text: &String| parse(text).map(drop)).build();
    let mut changes = handle.subscribe();
    let following = hw.spawn(async move {
        // The default is in force already.
        let is_set = changes.load().revision() > 0;
        if is_set && !follow(&filter, &changes.load()) {
            return;
        }
        while let Ok(text) = changes.changed().await {
            if !follow(&filter, &text) {
                return;
            }
        }
    });
    LogFilter { handle, _following: following }
}

/// Puts a filter in force; false when nothing logs by it any more.
fn follow<S>(filter: &reload::Handle<EnvFilter, S>, text: &Guard<String>) -> bool {
    let revision = text.revision();
    let reloaded = match parse(text) {
        Ok(next) => filter.reload(next),
        Err(error) => {
            tracing::warn!(%error, "the filter that was set at the start cannot be set again");
            return true;
        }
    };
    tracing::info!(filter = text.as_str(), revision, "the log filter changed");
    reloaded.is_ok()
}

/// Strictly: a directive that is none is an error, not a warning on standard error.
fn parse(text: &str) -> Result<EnvFilter, String> {
    if text.trim().is_empty() {
        return Err("an empty filter; write it like info,my_crate=debug, or delete the key".into());
    }
    if text.len() > MAX_FILTER_BYTES {
        return Err(format!("a filter of {} bytes; at most {MAX_FILTER_BYTES}", text.len()));
    }
    let parsed = EnvFilter::try_new(text);
    parsed.map_err(|error| format!("{error}; write it like info,my_crate=debug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_filter_is_one() {
        for good in ["debug", "info,headwater_publisher=debug", "off", "warn,a::b[span]=trace"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "info,headwater_publisher=loud", "a=b=c"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse(&"a".repeat(MAX_FILTER_BYTES + 1)).unwrap_err().contains("at most"));
    }

    #[test]
    fn what_a_filter_says_of_itself_is_the_same_filter() {
        for text in ["info", "warn,a=debug,b::c=off"] {
            let first = parse(text).unwrap().to_string();
            assert_eq!(parse(&first).unwrap().to_string(), first);
        }
    }
}
