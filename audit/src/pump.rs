//! Reading a log from its beginning to where it ended when the reading began.

use std::time::Duration;

use headwater_log::{LogReader, ReadError, Seek};
use headwater_schemas::{Position, Record};

/// How long one read waits. What is there is there already; only a slow network takes longer, and then it is asked again.
const READ_WAIT: Duration = Duration::from_secs(1);
/// About how many bytes one read takes.
const READ_BYTES: usize = 1024 * 1024;
/// How many tries a log that cannot be reached gets before the audit gives up, a wait apart.
const TRIES: u32 = 5;

/// A reader and where it is to stop.
pub(crate) struct Pump<'r> {
    reader: &'r mut dyn LogReader,
    end: Position,
    done: bool,
}

impl<'r> Pump<'r> {
    /// From the oldest record.
    pub(crate) async fn begin(reader: &'r mut dyn LogReader) -> Result<Self, ReadError> {
        Self::from(reader, Seek::Oldest).await
    }

    /// From any place.
    pub(crate) async fn from(reader: &'r mut dyn LogReader, at: Seek) -> Result<Self, ReadError> {
        let end = reader.end().await?;
        let start = reader.seek(at).await?;
        Ok(Self { reader, end, done: start >= end })
    }

    /// Where the reading ends.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// The next records; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        while !self.done {
            let batch = self.read(READ_WAIT).await?;
            self.done = batch.next >= self.end || (batch.at_end && batch.records.is_empty());
            if !batch.records.is_empty() {
                return Ok(Some(batch.records));
            }
        }
        Ok(None)
    }

    /// What came behind the end meanwhile.
    pub(crate) async fn more(&mut self, wait: Duration) -> Result<Vec<Record>, ReadError> {
        Ok(self.read(wait).await?.records)
    }

    async fn read(&mut self, wait: Duration) -> Result<headwater_log::Batch, ReadError> {
        let mut tries = 0;
        loop {
            match self.reader.read(wait, READ_BYTES).await {
                Err(error) if error.is_retryable() && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(READ_WAIT).await;
                }
                other => return other,
            }
        }
    }
}
