//! Writing an archive, and going on with one.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use headwater_log::{LogReader, Seek};
use headwater_schemas::{Hash, Head, Point, Position, Record};

use super::segment::{self, Gathered};
use super::{MANIFEST, Manifest, lock, place};
use crate::durable::{Step, put, sweep};
use crate::links::{Linked, Links};
use crate::pump::Pump;
use crate::{AuditError, Kind, Progress, Published};

/// What a run has archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Archived {
    /// How many records it added.
    pub added: u64,
    /// How many segments it added.
    pub segments: u64,
    /// Where the archive ends now.
    pub head: Point,
}

/// Writes the chain of a log into `dir`, or what an archive there does not have yet. Every segment is durable, and was read
/// back, before the manifest names it: a run that was interrupted is gone on with by the next one.
///
/// # Errors
/// [`AuditError`]; [`AuditError::OtherChain`] when the archive there is of another history.
pub async fn archive(
    reader: &mut dyn LogReader,
    dir: &Path,
    progress: impl FnMut(Progress),
) -> Result<Archived, AuditError> {
    archive_by_steps(reader, dir, progress, &mut |_| Ok(())).await
}

type Steps<'s> = &'s mut (dyn FnMut(Step) -> Result<(), AuditError> + Send);

pub(super) async fn archive_by_steps(
    reader: &mut dyn LogReader,
    dir: &Path,
    mut progress: impl FnMut(Progress),
    steps: Steps<'_>,
) -> Result<Archived, AuditError> {
    // A log that is out of reach leaves no folder behind.
    reader.end().await?;
    let _lock = lock(dir)?;
    sweep(dir)?;
    let held = if dir.join(MANIFEST).exists() { Some(Manifest::load(dir)?) } else { None };
    let (links, from) = match &held {
        Some(manifest) => {
            check_last(dir, manifest)?;
            begin_behind(reader, manifest).await
        }
        None => (Links::default(), Seek::Oldest),
    };
    let mut writing = Writing { dir, steps, manifest: held, gathered: None, added: 0, segments: 0 };
    let ended = writing.take_all(reader, links, from, &mut progress).await?;
    if let Some(broken) = ended.diagnose(&Published::default()).filter(|it| it.kind != Kind::Fork) {
        // What stands before it is proven, and kept.
        return Err(AuditError::Broken(broken));
    }
    let head = ended.point().ok_or(AuditError::Beyond { wanted: 0, last: 0 })?;
    match writing.manifest.as_ref().and_then(Manifest::tip) {
        Some(tip) if tip == place(&head) => {
            Ok(Archived { added: writing.added, segments: writing.segments, head })
        }
        Some((wanted, _)) => Err(AuditError::Beyond { wanted, last: head.revision }),
        None => Err(AuditError::Beyond { wanted: 0, last: 0 }),
    }
}

/// Where to go on behind the last archived record: at the place where it stood, if it stands there, else from the log's
/// beginning.
async fn begin_behind(reader: &mut dyn LogReader, manifest: &Manifest) -> (Links, Seek) {
    let Some(last) = manifest.segments.last() else { return (Links::default(), Seek::Oldest) };
    let head =
        Head { stream_id: manifest.stream_id, revision: last.last, hash: last.hash, at_ms: 0 };
    if stands_at(reader, last.position, last.hash).await {
        return (Links::from(head, last.position), Seek::At(last.position.next()));
    }
    (Links::default(), Seek::Oldest)
}

/// A damaged end must not be built upon.
fn check_last(dir: &Path, manifest: &Manifest) -> Result<(), AuditError> {
    let Some(last) = manifest.segments.last() else { return Ok(()) };
    let path = dir.join(last.name());
    let bytes = segment::load(&path).map_err(AuditError::file("read", &path))?;
    segment::check(&bytes, last, manifest.stream_id)
        .map(drop)
        .map_err(|detail| AuditError::archive(&path, detail))
}

/// Whether the record of this hash stands at a position. Where that cannot be told the log is read from its beginning.
async fn stands_at(reader: &mut dyn LogReader, position: Position, hash: Hash) -> bool {
    let Ok(mut pump) = Pump::from(reader, Seek::At(position)).await else { return false };
    let Ok(Some(records)) = pump.next().await else { return false };
    records.first().is_some_and(|it| it.position == position && Hash::of(&it.bytes) == hash)
}

