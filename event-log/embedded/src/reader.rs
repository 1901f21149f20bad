//! A reader: from the ring at the tail, from disk behind it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Batch, Identity, LogReader, ReadError, Seek};
use headwater_schemas::{Position, Record};
use rocksdb::DB;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::core::Core;
use crate::shared::{Progress, read};
use crate::{Damage, scan};

pub(crate) struct Reader {
    core: Arc<Core>,
    progress: watch::Receiver<Progress>,
    position: u64,
}

impl Reader {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let progress = core.shared.progress.subscribe();
        Self { core, progress, position: 0 }
    }

    /// Waits until there is something behind the position, and takes it.
    async fn next(&mut self, wait: Duration, max_bytes: usize) -> Result<Batch, ReadError> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            let end = self.seen_end()?;
            if self.position > end {
                let detail = format!("it ends at {end}");
                return Err(ReadError::OutOfRange { position: Position(self.position), detail });
            }
            if self.position < end {
                let records = self.take(end, max_bytes).await?;
                self.position += records.len() as u64;
                return Ok(self.batch(records, end));
            }
            if !self.woken(deadline).await {
                return Ok(self.batch(Vec::new(), end));
            }
        }
    }

    /// The log's end; whatever comes later wakes this reader.
    fn seen_end(&mut self) -> Result<u64, ReadError> {
        let progress = self.progress.borrow_and_update();
        progress.stopped.clone().map_or(Ok(progress.end), Err)
    }

    fn batch(&self, records: Vec<Record>, end: u64) -> Batch {
        Batch { records, next: Position(self.position), at_end: self.position == end }
    }

    async fn take(&self, end: u64, max_bytes: usize) -> Result<Vec<Record>, ReadError> {
        if let Some(records) = self.core.shared.latest(self.position, max_bytes) {
            return Ok(records);
        }
        let from = self.position;
        self.core.shared.on_disk(move |db| read(db, from, end, max_bytes)).await
    }

    /// Waits for progress; false at the deadline.
    async fn woken(&mut self, deadline: Option<Instant>) -> bool {
        // The log holds the sender and this reader holds the log: `changed` cannot fail.
        match deadline {
            Some(at) => timeout_at(at, self.progress.changed()).await.is_ok(),
            None => self.progress.changed().await.is_ok(),
        }
    }

    async fn target(&mut self, to: Seek) -> Result<u64, ReadError> {
        let end = self.seen_end()?;
        match to {
            Seek::Oldest => Ok(0),
            Seek::Newest => Ok(end),
            Seek::At(position) => Ok(position.0),
            Seek::BeforeTime(at_ms) => {
                self.core.shared.on_disk(move |db| first_at(db, end, at_ms)).await
            }
        }
    }
}

/// The first record appended at or after a time: times never go back, so halving finds it.
pub(crate) fn first_at(db: &DB, end: u64, at_ms: i64) -> Result<u64, Damage> {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut time_ms = 0;
        scan::scan(db, middle, Some(middle + 1), |_, record_ms, _| {
            time_ms = record_ms;
            ControlFlow::Continue(())
        })?;
        if time_ms < at_ms {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

impl LogReader for Reader {
    fn identity(&self) -> &Identity {
        &self.core.shared.identity
    }

    fn read(
        &mut self,
        wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        self.next(wait, max_bytes).boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        async move {
            self.position = self.target(to).await?;
            Ok(Position(self.position))
        }
        .boxed()
    }

    /// This process is the only one that writes: its own end is the log's.
    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        std::future::ready(self.seen_end().map(Position)).boxed()
    }
}
