//! For the tests of services: configuration without a server.
//!
//! What is written here takes the way of every commit, through the same replica, dispatcher and handles as in
//! production; only the log is one in this process's memory. A client of it starts in milliseconds, and nothing in it
//! depends on time: what [`Source::commit`] wrote is in every handle when [`Client::wait_for`] of its revision returns.
//!
//! ```
//! use headwater::testing::{self, Source};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Values that stay as they are.
//! let hw = testing::client([("db/pool", json!({ "max": 10 })), ("db/limit", json!(100))]);
//! assert_eq!(hw.get::<u32>("db/limit")?, Some(100));
//!
//! // A story: commits, a bad value, an outage.
//! let source = Source::new();
//! source.put("db/limit", 100);
//! let hw = source.client();
//! let limit: headwater::Handle<u32> = hw.handle("db/limit")?;
//! let bad = source.put("db/limit", "many");
//! hw.wait_for(bad).await?;
//! assert_eq!(*limit.load(), 100);
//! assert!(limit.rejected().is_some());
//!
//! source.outage("the network is down");
//! testing::until(&hw, |status| status.stale).await;
//! source.back();
//! let revision = source.commit([testing::put("db/limit", 200), testing::put("db/pool", json!({ "max": 20 }))]);
//! hw.wait_for(revision).await?;
//! assert_eq!((*limit.load(), limit.load().revision()), (200, revision));
//! # Ok(()) }
//! ```
//!
//! This is a plain module rather than a feature: it brings no dependency, does nothing to a client that was not made
//! by it, and a feature would have every crate compiled once more for its tests.

use std::sync::Arc;
use std::sync::mpsc as blocking;
use std::time::Duration;

use bytes::Bytes;
use headwater_schemas::{Change, Entry, Key, Namespace};
use serde::Serialize;

use crate::builder::Builder;
use crate::client::Client;
use crate::local::LocalStream;
use crate::status::Status;

/// The namespace of everything that is not said to stand elsewhere.
pub const NAMESPACE: &str = "test";

/// How often [`until`] looks without a signal.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const JSON: &str = "application/json";

/// A client that holds these values, as JSON, in the namespace [`NAMESPACE`]. They can be replaced by
/// [`override_for_test`].
///
/// # Panics
/// When a key is no key, or a value cannot be encoded.
#[track_caller]
pub fn client<K: AsRef<str>, V: Serialize>(entries: impl IntoIterator<Item = (K, V)>) -> Client {
    let source = Source::new();
    source.commit(entries.into_iter().map(|(key, value)| put(key.as_ref(), value)));
    source.client()
}

/// A source that a test writes: what is committed here reaches every client of it. Clones are the same source.
#[derive(Debug, Clone)]
pub struct Source {
    stream: Arc<LocalStream>,
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

impl Source {
    /// A stream of its own, at revision 0.
    ///
    /// # Panics
    /// Never in practice: a log in memory takes a first record.
    #[track_caller]
    pub fn new() -> Self {
        Self { stream: must(LocalStream::found("test", None)) }
    }

    /// A builder whose client follows this source: give it namespaces, a cache, and `connect`.
    pub fn builder(&self) -> Builder {
        Client::builder().local(self.stream.clone())
    }

    /// A client that reads the namespace [`NAMESPACE`] and is at the newest revision.
    ///
    /// # Panics
    /// When it cannot start, as during an outage.
    #[track_caller]
    pub fn client(&self) -> Client {
        must(self.builder().namespaces([NAMESPACE]).connect_blocking())
    }

    /// Commits all of it at once and says the revision: `hw.wait_for(revision)` returns when every handle has it. A key
    /// that stands twice takes the last; a deletion of what is not there changes nothing.
    ///
    /// # Panics
    /// When it is more than one commit may carry.
    #[track_caller]
    pub fn commit(&self, edits: impl IntoIterator<Item = Edit>) -> u64 {
        must(self.stream.commit(edits.into_iter().map(|edit| edit.0).collect()))
    }

    /// Commits one value, as JSON, and says the revision.
    ///
    /// # Panics
    /// As [`put`] and [`Source::commit`].
    #[track_caller]
    pub fn put(&self, key: &str, value: impl Serialize) -> u64 {
        self.commit([put(key, value)])
    }

    /// Commits a deletion and says the revision.
    ///
    /// # Panics
    /// When the key is no key.
    #[track_caller]
    pub fn delete(&self, key: &str) -> u64 {
        self.commit([delete(key)])
    }

    /// From now on the source cannot be reached: clients become stale and serve what they have. What is committed
    /// meanwhile arrives after [`Source::back`].
    pub fn outage(&self, reason: &str) {
        self.stream.reachable(Some(reason));
    }

