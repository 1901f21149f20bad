//! Writing a receipt.

use std::io::{self, Write};
use std::ops::ControlFlow;

use headwater_log::LogReader;
use headwater_schemas::{Hash, Point};

use super::{FIRST, FORMAT, HEAD, MAGIC, Proof, WHOLE, WINDOW_LOG, ZSTD_LEVEL};
use crate::AuditError;
use crate::tree::HeaderProof;
use crate::visit::visit;

/// Writes the receipt of a revision, up to a published head or the log's end, and says what it proves. Bounded in memory:
/// about the record, or its first KiB, for each later commit goes straight through zstd.
///
/// # Errors
/// [`AuditError`]; nothing that was written counts then.
pub async fn write_receipt(
    reader: &mut dyn LogReader,
    revision: u64,
    head: Option<(u64, Hash)>,
    out: impl Write,
) -> Result<Proof, AuditError> {
    let mut writing = Writing::begin(out)?;
    let (mut proof, mut last): (Option<Proof>, Option<Point>) = (None, None);
    visit(reader, |accepted| {
        let commit = &accepted.commit;
        let point =
            Point { stream_id: commit.stream_id, revision: commit.revision, hash: accepted.hash };
        last = Some(point);
        if commit.revision == revision {
            writing.record(&accepted.record.bytes)?;
            proof = Some(Proof {
                record: accepted.record.bytes.to_vec(),
                point,
                head: point,
                commit: (!accepted.skipped).then(|| commit.clone()),
            });
        } else if let Some(proof) = &mut proof {
            writing.link(&HeaderProof::of(&accepted.record.bytes))?;
            proof.head = point;
        }
        Ok(match head {
            Some((at, wanted)) if at == commit.revision => {
                if wanted != accepted.hash {
                    let found = accepted.hash;
                    return Err(AuditError::OtherChain { revision: at, found, wanted });
                }
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })
    })
    .await?;
    let last = last.map_or(0, |point| point.revision);
    let wanted = head.map_or(revision, |(at, _)| at.max(revision));
    match proof {
        Some(proof) if proof.head.revision >= wanted => {
            writing.end(&proof.head)?;
            Ok(proof)
        }
        _ => Err(AuditError::Beyond { wanted, last }),
    }
}

/// Passes on what is written, and hashes it.
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Writing<W: Write>(zstd::stream::write::Encoder<'static, Hashing<W>>);

impl<W: Write> Writing<W> {
    fn begin(out: W) -> Result<Self, AuditError> {
        let begun = || {
            let mut out = Hashing { inner: out, hasher: blake3::Hasher::new() };
            out.write_all(MAGIC)?;
            out.write_all(&FORMAT.to_le_bytes())?;
            let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
            encoder.window_log(WINDOW_LOG)?;
            Ok(Self(encoder))
        };
        begun().map_err(output)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.0.write_all(&length.to_le_bytes())?;
        self.0.write_all(bytes)
    }

    fn record(&mut self, record: &[u8]) -> Result<(), AuditError> {
        self.bytes(record).map_err(output)
    }

    fn link(&mut self, proof: &HeaderProof) -> Result<(), AuditError> {
        let mut written = || match proof {
            HeaderProof::Whole(record) => {
                self.0.write_all(&[WHOLE])?;
                self.bytes(record)
            }
            HeaderProof::First { chunk, siblings } => {
                let count = u8::try_from(siblings.len()).map_err(io::Error::other)?;
                self.0.write_all(&[FIRST, count])?;
                self.0.write_all(chunk.as_slice())?;
                siblings.iter().try_for_each(|sibling| self.0.write_all(sibling))
            }
        };
        written().map_err(output)
    }

    fn end(self, head: &Point) -> Result<(), AuditError> {
        let ended = |mut this: Self| {
            this.0.write_all(&[HEAD])?;
            this.0.write_all(&head.revision.to_le_bytes())?;
            this.0.write_all(&head.hash.0)?;
            let Hashing { mut inner, hasher } = this.0.finish()?;
            inner.write_all(hasher.finalize().as_bytes())?;
            inner.flush()
        };
        ended(self).map_err(output)
    }
}

fn output(error: io::Error) -> AuditError {
    AuditError::Output(error.to_string())
}
