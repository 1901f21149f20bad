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
//! `headwater put payments.prod log/filter '"info,payments::pool=debug"'` does the rest. With an end it is turned up for a
//! while only, and nobody has to think of turning it down again:
//!
//! ```text
//! headwater put payments.prod log/filter '{"filter": "info,payments::pool=debug", "for": "10m"}'
//! ```
//!
//! Reload the filter alone, as here: a whole filtered layer cannot be exchanged.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio_util::task::AbortOnDropHandle;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload;

use crate::client::Client;
use crate::error::ValueError;
use crate::handle::{Guard, Handle, Subscription};

use wanted::Wanted;

mod wanted;

/// The longest filter, in bytes: it is matched against every place that logs.
pub const MAX_FILTER_BYTES: usize = 4 * 1024;

/// A log filter that follows a key, for as long as this lives; then it stays as it is.
#[must_use = "the filter follows its key only while this lives"]
pub struct LogFilter {
    handle: Handle<Wanted>,
    in_force: Arc<ArcSwap<String>>,
    _following: AbortOnDropHandle<()>,
}

impl LogFilter {
    /// The filter in force.
    pub fn load(&self) -> Arc<String> {
        self.in_force.load_full()
    }

    /// Why the newest value was refused, if it was; the last good one is in force. [`Client::status`] says it, too.
    pub fn rejected(&self) -> Option<ValueError> {
        self.handle.rejected()
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFilter").field("filter", &self.load()).finish_non_exhaustive()
    }
}

/// Lets `filter` follow `key`. While the key is absent, the filter is the one it was when it was bound.
///
/// The value is a text such as `info,my_crate=debug` (a JSON string, or `text/plain`), which counts until it is
/// changed; or an object, whose filter counts for so long after its commit, in every process that follows the key:
///
/// ```json
/// {"filter": "info,my_crate=debug", "for": "10m", "then": "warn"}
/// ```
///
/// `for` is `<n>s`, `<n>m` or `<n>h`, at most a day. `then` is the filter from there on; without it that is the one
/// that was in force when it was bound. A value that holds no filter is refused: the last good one stays, and the
/// refusal is logged and told by [`LogFilter::rejected`] and [`Client::status`].
pub fn bind<S: 'static>(hw: &Client, key: &str, filter: reload::Handle<EnvFilter, S>) -> LogFilter {
    let at_first = filter.with_current(ToString::to_string).unwrap_or_default();
    let handle = hw.bind(key).default(Wanted::always(at_first.clone())).validate(judge).build();
    let in_force = Arc::new(ArcSwap::from_pointee(at_first.clone()));
    let followed = Filter { reload: filter, in_force: in_force.clone() };
    let following = hw.spawn(follow(followed, at_first, handle.subscribe()));
    LogFilter { handle, in_force, _following: following }
}

/// Keeps a filter at what its key says, until nothing logs by it any more or the client ends.
async fn follow<S>(filter: Filter<S>, at_first: String, mut changes: Subscription<Wanted>) {
    loop {
        let (text, revision, left) = now(&changes.load(), &at_first);
        if !filter.set(text, revision) {
            return;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = over(left) => {}
        }
    }
}

/// The filter that counts now, the revision that says so, and for how long.
fn now(wanted: &Guard<Wanted>, at_first: &str) -> (String, u64, Option<Duration>) {
    let left = wanted.left(put_at(wanted), SystemTime::now());
    let text = match (&wanted.end, left) {
        (Some(end), Some(Duration::ZERO)) => end.then.as_deref().unwrap_or(at_first),
        _ => &wanted.filter,
    };
    (text.to_owned(), wanted.revision(), left.filter(|left| !left.is_zero()))
}

/// When the value was committed; what no commit put there counts from when it came.
fn put_at(wanted: &Guard<Wanted>) -> SystemTime {
    let committed_at_ms = wanted.value().committed_at_ms().and_then(|ms| u64::try_from(ms).ok());
    let committed = committed_at_ms.map(Duration::from_millis);
    let at = committed.and_then(|since_epoch| UNIX_EPOCH.checked_add(since_epoch));
    at.unwrap_or_else(|| wanted.value().applied_at())
}

async fn over(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

/// What is reloaded.
struct Filter<S> {
    reload: reload::Handle<EnvFilter, S>,
    in_force: Arc<ArcSwap<String>>,
}

impl<S> Filter<S> {
    /// Puts a filter in force; false when nothing logs by it any more.
    fn set(&self, text: String, revision: u64) -> bool {
        if text == **self.in_force.load() {
            return true;
        }
        let next = match parse(&text) {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "the filter that was set at the start cannot be set again");
                return true;
            }
        };
        let text = Arc::new(text);
        self.in_force.store(text.clone());
        let reloaded = self.reload.reload(next);
        tracing::info!(filter = text.as_str(), revision, "the log filter changed");
        reloaded.is_ok()
    }
}

fn judge(wanted: &Wanted) -> Result<(), String> {
    let then = wanted.end.as_ref().and_then(|end| end.then.as_deref());
    std::iter::once(wanted.filter.as_str()).chain(then).try_for_each(|text| parse(text).map(drop))
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
