//! What is announced of an image, as `GET /v1/images/latest` answers it.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use headwater_schemas::{Digest, Hash, Head, Point, Position, StreamId, Succession};

use crate::ImageError;
use crate::publish::publish;
use crate::wire::{MAX_BLOCK_WIRE_BYTES, MAX_META_BYTES};

/// The name of the wire form of the image at `head`.
pub fn wire_name(head: &Head) -> String {
    format!("{}-{}.hwi", head.revision, head.hash)
}

/// The revision and the hash that the name of a wire form says; none for any other name. A name that passes holds
/// no path: it may become one.
pub fn parse_wire_name(name: &str) -> Option<(u64, Hash)> {
    let (revision, hash) = name.strip_suffix(".hwi")?.split_once('-')?;
    let (revision, hash) = (revision.parse::<u64>().ok()?, Hash::from_hex(hash)?);
    (format!("{revision}-{hash}.hwi") == name).then_some((revision, hash))
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
    /// How its chain came about, where an operator led the stream to it from another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<Lineage>,
}

/// Where an operator led a stream from, and when: of two chains, the one led to later counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lineage {
    /// The point of the other chain.
    #[serde(flatten)]
    pub from: Point,
    /// The revision of the commit that says so.
    pub since: u64,
    /// When it was made, milliseconds since the Unix epoch; RFC 3339 in JSON.
    #[serde(rename = "at", with = "rfc3339")]
    pub at_ms: i64,
}

impl Lineage {
    /// Whether the stream was led here later than there; `other` is none where nobody led it.
    pub fn is_later_than(&self, other: Option<&Self>) -> bool {
        other.is_none_or(|other| (self.at_ms, self.since) > (other.at_ms, other.since))
    }
}

impl From<Succession> for Lineage {
    fn from(told: Succession) -> Self {
        Self { from: told.word.point(), since: told.since, at_ms: told.at_ms }
    }
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

/// Why an image is not announced in place of another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyNot {
    /// The very same state is announced: there is nothing to do.
    #[error("revision {revision} is announced already")]
    Same {
        /// The revision of both.
        revision: u64,
    },
    /// A later one is announced: there is nothing to do.
    #[error(
        "revision {revision} is not above the announced {announced}: only a greater one is announced"
    )]
    NotGreater {
        /// The revision that would be announced.
        revision: u64,
        /// The one that is.
        announced: u64,
    },
    /// An image of a chain that an operator led the stream to later is announced: there is nothing to do.
    #[error(
        "an operator led the stream to another chain, whose image of revision {announced} is announced"
    )]
    Left {
        /// The revision that is announced.
        announced: u64,
    },
    /// Somebody else's images stand there: give each stream a place of its own.
    #[error(
        "images of stream {theirs} are announced there, this is {ours}: give each stream a place of its own"
    )]
    OtherStream {
        /// The stream that is announced.
        theirs: StreamId,
        /// The one that would be.
        ours: StreamId,
    },
    /// The announced image is of a fork of our chain, or ours is: a person must look.
    #[error(
        "at revision {revision} the announced image has the chain hash {theirs}, this one {ours}: one of them is of a fork"
    )]
    OtherChain {
        /// The revision of both.
        revision: u64,
        /// The chain hash that is announced.
        theirs: Hash,
        /// The one that would be.
        ours: Hash,
    },
    /// One commit and two states: whoever cut one of them is wrong. Announce nothing; a person must look.
    #[error(
        "at revision {revision} the announced image and this one differ in {what}: one of them is wrong"
    )]
    Differs {
        /// The revision of both.
        revision: u64,
        /// What differs first.
        what: &'static str,
    },
}

impl WhyNot {
    /// Whether there is simply nothing to do: this state, or a later one, is announced.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Same { .. } | Self::NotGreater { .. } | Self::Left { .. })
    }
}

impl Manifest {
    /// Whether this image may be announced in place of `announced`: the one rule for every place that images stand in.
    /// It must be of the same stream and a greater revision, or of a chain that an operator led that one's stream to later
    /// ([`Manifest::leaves`]). At the same revision both must be the same state: the files
    /// may differ in how they were compressed, the hashes of their blocks may not.
    ///
    /// # Errors
    /// [`WhyNot`].
    pub fn may_follow(&self, announced: &Self) -> Result<(), WhyNot> {
        let revision = self.revision;
        if self.leaves(announced) {
            return Ok(());
        }
        if announced.leaves(self) {
            return Err(WhyNot::Left { announced: announced.revision });
        }
        if self.stream_id != announced.stream_id {
            let (theirs, ours) = (announced.stream_id, self.stream_id);
            return Err(WhyNot::OtherStream { theirs, ours });
        }
        match revision.cmp(&announced.revision) {
            Ordering::Greater => return Ok(()),
            Ordering::Less => {
                return Err(WhyNot::NotGreater { revision, announced: announced.revision });
            }
            Ordering::Equal => {}
        }
        if self.hash != announced.hash {
            let (theirs, ours) = (announced.hash, self.hash);
            return Err(WhyNot::OtherChain { revision, theirs, ours });
        }
        let hashes = |manifest: &Self| -> Vec<Hash> {
            manifest.blocks.iter().map(|block| block.blake3).collect()
        };
        let what = if self.digest != announced.digest {
            "the digest of the state"
        } else if self.entries != announced.entries {
            "the number of entries"
        } else if hashes(self) != hashes(announced) {
            "the hashes of their blocks"
        } else {
            return Err(WhyNot::Same { revision });
        };
        Err(WhyNot::Differs { revision, what })
    }

