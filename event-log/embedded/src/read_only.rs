//! A log on disk that is only read, as evidence is: nothing in its directory is changed, and a damaged one is read up
//! to its damage.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Batch, Identity, Log, LogReader, LogWriter, ReadError, Seek};
use headwater_schemas::Position;

use crate::evidence::Evidence;
use crate::{Damage, OpenError};

/// The log of one stream in a directory that is left byte for byte as it is: it may be read-only. While it is open no
/// [`crate::EmbeddedLog`] opens there, and none must be open: a log that is being written to cannot be read from beside.
///
/// A damaged log opens, too. Its readers give every record before the first damage, also those of the block or group
/// that the damage is in, and then end with [`ReadError::Corrupt`], which says what and where it is.
#[derive(Debug)]
pub struct ReadOnlyLog {
    evidence: Arc<Evidence>,
}

impl ReadOnlyLog {
    /// Opens the log in `dir`. Blocks, for about as long as reading its write-ahead log takes: call it where that is
    /// allowed.
    ///
    /// # Errors
    /// [`OpenError`], but never [`OpenError::Damaged`].
    pub fn open(dir: &Path) -> Result<Arc<Self>, OpenError> {
        Ok(Arc::new(Self { evidence: Arc::new(Evidence::open(dir)?) }))
    }
}

impl Log for ReadOnlyLog {
    fn identity(&self) -> &Identity {
        self.evidence.identity()
    }

    fn reader(&self) -> BoxFuture<'_, Result<Box<dyn LogReader>, ReadError>> {
        let reader = Reader { evidence: Arc::clone(&self.evidence), position: 0 };
        std::future::ready(Ok(Box::new(reader) as Box<dyn LogReader>)).boxed()
    }

    fn writer(&self) -> Option<Arc<dyn LogWriter>> {
        None
    }
}

struct Reader {
    evidence: Arc<Evidence>,
    position: u64,
}

impl Reader {
    async fn next(&mut self, max_bytes: usize) -> Result<Batch, ReadError> {
        let (position, end) = (self.position, self.evidence.end());
        if position > end {
            let (position, detail) = (Position(position), format!("it ends at {end}"));
            return Err(ReadError::OutOfRange { position, detail });
        }
        let records = if position < end {
            self.on_disk(move |evidence| evidence.take(position, max_bytes)).await?
        } else {
            Vec::new()
        };
        self.position += records.len() as u64;
        let next = Position(self.position);
        Ok(Batch { records, next, at_end: self.position == end })
    }

    async fn target(&self, to: Seek) -> Result<u64, ReadError> {
        match to {
            Seek::Oldest => Ok(0),
            Seek::Newest => Ok(self.evidence.end()),
            Seek::At(position) => Ok(position.0),
            Seek::BeforeTime(at_ms) => self.on_disk(move |evidence| evidence.first_at(at_ms)).await,
        }
    }

    /// Does `work` where it may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Evidence) -> Result<T, Damage> + Send + 'static,
    ) -> Result<T, ReadError> {
        let evidence = Arc::clone(&self.evidence);
        let done = tokio::task::spawn_blocking(move || work(&evidence)).await;
        let done = done.map_err(|error| ReadError::Unavailable(error.to_string()))?;
        done.map_err(|damage| ReadError::Corrupt(damage.to_string()))
    }
}

impl LogReader for Reader {
    fn identity(&self) -> &Identity {
        self.evidence.identity()
    }

    /// Never waits: nobody writes to the log while it is open.
    fn read(
        &mut self,
        _wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        self.next(max_bytes).boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        async move {
            self.position = self.target(to).await?;
            Ok(Position(self.position))
        }
        .boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        std::future::ready(Ok(Position(self.evidence.end()))).boxed()
    }
}
