//! A handle's values as a stream: what was, what is, and who did it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio_stream::wrappers::WatchStream;

use crate::handle::Handle;
use crate::provenance::Provenance;
use crate::slot::Latest;
use crate::value::Value;

/// One change of a handle.
pub struct ValueChange<T> {
    /// The value that this follower had before.
    pub old: Arc<Value<T>>,
    /// The value now.
    pub new: Arc<Value<T>>,
    /// Whether the key was deleted: `new` is the default, else still the last value.
    pub deleted: bool,
    /// How many values came between `old` and `new` and went by unseen: the follower, or a validator before it, was
    /// slower than they came.
    pub missed: u64,
    /// What made the change. Of a deletion, the commit that deleted; of a layer that shows through, the one that
    /// uncovered it.
    pub by: Arc<Provenance>,
}

impl<T> Clone for ValueChange<T> {
    fn clone(&self) -> Self {
        let (old, new, by) = (self.old.clone(), self.new.clone(), self.by.clone());
        Self { old, new, by, deleted: self.deleted, missed: self.missed }
    }
}

impl<T: fmt::Debug> fmt::Debug for ValueChange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueChange")
            .field("old", &**self.old)
            .field("new", &**self.new)
            .field("deleted", &self.deleted)
            .field("missed", &self.missed)
            .field("by", &self.by)
            .finish()
    }
}

/// The changes of a handle from when this was made; made by [`Handle::changes`]. It ends when the client does.
///
/// It holds one value, the newest: whoever reads slowly sees fewer changes, never older ones, and is told how many went by.
///
/// # Cancel safety
/// A wait for the next change may be dropped at any time; the next wait sees it.
pub struct Changes<T> {
    latest: WatchStream<Latest<T>>,
    /// The value that was given last, and how many there had been.
    seen: (Arc<Value<T>>, u64),
    ended: bool,
    _handle: Handle<T>,
}

impl<T: Send + Sync + 'static> Changes<T> {
    pub(crate) fn new(handle: Handle<T>) -> Self {
        let latest = handle.slot().latest();
        let seen = {
            let latest = latest.borrow();
            (latest.value.clone(), latest.changes)
        };
        Self { latest: WatchStream::new(latest), seen, ended: false, _handle: handle }
    }

    /// The next change; none when nothing will change any more.
    ///
    /// # Cancel safety
    /// A wait that is dropped loses nothing.
    pub async fn next(&mut self) -> Option<ValueChange<T>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn take(&mut self, latest: Latest<T>) -> Option<ValueChange<T>> {
        self.ended = latest.closed;
        let before = self.seen.1;
        if latest.changes == before {
            return None;
        }
        let Latest { value, changes, deleted, by, .. } = latest;
        let (old, _) = std::mem::replace(&mut self.seen, (value.clone(), changes));
        Some(ValueChange { old, new: value, deleted, missed: changes - before - 1, by })
    }
}

impl<T: Send + Sync + 'static> Stream for Changes<T> {
    type Item = ValueChange<T>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<ValueChange<T>>> {
        while !self.ended {
            let Some(latest) = ready!(Pin::new(&mut self.latest).poll_next(context)) else { break };
            if let Some(change) = self.take(latest) {
                return Poll::Ready(Some(change));
            }
        }
        Poll::Ready(None)
    }
}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("seen", &self.seen.1).finish_non_exhaustive()
    }
}
