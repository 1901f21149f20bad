//! What is announced of an image, as `GET /v1/images/latest` answers it.

use std::path::{Path, PathBuf};

use headwater_schemas::{Digest, Hash, Head, Position, StreamId};

use crate::ImageError;
use crate::publish::publish;
use crate::wire::{MAX_BLOCK_WIRE_BYTES, MAX_META_BYTES};

/// The name of the wire form of the image at `head`.
pub fn wire_name(head: &Head) -> String {
    format!("{}-{}.hwi", head.revision, head.hash)
}

/// All that a reader needs to fetch an image, and what it must turn out to be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    /// The file's name, `<revision>-<hash>.hwi`.
    pub name: String,
    /// The stream.
    pub stream_id: StreamId,
    /// The revision of the state.
    pub revision: u64,
    /// The hash of that revision's record.
    pub hash: Hash,
    /// The state digest.
    pub digest: Digest,
    /// How many entries.
    pub entries: u64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file.
    pub blake3: Hash,
    /// When it was cut, milliseconds since the Unix epoch; RFC 3339 in JSON.
    #[serde(rename = "created_at", with = "rfc3339")]
    pub created_at_ms: i64,
    /// Where the record of the head stands in the log: a hint where to read on.
    pub log_position: Position,
    /// The blocks, in order, without gaps.
    pub blocks: Vec<ManifestBlock>,
}

/// One block of an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ManifestBlock {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its size in the file, compressed.
    pub bytes: u64,
    /// BLAKE3 of the block uncompressed: the same on every machine that holds the same state.
    pub blake3: Hash,
    /// Its first entry, `namespace/key` (a namespace holds no `/`).
    pub first_key: String,
}

impl Manifest {
    /// Whether the numbers can be those of an image: nothing is allocated or fetched on a word that cannot be true.
    ///
    /// # Errors
    /// [`ImageError::Damaged`].
    pub fn check(&self) -> Result<(), ImageError> {
        let wrong = |detail: &str| {
            Err(ImageError::damaged(format!("the manifest of {:.120}: {detail}", self.name)))
        };
        // The name becomes a path on disk.
        if self.name != format!("{}-{}.hwi", self.revision, self.hash) {
            return wrong("the name is not <revision>-<hash>.hwi");
        }
        if i64::try_from(self.revision).is_err() {
            return wrong("impossible revision");
        }
        if self.blocks.is_empty() {
            return if self.bytes > MAX_META_BYTES { wrong("impossible size") } else { Ok(()) };
        }
        let mut end = self.blocks.first().map_or(0, |block| block.offset);
        if end > MAX_META_BYTES {
            return wrong("impossible size of the header");
        }
        for block in &self.blocks {
            if block.offset != end || block.bytes == 0 || block.bytes > MAX_BLOCK_WIRE_BYTES {
                return wrong("blocks with gaps or of impossible size");
            }
            end = end.saturating_add(block.bytes);
        }
        match self.bytes.checked_sub(end) {
            Some(1..=MAX_META_BYTES) => Ok(()),
            _ => wrong("impossible size of the footer"),
        }
    }

    /// Writes it beside the image, as `<name>.json`: the log position stands nowhere else.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn write(&self, dir: &Path) -> Result<PathBuf, ImageError> {
        let json = serde_json::to_vec(self).map_err(ImageError::source)?;
        let name = format!("{}.json", self.name);
        publish(dir, &name, |out| out.write(&json), |path, ()| Self::read(path))?;
        Ok(dir.join(name))
    }

    /// Reads one that [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`ImageError::Io`] or [`ImageError::Damaged`].
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let json = std::fs::read(path).map_err(ImageError::io("read", path))?;
        Self::parse(&json).map_err(|error| error.in_file(path))
    }

    /// Reads and checks the JSON form.
    ///
    /// # Errors
    /// [`ImageError::Damaged`].
    pub fn parse(json: &[u8]) -> Result<Self, ImageError> {
        let manifest: Self = serde_json::from_slice(json)
            .map_err(|error| ImageError::damaged(format!("the manifest: {error}")))?;
        manifest.check()?;
        Ok(manifest)
    }
}

/// Times as API.md wants them: RFC 3339, UTC, milliseconds.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer, ser};

    pub(super) fn serialize<S: Serializer>(at_ms: &i64, to: S) -> Result<S::Ok, S::Error> {
        let at = Timestamp::from_millisecond(*at_ms).map_err(ser::Error::custom)?;
        to.collect_str(&format_args!("{at:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text = String::deserialize(from)?;
        Ok(text.parse::<Timestamp>().map_err(D::Error::custom)?.as_millisecond())
    }
}
