//! Frames of the binary stream: a length (u32, little-endian), then an Avro datum of the union in
//! `avro/frame.avsc`. Written by hand, because a frame must cost nothing beside the record it carries;
//! the tests read every frame with the Avro library, too.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use headwater_schemas::{Digest, Hash, Position, StreamId};

use crate::Problem;

/// The largest frame, in bytes, its length not counted.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;
const LENGTH_BYTES: usize = 4;

/// One frame. The order of the variants is the order of the union: it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A commit to a reader of all namespaces, who runs `accept` itself.
    Commit {
        /// Where it stands in the log.
        position: Position,
        /// When the log took it, milliseconds since the Unix epoch.
        appended_at_ms: i64,
        /// The record as stored.
        record: Bytes,
    },
    /// The part of a commit that concerns the subscribed namespaces.
    Filtered {
        /// The revision sent before this one; the request's `after` at first.
        previous: u64,
        /// The hash of the whole record.
        hash: Hash,
        /// Where it stands in the log.
        position: Position,
        /// The filtered commit, encoded; its digest is that of the subscribed namespaces after it.
        commit: Bytes,
    },
    /// Commits up to `revision` held nothing for the subscribed namespaces.
    Progress {
        /// The revision sent before.
        previous: u64,
        /// The revision reached.
        revision: u64,
        /// The chain hash there.
        hash: Hash,
        /// The digest of the subscribed namespaces.
        digest: Digest,
        /// Where that record stands in the log.
        position: Position,
    },
    /// The relay's head.
    Heartbeat {
        /// The stream.
        stream_id: StreamId,
        /// The revision of the head.
        revision: u64,
        /// The hash of the head.
        hash: Hash,
        /// The digest of the subscribed namespaces, or of the whole state.
        digest: Digest,
        /// Where the head's record stands in the log.
        position: Position,
    },
    /// The relay ends the stream and says why.
    End {
        /// Why.
        problem: Problem,
    },
}

/// Why bytes are not a stream of frames: leave this source, it cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame larger than [`MAX_FRAME_BYTES`].
    #[error("a frame of {0} bytes; the most is {MAX_FRAME_BYTES}")]
    TooLarge(usize),
    /// A frame that this build does not know.
    #[error("a frame of unknown kind {0}: the server is newer, update this client")]
    UnknownKind(i64),
    /// A frame whose body does not fit its kind.
    #[error("a damaged {kind} frame: {what}")]
    Damaged {
        /// Which frame.
        kind: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

impl Frame {
    /// Appends the frame, its length first.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32_le(0);
        match self {
            Self::Commit { position, appended_at_ms, record } => {
                put_long(out, 0);
                put_unsigned(out, position.0);
                put_long(out, *appended_at_ms);
                put_bytes(out, record);
            }
            Self::Filtered { previous, hash, position, commit } => {
                put_long(out, 1);
                put_unsigned(out, *previous);
                out.put_slice(&hash.0);
                put_unsigned(out, position.0);
                put_bytes(out, commit);
            }
            Self::Progress { previous, revision, hash, digest, position } => {
                put_long(out, 2);
                put_unsigned(out, *previous);
                put_head(out, *revision, hash, digest, *position);
            }
            Self::Heartbeat { stream_id, revision, hash, digest, position } => {
                put_long(out, 3);
                out.put_slice(&stream_id.0);
                put_head(out, *revision, hash, digest, *position);
            }
            Self::End { problem } => {
                put_long(out, 4);
                put_bytes(out, problem.to_json().as_bytes());
            }
        }
        // A frame too large for its length is refused by its reader like any frame that is too large.
        let length = u32::try_from(out.len() - start - LENGTH_BYTES).unwrap_or(u32::MAX);
        if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// The frame as bytes of its own, its length first.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        self.encode(&mut out);
        out.freeze()
    }

    /// Decodes one frame without its length. All bytes must be used.
    fn decode(body: Bytes) -> Result<Self, FrameError> {
        let mut body = Body { rest: body, kind: "stream" };
        let kind = body.long()?;
        let frame = match kind {
            0 => {
                body.kind = "commit";
                Self::Commit {
                    position: Position(body.unsigned()?),
                    appended_at_ms: body.long()?,
                    record: body.bytes()?,
                }
            }
            1 => {
                body.kind = "filtered";
                Self::Filtered {
                    previous: body.unsigned()?,
                    hash: Hash(body.fixed()?),
                    position: Position(body.unsigned()?),
                    commit: body.bytes()?,
                }
            }
            2 => {
                body.kind = "progress";
                Self::Progress {
                    previous: body.unsigned()?,
                    revision: body.unsigned()?,
                    hash: Hash(body.fixed()?),
                    digest: Digest(body.fixed()?),
                    position: Position(body.unsigned()?),
                }
            }
            3 => {
                body.kind = "heartbeat";
                Self::Heartbeat {
                    stream_id: StreamId(body.fixed()?),
                    revision: body.unsigned()?,
                    hash: Hash(body.fixed()?),
                    digest: Digest(body.fixed()?),
                    position: Position(body.unsigned()?),
                }
            }
            4 => {
                body.kind = "end";
                let json = body.bytes()?;
                let problem = serde_json::from_slice(&json);
                Self::End { problem: problem.map_err(|_| body.damaged("not a problem"))? }
            }
            other => return Err(FrameError::UnknownKind(other)),
        };
        if body.rest.is_empty() { Ok(frame) } else { Err(body.damaged("bytes left over")) }
    }
}

