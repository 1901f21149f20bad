//! A typed, validated, hot-swapped value bound to a key.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::client::Client;
use crate::core::Life;
use crate::error::{Closed, ValueError};
use crate::slot::{AnySlot, Signal, Slot, Validate};
use crate::value::Value;

/// A live value. Cheap to clone and to share between threads; the client lives as long as any handle does.
pub struct Handle<T> {
    slot: Arc<Slot<T>>,
    life: Arc<Life>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { slot: self.slot.clone(), life: self.life.clone() }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Handle<T> {
    pub(crate) fn new(slot: Slot<T>, life: Arc<Life>) -> Self {
        let slot = Arc::new(slot);
        let any: Arc<dyn AnySlot> = slot.clone();
        life.core.registry.register(&any);
        Self { slot, life }
    }

    /// The value now: a few nanoseconds, never blocks. The guard keeps showing this one value while the handle
    /// moves on; it may be sent to other threads and held across awaits.
    pub fn load(&self) -> Guard<T> {
        Guard(self.slot.current().load())
    }

    /// The value now, to keep.
    pub fn load_full(&self) -> Arc<Value<T>> {
        self.slot.current().load_full()
    }

    /// A reader for one thread's hot path: about a nanosecond a read while nothing changes.
    pub fn reader(&self) -> Reader<T> {
        Reader { cache: Cache::new(self.slot.current().clone()), _handle: self.clone() }
    }

    /// Waits for changes from now on: one between this call and the first wait is not missed.
    pub fn subscribe(&self) -> Subscription<T> {
        let signals = self.slot.signals();
        let seen = signals.borrow().changes;
        Subscription { signals, seen, handle: self.clone() }
    }

    /// Whether the key was deleted: the handle holds its default, else the last value.
    pub fn is_deleted(&self) -> bool {
        self.slot.is_deleted()
    }

    /// Why the newest value was refused, if it was; the handle holds the last good one.
    pub fn rejected(&self) -> Option<ValueError> {
        self.slot.rejected()
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("key", &self.slot.key())
            .field("revision", &self.load().revision())
            .finish()
    }
}

/// One value of a handle, held for as long as it is looked at. Derefs to the value.
pub struct Guard<T>(arc_swap::Guard<Arc<Value<T>>>);

impl<T> Guard<T> {
    /// The revision that put the value; 0 for a default.
    pub fn revision(&self) -> u64 {
        self.0.revision()
    }

    /// The value with its provenance.
    pub fn value(&self) -> &Value<T> {
        &self.0
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A handle's value for one thread: it keeps a copy and looks whether there is a newer one.
pub struct Reader<T> {
    cache: Cache<Arc<ArcSwap<Value<T>>>, Arc<Value<T>>>,
    // The dispatcher forgets a slot that only a cache looks at.
    _handle: Handle<T>,
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), _handle: self._handle.clone() }
    }
}

impl<T> Reader<T> {
    /// The value now. An old value stays alive until the next call.
    pub fn load(&mut self) -> &T {
        &self.cache.load().value
    }

    /// The value now, with its provenance.
    pub fn load_value(&mut self) -> &Value<T> {
        self.cache.load()
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Waits for a handle to change.
pub struct Subscription<T> {
    signals: watch::Receiver<Signal>,
    /// How many changes this subscription has returned, or that came before it was made.
    seen: u64,
    handle: Handle<T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Subscription<T> {
    /// Waits until the handle has changed since this subscription last returned (or was made), and gives the value
    /// now. Several changes in between are one. A key that was deleted counts as a change, whether there is a
    /// default or not.
    ///
    /// # Cancel safety
    /// A wait that is dropped loses nothing: the next one sees the same change.
    ///
    /// # Errors
    /// [`Closed`] when nothing will change any more and every change was seen.
    pub async fn changed(&mut self) -> Result<Guard<T>, Closed> {
        loop {
            let signal = *self.signals.borrow_and_update();
            if signal.changes != self.seen {
                self.seen = signal.changes;
                return Ok(self.handle.load());
            }
            if signal.closed {
                return Err(Closed);
            }
            self.signals.changed().await.map_err(|_| Closed)?;
        }
    }

    /// The value now.
    pub fn load(&self) -> Guard<T> {
        self.handle.load()
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// What a validator may answer: `bool`, or a `Result` whose error says what is wrong.
pub trait Verdict {
    /// The answer, with the reason of a refusal.
    ///
    /// # Errors
    /// The reason, when the value is refused.
    fn verdict(self) -> Result<(), String>;
}

impl Verdict for bool {
    fn verdict(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("the validator refused it".to_owned()) }
    }
}

impl<E: fmt::Display> Verdict for Result<(), E> {
    fn verdict(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

/// A key about to be bound; see [`Client::bind`].
#[derive(Debug)]
pub struct BindKey {
    client: Client,
    key: String,
}

impl BindKey {
    pub(crate) fn new(client: Client, key: &str) -> Self {
        Self { client, key: key.to_owned() }
    }

    /// What the handle holds while there is no good value, and again when the key is deleted. It is not validated.
    pub fn default<T>(self, value: T) -> Binding<T> {
        Binding { client: self.client, key: self.key, default: value, validate: None }
    }
}

/// A handle in the making, with its default.
#[must_use = "build() makes the handle"]
pub struct Binding<T> {
    client: Client,
    key: String,
    default: T,
    validate: Option<Validate<T>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Binding<T> {
    /// Judges every new value before it is swapped in: a refused one leaves the last good one in place and is
    /// reported. It runs on the client's own thread, before any handle sees the commit, so it must be quick; a panic
    /// is a refusal.
    pub fn validate<F, V>(mut self, judge: F) -> Self
    where
        F: Fn(&T) -> V + Send + Sync + 'static,
        V: Verdict,
    {
        self.validate = Some(Box::new(move |value| judge(value).verdict()));
        self
    }

    /// Makes the handle. It never fails: what stands in the way of a good value is reported by
    /// [`Client::status`] and [`Handle::rejected`].
    pub fn build(self) -> Handle<T> {
        self.client.handle_with_default(&self.key, self.default, self.validate)
    }
}

impl<T> fmt::Debug for Binding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("key", &self.key).finish_non_exhaustive()
    }
}
