//! What keeps an open log alive, and how it ends.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use futures::future::BoxFuture;
use headwater_log::{Appended, LogWriter};

use crate::queue::Queue;
use crate::shared::{Shared, closed};

/// One open log. Its log, readers and writers hold it; the last of them closes it.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) shared: Arc<Shared>,
    queue: Queue,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, queue: Queue) -> Self {
        Self { shared, queue, threads: Mutex::default() }
    }

    /// Starts a thread that ends with the log.
    pub(crate) fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.into()).spawn(work)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Decides what was handed over, ends the threads, and closes the database behind the last read.
    pub(crate) async fn close(&self) {
        self.queue.close().await;
        self.shared.closing.store(true, Ordering::Relaxed);
        let threads = self.take_threads();
        // Neither can fail unless the runtime is ending, and then the process is.
        let _ = tokio::task::spawn_blocking(move || join(threads)).await;
        self.shared.stop(closed());
        let held = self.shared.take();
        self.shared.scans.close();
        self.shared.scans.wait().await;
        let _ = tokio::task::spawn_blocking(move || drop(held)).await;
    }

    fn take_threads(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Core {
    /// Waits for the committer, for one write of the disk: a database that a thread of its own closes while the
    /// process exits would abort it.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.queue.close_soon();
        join(self.take_threads());
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A thread that panicked has said so itself.
        let _ = thread.join();
    }
}

/// A way to append to an open log.
#[derive(Debug)]
pub(crate) struct Writer(pub(crate) Arc<Core>);

impl LogWriter for Writer {
    fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>> {
        self.0.queue.append(records)
    }

    /// There is one way to the disk and nothing to renew: after a failed write the log stays closed to writers
    /// until it is opened again.
    fn renew(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