fn put_long(out: &mut BytesMut, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while raw >= 0x80 {
        out.put_u8((raw & 0x7F) as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8((raw & 0x7F) as u8);
}

/// A number that never is negative, in Avro's signed `long`.
fn put_unsigned(out: &mut BytesMut, value: u64) {
    put_long(out, i64::try_from(value).unwrap_or(i64::MAX));
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_unsigned(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn put_head(out: &mut BytesMut, revision: u64, hash: &Hash, digest: &Digest, position: Position) {
    put_unsigned(out, revision);
    out.put_slice(&hash.0);
    out.put_slice(&digest.0);
    put_unsigned(out, position.0);
}

/// What is left of one frame's body.
struct Body {
    rest: Bytes,
    kind: &'static str,
}

impl Body {
    fn damaged(&self, what: &'static str) -> FrameError {
        FrameError::Damaged { kind: self.kind, what }
    }

    fn long(&mut self) -> Result<i64, FrameError> {
        let mut raw = 0u64;
        for index in 0..10 {
            let byte = self.rest.try_get_u8().map_err(|_| self.damaged("cut off"))?;
            let low = u64::from(byte & 0x7F);
            if index == 9 && low > 1 {
                break;
            }
            raw |= low << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()));
            }
        }
        Err(self.damaged("a number too long"))
    }

    fn unsigned(&mut self) -> Result<u64, FrameError> {
        u64::try_from(self.long()?).map_err(|_| self.damaged("a negative number"))
    }

    fn bytes(&mut self) -> Result<Bytes, FrameError> {
        let length = usize::try_from(self.unsigned()?).unwrap_or(usize::MAX);
        if length > self.rest.len() {
            return Err(self.damaged("cut off"));
        }
        Ok(self.rest.split_to(length))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (fixed, _) = self.rest.split_first_chunk::<N>().ok_or(self.damaged("cut off"))?;
        let fixed = *fixed;
        self.rest.advance(N);
        Ok(fixed)
    }
}

/// Cuts a stream of bytes, in whatever chunks it arrives, into frames.
///
/// Take all frames with [`FrameDecoder::next_frame`] before pushing more: then it never holds more than one
/// frame and one chunk.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffered: BytesMut,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// Takes in bytes as they arrived.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.failed.is_none() {
            self.buffered.extend_from_slice(chunk);
        }
    }

    /// The next whole frame; none until more bytes arrive.
    ///
    /// # Errors
    /// [`FrameError`], and the same again for ever after: behind a damaged frame nothing can be found.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.take();
        if let Err(error) = result {
            self.failed = Some(error);
            self.buffered = BytesMut::new();
        }
        result
    }

    /// Whether bytes of an unfinished frame are held: a stream that ends here was cut.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffered.is_empty()
    }

    fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((length, _)) = self.buffered.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        if self.buffered.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        self.buffered.advance(LENGTH_BYTES);
        Frame::decode(self.buffered.split_to(length).freeze()).map(Some)
    }
}