struct Writing<'a> {
    dir: &'a Path,
    steps: Steps<'a>,
    manifest: Option<Manifest>,
    gathered: Option<Gathered>,
    added: u64,
    segments: u64,
}

impl Writing<'_> {
    async fn take_all(
        &mut self,
        reader: &mut dyn LogReader,
        mut links: Links,
        from: Seek,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Links, AuditError> {
        let mut pump = Pump::from(reader, from).await?;
        loop {
            let records = match pump.next().await {
                Ok(Some(records)) => records,
                Ok(None) => break,
                Err(error) => {
                    // What stands before a damage is whole, and kept.
                    self.flush()?;
                    return Err(error.into());
                }
            };
            for record in &records {
                self.take(record, &mut links)?;
            }
            let position = records.last().map_or(Position(0), |last| last.position.next());
            let (records, bytes, end) = (links.records, links.bytes, pump.end());
            progress(Progress { records, bytes, position, end });
        }
        self.flush()?;
        Ok(links)
    }

    fn take(&mut self, record: &Record, links: &mut Links) -> Result<(), AuditError> {
        let before = links.point();
        if matches!(links.take(record), Linked::Ignored) {
            return Ok(());
        }
        let Some(now) = links.point() else { return Ok(()) };
        if self.known(&now)?.is_break() {
            return Ok(());
        }
        let parent = before.map_or_else(Hash::default, |before| before.hash);
        let gathered = self
            .gathered
            .get_or_insert_with(|| Gathered::begin(now.stream_id, now.revision, parent));
        gathered.push(now.revision, now.hash, record);
        self.added += 1;
        if gathered.is_full() { self.flush() } else { Ok(()) }
    }

    /// Breaks where the archive has this revision already; it must be the same one.
    fn known(&self, now: &Point) -> Result<ControlFlow<()>, AuditError> {
        let Some(manifest) = &self.manifest else { return Ok(ControlFlow::Continue(())) };
        let other = |wanted| {
            let (revision, found) = (now.revision, now.hash);
            Err(AuditError::OtherChain { revision, found, wanted })
        };
        if now.stream_id != manifest.stream_id {
            return other(manifest.hash);
        }
        let segments = &manifest.segments;
        let holding = segments.partition_point(|segment| segment.last < now.revision);
        let ends = segments.get(holding).filter(|segment| segment.last == now.revision);
        if let Some(segment) = ends.filter(|segment| segment.hash != now.hash) {
            return other(segment.hash);
        }
        Ok(if manifest.tip().is_some_and(|(last, _)| now.revision <= last) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// Writes what was gathered as a segment, and then a manifest that names it.
    fn flush(&mut self) -> Result<(), AuditError> {
        let Some(gathered) = self.gathered.take().filter(|it| !it.is_empty()) else {
            return Ok(());
        };
        let encoded = gathered.encode().map_err(|error| AuditError::Output(error.to_string()))?;
        let entry = gathered.entry(&encoded);
        let stream = gathered.stream_id;
        put(
            self.dir,
            &entry.name(),
            self.steps,
            |out| out.write_all(&encoded).map_err(AuditError::file("write", self.dir)),
            |path| {
                let back = fs::read(path).map_err(AuditError::file("read", path))?;
                segment::check(&back, &entry, stream)
                    .map(drop)
                    .map_err(|detail| AuditError::archive(path, detail))
            },
        )?;
        let mut manifest = self.manifest.clone().unwrap_or_else(|| Manifest::new(stream));
        manifest.push(entry);
        let encoded = manifest.encode().map_err(|error| AuditError::Output(error.to_string()))?;
        put(
            self.dir,
            MANIFEST,
            self.steps,
            |out| out.write_all(&encoded).map_err(AuditError::file("write", self.dir)),
            |path| {
                let back = fs::read(path).map_err(AuditError::file("read", path))?;
                if back == encoded && Manifest::decode(&back).is_ok() {
                    return Ok(());
                }
                Err(AuditError::archive(path, "it reads back as another"))
            },
        )?;
        self.manifest = Some(manifest);
        self.segments += 1;
        Ok(())
    }
}
