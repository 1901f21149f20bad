//! A log whose readers get one record at a time, when they are let.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Batch, Identity, Log, LogReader, LogWriter, MemoryLog, ReadError, Seek};
use headwater_schemas::Position;
use tokio::sync::Semaphore;

/// Plenty: more records than a test has.
const PLENTY: usize = 1_000_000;

#[derive(Debug)]
pub(crate) struct Metered {
    inner: Arc<MemoryLog>,
    allowed: Arc<Semaphore>,
}

impl Metered {
    pub(crate) fn new(inner: Arc<MemoryLog>) -> Arc<Self> {
        Arc::new(Self { inner, allowed: Arc::new(Semaphore::new(PLENTY)) })
    }

    /// Nothing more is read until it is allowed.
    pub(crate) fn close(&self) {
        self.allowed.forget_permits(usize::MAX);
    }

    pub(crate) fn allow(&self, records: usize) {
        self.allowed.add_permits(records);
    }

    pub(crate) fn open(&self) {
        self.allow(PLENTY);
    }
}

impl Log for Metered {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        async {
            let inner = self.inner.reader().await?;
            let reader = MeteredReader { inner, allowed: self.allowed.clone() };
            Ok(Box::new(reader) as Box<dyn LogReader>)
        }
        .boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        self.inner.writer()
    }
}

struct MeteredReader {
    inner: Box<dyn LogReader>,
    allowed: Arc<Semaphore>,
}

impl LogReader for MeteredReader {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn read(&mut self, wait: Duration, _: usize) -> BoxFuture<'_, Result<Batch, ReadError>> {
        async move {
            let permit = self.allowed.acquire().await.unwrap();
            let batch = self.inner.read(wait, 1).await?;
            if !batch.records.is_empty() {
                permit.forget();
            }
            Ok(batch)
        }
        .boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.inner.seek(to)
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        self.inner.end()
    }
}