    /// Whether it is of a chain that an operator led the stream to later than to that of `other`.
    pub fn leaves(&self, other: &Self) -> bool {
        let Some(ours) = self.succession else { return false };
        let later = ours.is_later_than(other.succession.as_ref());
        later && [self.stream_id, ours.from.stream_id].contains(&other.stream_id)
    }

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
        self.write_as(dir, &format!("{}.json", self.name))
    }

    /// The same under a name of the caller's, in place of what stands there: readers see the one or the other, whole.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn write_as(&self, dir: &Path, name: &str) -> Result<PathBuf, ImageError> {
        let json = serde_json::to_vec(self).map_err(ImageError::source)?;
        publish(dir, name, |out| out.write(&json), |path, ()| Self::read(path))?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(stream: u8, revision: u64, hash: u8, state: u8) -> Manifest {
        let hash = Hash([hash; 32]);
        Manifest {
            name: format!("{revision}-{hash}.hwi"),
            stream_id: StreamId([stream; 16]),
            revision,
            hash,
            digest: Digest([state; 32]),
            entries: u64::from(state),
            bytes: 9,
            blake3: Hash::default(),
            created_at_ms: 1,
            log_position: Position(revision),
            blocks: Vec::new(),
            succession: None,
        }
    }

    fn block(blake3: u8, bytes: u64) -> ManifestBlock {
        ManifestBlock { offset: 1, bytes, blake3: Hash([blake3; 32]), first_key: "a/k".into() }
    }

    proptest! {
        #[test]
        fn only_a_greater_revision_of_the_same_stream_may_follow(
            ours in (0u8..2, 0u64..4, 0u8..2, 0u8..2),
            theirs in (0u8..2, 0u64..4, 0u8..2, 0u8..2),
        ) {
            let (a, b) = (manifest(ours.0, ours.1, ours.2, ours.3), manifest(theirs.0, theirs.1, theirs.2, theirs.3));
            let may = a.may_follow(&b);
            prop_assert_eq!(may.is_ok(), ours.0 == theirs.0 && ours.1 > theirs.1);
            // No two may follow each other: whoever races ends at one place.
            prop_assert!(may.is_err() || b.may_follow(&a).is_err());
            let same = matches!(may, Err(WhyNot::Same { .. }));
            prop_assert_eq!(same, ours == theirs);
        }

        #[test]
        fn only_the_exact_name_of_an_image_is_one(
            name in "[0+]?[0-9]{1,3}-[0-9a-fA-F]{64}\\.hwi(.json)?|[0-9]{1,3}-[0-9a-f]{64}\\.hwi|\\PC{0,90}",
        ) {
            let said = parse_wire_name(&name).map(|(revision, hash)| format!("{revision}-{hash}.hwi"));
            prop_assert!(said.is_none_or(|said| said == name));
        }
    }

    #[test]
    fn a_name_says_its_revision_and_hash_and_is_no_path() {
        let hash = Hash([0xab; 32]);
        assert_eq!(parse_wire_name(&format!("7-{hash}.hwi")), Some((7, hash)));
        for name in ["latest.json", "x.hwi", "1-2.hwi", &format!("../7-{hash}.hwi")] {
            assert_eq!(parse_wire_name(name), None, "{name}");
        }
    }

    #[test]
    fn an_image_of_a_chain_led_to_later_follows_one_of_any_revision_and_never_the_other_way() {
        let led = |mut manifest: Manifest, from: u8, at_ms| {
            let from = Point { stream_id: StreamId([from; 16]), revision: 5, hash: Hash([1; 32]) };
            manifest.succession = Some(Lineage { from, since: 6, at_ms });
            manifest
        };
        let old = manifest(1, 100, 1, 1);
        let adopted = led(manifest(1, 7, 2, 2), 1, 10);
        let again = led(manifest(1, 6, 3, 3), 1, 20);
        let rebuilt = led(manifest(2, 3, 4, 4), 1, 30);
        for (newer, older) in
            [(&adopted, &old), (&again, &adopted), (&again, &old), (&rebuilt, &again)]
        {
            assert_eq!(newer.may_follow(older), Ok(()));
            let announced = newer.revision;
            assert_eq!(older.may_follow(newer), Err(WhyNot::Left { announced }));
        }
        assert_eq!(led(manifest(1, 8, 5, 5), 1, 10).may_follow(&adopted), Ok(()));
        let lower = adopted.may_follow(&led(manifest(1, 8, 5, 5), 1, 10));
        assert_eq!(lower, Err(WhyNot::NotGreater { revision: 7, announced: 8 }));
        let other = manifest(3, 1, 1, 1);
        assert!(matches!(rebuilt.may_follow(&other), Err(WhyNot::OtherStream { .. })));
        let json = serde_json::to_string(&rebuilt).unwrap();
        assert!(json.contains(r#""since":6,"at":"1970-01-01T00:00:00.030Z""#), "{json}");
        assert_eq!(Manifest::parse(json.as_bytes()).unwrap(), rebuilt);
    }

    #[test]
    fn how_blocks_were_compressed_makes_no_difference_and_what_is_in_them_does() {
        let (mut a, mut b) = (manifest(1, 5, 1, 1), manifest(1, 5, 1, 1));
        (a.blocks, b.blocks) = (vec![block(1, 10)], vec![block(1, 12)]);
        assert_eq!(a.may_follow(&b), Err(WhyNot::Same { revision: 5 }));
        b.blocks = vec![block(2, 10)];
        let refused = a.may_follow(&b).unwrap_err();
        assert!(matches!(refused, WhyNot::Differs { revision: 5, .. }) && !refused.is_harmless());
    }
}
