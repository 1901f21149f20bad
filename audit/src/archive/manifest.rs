//! The manifest: which segments an archive has.

use std::fs;
use std::path::Path;

use headwater_schemas::{Hash, Position, StreamId};
use serde::{Deserialize, Serialize};

use super::Place;
use crate::AuditError;

/// The name of the manifest.
pub(crate) const MANIFEST: &str = "archive.json";
/// The format this build writes and reads.
const FORMAT: u32 = 1;
/// A manifest larger than this is none: 100,000 segments are a third of it.
const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// The highest revision that a record can have.
const MAX_REVISION: u64 = i64::MAX.cast_unsigned();

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Its first revision; 0 is the genesis.
    pub first: u64,
    /// Its last revision.
    pub last: u64,
    /// The hash of the record before its first one; zeros before the genesis.
    pub parent: Hash,
    /// The hash of its last record.
    pub hash: Hash,
    /// Where its last record stood in the log that was archived: a hint where to go on.
    pub position: Position,
    /// The size of its file, in bytes.
    pub bytes: u64,
    /// BLAKE3 of its file.
    pub blake3: Hash,
}

impl SegmentEntry {
    /// The name of its file.
    pub fn name(&self) -> String {
        let hash = self.hash.to_string();
        format!("{:020}-{:020}-{}.hwa", self.first, self.last, hash.get(..16).unwrap_or(&hash))
    }

    /// How many records it has.
    pub(crate) fn records(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The stream.
    pub stream_id: StreamId,
    /// Its last revision.
    pub revision: u64,
    /// The hash of that.
    pub hash: Hash,
    /// Its segments, each going on where the one before it ends.
    pub segments: Vec<SegmentEntry>,
    /// BLAKE3 of this manifest's JSON with zeros here.
    blake3: Hash,
}

impl Manifest {
    pub(crate) fn new(stream_id: StreamId) -> Self {
        let (hash, blake3) = (Hash::default(), Hash::default());
        Self { format: FORMAT, stream_id, revision: 0, hash, segments: Vec::new(), blake3 }
    }

    pub(crate) fn push(&mut self, entry: SegmentEntry) {
        (self.revision, self.hash) = (entry.last, entry.hash);
        self.segments.push(entry);
    }

    /// The last record it holds, if any.
    pub(crate) fn tip(&self) -> Option<Place> {
        self.segments.last().map(|last| (last.last, last.hash))
    }

    /// Its bytes on disk.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let open = Self { blake3: Hash::default(), ..self.clone() };
        let sealed = Self { blake3: Hash::of(&serde_json::to_vec_pretty(&open)?), ..open };
        serde_json::to_vec_pretty(&sealed)
    }

    /// Reads the bytes that [`Self::encode`] gives, and nothing else.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!("format {} is not known to this build", manifest.format));
        }
        if manifest.encode().map_err(|error| error.to_string())? != bytes {
            return Err("its manifest is not as it was written".to_owned());
        }
        manifest.check().map(|()| manifest)
    }

    /// Reads the manifest of a folder.
    pub(crate) fn load(dir: &Path) -> Result<Self, AuditError> {
        let path = dir.join(MANIFEST);
        let size = fs::metadata(&path).map_err(AuditError::file("open", &path))?.len();
        if size > MAX_BYTES {
            return Err(AuditError::archive(&path, format_args!("{size} bytes are no manifest")));
        }
        let bytes = fs::read(&path).map_err(AuditError::file("read", &path))?;
        Self::decode(&bytes).map_err(|detail| AuditError::archive(&path, detail))
    }

    /// Whether its segments make one chain from the genesis on.
    fn check(&self) -> Result<(), String> {
        let mut at: Option<Place> = None;
        for segment in &self.segments {
            let (first, parent) = match at {
                None => (0, Hash::default()),
                Some((last, hash)) => (last.saturating_add(1), hash),
            };
            // No record can claim a higher revision: it is a long of Avro.
            let possible = (first..=MAX_REVISION).contains(&segment.last);
            if segment.first != first || segment.parent != parent || !possible {
                return Err(format!("its segments do not continue each other at revision {first}"));
            }
            at = Some((segment.last, segment.hash));
        }
        if at == Some((self.revision, self.hash)) {
            Ok(())
        } else {
            Err("its last segment does not end at its revision".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(first: u64, last: u64, parent: u8, hash: u8) -> SegmentEntry {
        SegmentEntry {
            first,
            last,
            parent: Hash([parent; 32]),
            hash: Hash([hash; 32]),
            position: Position(u64::MAX),
            bytes: u64::MAX,
            blake3: Hash::default(),
        }
    }

    fn decoded(segments: impl IntoIterator<Item = SegmentEntry>) -> Result<Manifest, String> {
        let mut manifest = Manifest::new(StreamId([1; 16]));
        segments.into_iter().for_each(|segment| manifest.push(segment));
        Manifest::decode(&manifest.encode().unwrap())
    }

    #[test]
    fn segments_that_continue_each_other_are_read_as_they_were_written() {
        let sound = [entry(0, 9, 0, 1), entry(10, 10, 1, 2), entry(11, 400, 2, 3)];
        assert_eq!(decoded(sound).unwrap().tip(), Some((400, Hash([3; 32]))));
    }

    #[test]
    fn segments_that_do_not_are_refused_although_the_manifest_is_whole() {
        for segments in [
            vec![],
            vec![entry(1, 9, 0, 1)],
            vec![entry(0, 9, 5, 1)],
            vec![entry(0, 9, 0, 1), entry(11, 12, 1, 2)],
            vec![entry(0, 9, 0, 1), entry(10, 9, 1, 2)],
            vec![entry(0, 9, 0, 1), entry(10, 12, 2, 2)],
            vec![entry(0, u64::MAX, 0, 1)],
            vec![entry(0, u64::MAX, 0, 1), entry(u64::MAX, u64::MAX, 1, 2)],
        ] {
            assert!(decoded(segments.clone()).is_err(), "{segments:?}");
        }
    }
}
