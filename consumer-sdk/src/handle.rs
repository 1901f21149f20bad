//! A typed, validated, hot-swapped value bound to a key.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::watch;

use crate::changes::{Changes, ValueChange};
use crate::core::Life;
use crate::error::{Closed, ValueError};
use crate::hook::{HOOK_TIME_LIMIT, Hook};
use crate::slot::{AnySlot, Latest, Slot};
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

impl<T: Send + Sync + 'static> Handle<T> {
    pub(crate) fn new(slot: Slot<T>, life: Arc<Life>) -> Self {
        let slot = Arc::new(slot);
        let any: Arc<dyn AnySlot> = slot.clone();
        life.core.registry.register(&any);
        Self { slot, life }
    }

    /// The value now: a few nanoseconds, never blocks. The guard keeps showing this one value while the handle
    /// moves on; it may be sent to other threads and held across awaits.
    #[inline]
    pub fn load(&self) -> Guard<T> {
        Guard(self.slot.current().load())
    }

    /// The value now, to keep.
    pub fn load_full(&self) -> Arc<Value<T>> {
        self.slot.current().load_full()
    }

    /// A reader for one thread's hot path: about a nanosecond a read while nothing changes.
    pub fn reader(&self) -> Reader<T> {
        Reader { cache: Cache::new(Watched(self.clone())) }
    }

    /// Waits for changes from now on: one between this call and the first wait is not missed.
    pub fn subscribe(&self) -> Subscription<T> {
        let latest = self.slot.latest();
        let seen = latest.borrow().changes;
        Subscription { latest, seen, handle: self.clone() }
    }

    /// The changes from now on, as a [`futures::Stream`]: the value before, the value now, and the commit that did it. Who
    /// reads slowly sees fewer changes, and is told how many went by.
    ///
    /// ```no_run
    /// # async fn example(limit: &headwater::Handle<u32>) {
    /// let mut changes = limit.changes();
    /// while let Some(change) = changes.next().await {
    ///     let who = change.by.actor.as_deref().unwrap_or("nobody");
    ///     println!("{} → {} by {who}, {} unseen", **change.old, **change.new, change.missed);
    /// }
    /// # }
    /// ```
    pub fn changes(&self) -> Changes<T> {
        Changes::new(self.clone())
    }

    /// Calls `hook` for every change from now on, for as long as the [`Hook`] lives: to resize a pool, to open a new
    /// connection. Each call has a thread of its own while it lasts, so a hook may block; calls of one hook come one after
    /// the other, and a value that changed several times during a call is given once, the newest. An error, a panic and a
    /// call that takes longer than [`HOOK_TIME_LIMIT`] are reported by [`Hook::status`], [`crate::Client::status`] and
    /// the metrics; they harm nobody else, and the handle holds the new value in any case.
    ///
    /// ```no_run
    /// # struct Pool; impl Pool { async fn resize(&self, to: u32) -> Result<(), std::io::Error> { Ok(()) } }
    /// # fn example(size: &headwater::Handle<u32>, pool: std::sync::Arc<Pool>) {
    /// let _hook = size.on_change(move |change| {
    ///     let pool = pool.clone();
    ///     async move { pool.resize(**change.new).await }
    /// });
    /// # }
    /// ```
    pub fn on_change<F, Fut, E>(&self, hook: F) -> Hook
    where
        F: FnMut(ValueChange<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + 'static,
    {
        self.on_change_within(HOOK_TIME_LIMIT, hook)
    }

    /// As [`Handle::on_change`], with a time limit of its own.
    pub fn on_change_within<F, Fut, E>(&self, limit: Duration, hook: F) -> Hook
    where
        F: FnMut(ValueChange<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + 'static,
    {
        let hook = Hook::start(&self.life, self.changes(), limit, hook);
        self.slot.hooked(hook.account());
        hook
    }

    pub(crate) fn slot(&self) -> &Slot<T> {
        &self.slot
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

impl<T: Send + Sync + 'static> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("key", &self.slot.name())
            .field("revision", &self.load().revision())
            .finish()
    }
}

/// One value of a handle, held for as long as it is looked at. Derefs to the value.
pub struct Guard<T>(arc_swap::Guard<Arc<Value<T>>>);

impl<T> Guard<T> {
    /// The revision that put the value, or at which it was derived; 0 for a default.
    pub fn revision(&self) -> u64 {
        self.0.revision()
    }

    /// The namespace the value stands in; see [`Value::origin`].
    pub fn origin(&self) -> Option<&str> {
        self.0.origin()
    }

    /// The value with its provenance.
    pub fn value(&self) -> &Value<T> {
        &self.0
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    #[inline]
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
    cache: Cache<Watched<T>, Arc<Value<T>>>,
}

/// Where a reader looks. It keeps the client alive, as the handle does.
struct Watched<T>(Handle<T>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Watched<T> {
    type Target = ArcSwap<Value<T>>;

    #[inline]
    fn deref(&self) -> &ArcSwap<Value<T>> {
        self.0.slot.current()
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone() }
    }
}

impl<T> Reader<T> {
    /// The value now. An old value stays alive until the next call.
    #[inline]
    pub fn load(&mut self) -> &T {
        &self.cache.load().value
    }

    /// The value now, with its provenance.
    #[inline]
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
    latest: watch::Receiver<Latest<T>>,
    /// How many changes this subscription has returned, or that came before it was made.
    seen: u64,
    handle: Handle<T>,
}

impl<T: Send + Sync + 'static> Subscription<T> {
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
            let (changes, closed) = {
                let latest = self.latest.borrow_and_update();
                (latest.changes, latest.closed)
            };
            if changes != self.seen {
                self.seen = changes;
                return Ok(self.handle.load());
            }
            if closed {
                return Err(Closed);
            }
            self.latest.changed().await.map_err(|_| Closed)?;
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
