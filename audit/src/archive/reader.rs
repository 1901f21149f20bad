//! An archive as a log that is read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::{Batch, Identity, LogReader, ReadError, Seek};
use headwater_schemas::{Position, Record};

use super::{Archive, segment};

/// A segment that is not what the manifest says.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) detail: String,
}

/// The damages that a lenient reader has met.
#[derive(Debug, Clone, Default)]
pub(crate) struct Damages(Arc<Mutex<Vec<Damage>>>);

impl Damages {
    pub(crate) fn take(&self) -> Vec<Damage> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, damage: Damage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
    }
}

/// Reads an archive, a segment at a time. A record's position is its revision.
pub(crate) struct ArchiveReader {
    archive: Archive,
    identity: Identity,
    /// Present: damage is noted there, and what can be read is given.
    lenient: Option<Damages>,
    next: u64,
    /// The segment that was read last, and its records.
    held: Option<(usize, Vec<Record>)>,
}

impl ArchiveReader {
    pub(crate) fn new(archive: Archive) -> Self {
        let place = archive.dir.display().to_string();
        let identity = Identity { kind: "archive", place, cluster_id: None };
        Self { archive, identity, lenient: None, next: 0, held: None }
    }

    pub(crate) fn lenient(archive: Archive) -> (Self, Damages) {
        let damages = Damages::default();
        let reader = Self { lenient: Some(damages.clone()), ..Self::new(archive) };
        (reader, damages)
    }

    /// The position behind the last record.
    fn end_position(&self) -> u64 {
        self.archive.manifest.tip().map_or(0, |(last, _)| last + 1)
    }

    /// The segment that holds a position.
    fn segment_of(&self, position: u64) -> Option<usize> {
        let segments = &self.archive.manifest.segments;
        let index = segments.partition_point(|segment| segment.last < position);
        (index < segments.len()).then_some(index)
    }

    fn batch(&mut self, max_bytes: usize) -> Result<Batch, ReadError> {
        let end = self.end_position();
        if self.next > end {
            let (position, detail) = (Position(self.next), format!("it ends at {end}"));
            return Err(ReadError::OutOfRange { position, detail });
        }
        let mut records = Vec::new();
        while records.is_empty() {
            let Some(index) = self.segment_of(self.next) else { break };
            self.hold(index)?;
            let (from, mut left) = (self.next, max_bytes);
            if let Some((_, held)) = &self.held {
                let fits = |record: &&Record| {
                    let first = left == max_bytes;
                    left = left.saturating_sub(record.bytes.len().max(1));
                    first || left > 0
                };
                let behind = held.iter().filter(|record| record.position.0 >= from);
                records.extend(behind.take_while(fits).cloned());
            }
            let last = self.archive.manifest.segments.get(index).map_or(end, |it| it.last + 1);
            // What could not be read of a damaged segment is passed over.
            self.next = records.last().map_or(last, |record| record.position.0 + 1);
        }
        let next = self.next;
        Ok(Batch { records, next: Position(next), at_end: next >= end })
    }

    fn hold(&mut self, index: usize) -> Result<(), ReadError> {
        if self.held.as_ref().is_some_and(|(held, _)| *held == index) {
            return Ok(());
        }
        let Some(entry) = self.archive.manifest.segments.get(index) else { return Ok(()) };
        let path = self.archive.path(entry);
        let (records, read) = match segment::load(&path) {
            Ok(bytes) if self.lenient.is_some() => segment::read(&bytes, entry),
            Ok(bytes) => match segment::check(&bytes, entry, self.archive.manifest.stream_id) {
                Ok(records) => (records, Ok(())),
                Err(why) => (Vec::new(), Err(why)),
            },
            Err(error) => (Vec::new(), Err(error.to_string())),
        };
        if let Err(why) = read {
            let (first, last) = (entry.first, entry.last);
            let detail =
                format!("{} with revisions {first} to {last} is damaged: {why}", path.display());
            match &self.lenient {
                Some(damages) => damages.push(Damage { first, last, detail }),
                None => return Err(ReadError::Corrupt(detail)),
            }
        }
        self.held = Some((index, records));
        Ok(())
    }

    fn target(&mut self, to: Seek) -> Result<u64, ReadError> {
        match to {
            Seek::Oldest => Ok(0),
            Seek::Newest => Ok(self.end_position()),
            Seek::At(position) => Ok(position.0),
            Seek::BeforeTime(at_ms) => self.first_at(at_ms),
        }
    }

    /// The first record appended at or after a time.
    fn first_at(&mut self, at_ms: i64) -> Result<u64, ReadError> {
        for index in 0..self.archive.manifest.segments.len() {
            self.hold(index)?;
            let (_, records) = self.held.as_ref().ok_or_else(gone)?;
            if let Some(found) = records.iter().find(|record| record.appended_at_ms >= at_ms) {
                return Ok(found.position.0);
            }
        }
        Ok(self.end_position())
    }
}

fn gone() -> ReadError {
    ReadError::Corrupt("a segment is gone".to_owned())
}

impl LogReader for ArchiveReader {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Never waits: an archive does not grow while it is read.
    fn read(
        &mut self,
        _wait: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Batch, ReadError>> {
        std::future::ready(self.batch(max_bytes)).boxed()
    }

    fn seek(&mut self, to: Seek) -> BoxFuture<'_, Result<Position, ReadError>> {
        let target = self.target(to);
        if let Ok(target) = target {
            self.next = target;
        }
        std::future::ready(target.map(Position)).boxed()
    }

    fn end(&mut self) -> BoxFuture<'_, Result<Position, ReadError>> {
        std::future::ready(Ok(Position(self.end_position()))).boxed()
    }
}