    /// The source can be reached again.
    pub fn back(&self) {
        self.stream.reachable(None);
    }
}

/// One change of a commit, in the namespace [`NAMESPACE`] unless told otherwise.
#[derive(Debug, Clone)]
#[must_use = "commit it"]
pub struct Edit(Change);

impl Edit {
    /// The same change in another namespace.
    ///
    /// # Panics
    /// When that is no namespace.
    #[track_caller]
    pub fn in_namespace(mut self, name: &str) -> Self {
        let (Change::Put { namespace, .. } | Change::Delete { namespace, .. }) = &mut self.0;
        *namespace = must(Namespace::parse(name));
        self
    }
}

/// Puts a value, as JSON.
///
/// # Panics
/// When the key is no key, or the value cannot be encoded.
#[track_caller]
pub fn put(key: &str, value: impl Serialize) -> Edit {
    raw(key, JSON, must(serde_json::to_vec(&value)))
}

/// Puts a text (`text/plain`).
///
/// # Panics
/// When the key is no key.
#[track_caller]
pub fn text(key: &str, value: &str) -> Edit {
    raw(key, "text/plain; charset=utf-8", value)
}

/// Puts bytes as they are, such as JSON that is none: no server would have let those in.
///
/// # Panics
/// When the key is no key.
#[track_caller]
pub fn raw(key: &str, content_type: &str, value: impl AsRef<[u8]>) -> Edit {
    let value = Bytes::copy_from_slice(value.as_ref());
    let content_type = content_type.into();
    Edit(Change::Put { namespace: default(), key: key_of(key), content_type, value, version: 0 })
}

/// Deletes a key.
///
/// # Panics
/// When that is no key.
#[track_caller]
pub fn delete(key: &str) -> Edit {
    Edit(Change::Delete { namespace: default(), key: key_of(key) })
}

/// Has a client of [`client`] or of a [`Source`] hold another value until the override is dropped: then what stood there
/// stands there again. It is written, as JSON, where this client looks first (its last namespace), and every handle has
/// it when this returns; so has every other client of the same source.
///
/// # Panics
/// When the client has another source, or none of its namespaces, the key is no key, or the value cannot be encoded.
#[track_caller]
pub fn override_for_test(hw: &Client, key: &str, value: impl Serialize) -> Override {
    let (core, overlay) = hw.core();
    let Some(stream) = core.local.clone() else {
        panic!("only a client of headwater::testing can be overridden: this one follows a server");
    };
    let Some(namespace) = overlay.names().next_back() else {
        panic!("{}", crate::error::NO_NAMESPACES);
    };
    let put = put(key, value).in_namespace(namespace);
    let (namespace, key) = (put.0.namespace().clone(), put.0.key().clone());
    let before = stream.entry(&namespace, &key);
    let revision = must(stream.commit(vec![put.0]));
    let overridden = Override { hw: hw.clone(), stream, namespace, key, before };
    wait(hw, revision);
    overridden
}

/// A value in place of another one; see [`override_for_test`].
#[derive(Debug)]
#[must_use = "dropping it ends the override"]
pub struct Override {
    hw: Client,
    stream: Arc<LocalStream>,
    namespace: Namespace,
    key: Key,
    before: Option<Entry>,
}

impl Drop for Override {
    fn drop(&mut self) {
        let (namespace, key) = (self.namespace.clone(), self.key.clone());
        let change = match self.before.take() {
            Some(Entry { content_type, value, .. }) => {
                Change::Put { namespace, key, content_type, value, version: 0 }
            }
            None => Change::Delete { namespace, key },
        };
        // One change of what was there already always fits.
        if let Ok(revision) = self.stream.commit(vec![change]) {
            wait(&self.hw, revision);
        }
    }
}

/// Waits, on a runtime of tokio's, until what the client says of itself is as wanted, and gives that account. A closed client changes no more:
/// then its last account is given. Give it a time-out of your own.
pub async fn until(hw: &Client, mut wanted: impl FnMut(&Status) -> bool) -> Status {
    let (core, _) = hw.core();
    let mut progress = core.replica.progress();
    let mut processed = core.processed.subscribe();
    let mut ended = core.ended.subscribe();
    loop {
        progress.mark_unchanged();
        processed.mark_unchanged();
        let has_ended = *ended.borrow_and_update();
        let status = hw.status();
        if wanted(&status) || has_ended {
            return status;
        }
        tokio::select! {
            _ = progress.changed() => {}
            _ = processed.changed() => {}
            _ = ended.changed() => {}
            // The little that has no signal of its own.
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Waits on the client's own thread, so that this one needs no runtime. A closed client is no reason to wait.
fn wait(hw: &Client, revision: u64) {
    let (done, waiting) = blocking::channel();
    let waiter = hw.clone();
    hw.core().0.runtime.spawn(async move {
        // Nobody can be gone: the other end waits.
        let _ = done.send(waiter.wait_for(revision).await);
    });
    let _ = waiting.recv();
}

fn default() -> Namespace {
    must(Namespace::parse(NAMESPACE))
}

#[track_caller]
fn key_of(key: &str) -> Key {
    must(Key::parse(key))
}

/// A test that is written wrongly must fail where it is wrong.
#[track_caller]
fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
