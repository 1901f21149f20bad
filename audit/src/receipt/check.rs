//! Checking a receipt, with nothing else at hand.

use std::io::{BufRead, Read, Seek, SeekFrom};

use headwater_schemas::{
    Codec, Commit, Frozen, Genesis, Hash, MAX_RECORD_BYTES, Point, commit_fingerprint,
    commit_schema,
};

use super::{
    FIRST, FORMAT, HASH_BYTES, HEAD, HEADER_BYTES, MAGIC, Proof, ReceiptError, WHOLE, WINDOW_LOG,
};
use crate::tree::{CHUNK_BYTES, HeaderProof, MAX_SIBLINGS};

/// Checks a receipt, and says what it proves. Nothing else is needed: no server, no log. `published`: the head that it must
/// lead to; without one it proves that the commit is part of the history of whatever head it names.
///
/// # Errors
/// [`ReceiptError`].
pub fn check_receipt(
    mut file: impl BufRead + Seek,
    published: Option<(u64, Hash)>,
) -> Result<Proof, ReceiptError> {
    let body = whole(&mut file)?;
    file.seek(SeekFrom::Start(HEADER_BYTES))?;
    let mut frame =
        zstd::stream::read::Decoder::with_buffer((&mut file).take(body))?.single_frame();
    frame.window_log_max(WINDOW_LOG)?;
    let record = sized(&mut frame, MAX_RECORD_BYTES)?;
    let first = HeaderProof::Whole(record.clone()).prove();
    let (hash, frozen) = first.map_err(|error| ReceiptError::Link { revision: 0, error })?;
    let point = Point { stream_id: frozen.stream_id, revision: frozen.revision, hash };
    let head = follow(&mut frame, point)?;
    if !frame.finish().fill_buf()?.is_empty() {
        return Err(ReceiptError::Damaged("something stands behind its end"));
    }
    if published.is_some_and(|wanted| wanted != (head.revision, head.hash)) {
        return Err(ReceiptError::OtherHead(head));
    }
    let commit = decoded(&record);
    Ok(Proof { record, point, head, commit })
}

/// Checks the hash over the whole file, and gives the length of its body.
fn whole(file: &mut (impl BufRead + Seek)) -> Result<u64, ReceiptError> {
    let length = file.seek(SeekFrom::End(0))?;
    let body = length.checked_sub(HEADER_BYTES + HASH_BYTES).ok_or(ReceiptError::Format)?;
    file.seek(SeekFrom::Start(0))?;
    let mut header = [0; 12];
    file.read_exact(&mut header)?;
    let (magic, format) = header.split_at(MAGIC.len());
    if magic != MAGIC || format != FORMAT.to_le_bytes() {
        return Err(ReceiptError::Format);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header);
    hasher.update_reader(file.by_ref().take(body))?;
    let mut hash = [0; 32];
    file.read_exact(&mut hash)?;
    if *hasher.finalize().as_bytes() == hash {
        Ok(body)
    } else {
        Err(ReceiptError::Damaged("its bytes are not those that were written"))
    }
}

/// Follows the links from a commit to the head.
fn follow(frame: &mut impl Read, from: Point) -> Result<Point, ReceiptError> {
    let mut at = from;
    loop {
        let [tag] = array(frame)?;
        let proof = match tag {
            WHOLE => HeaderProof::Whole(sized(frame, CHUNK_BYTES)?),
            FIRST => first(frame)?,
            HEAD => {
                let revision = u64::from_le_bytes(array(frame)?);
                let hash = Hash(array(frame)?);
                if frame.read(&mut [0])? > 0 {
                    return Err(ReceiptError::Damaged("something stands behind its head"));
                }
                return if (revision, hash) == (at.revision, at.hash) {
                    Ok(at)
                } else {
                    Err(ReceiptError::Torn(revision))
                };
            }
            _ => return Err(ReceiptError::Damaged("a link of an unknown kind")),
        };
        at = step(at, &proof)?;
    }
}

fn step(at: Point, proof: &HeaderProof) -> Result<Point, ReceiptError> {
    let next = at.revision.checked_add(1).ok_or(ReceiptError::Torn(at.revision))?;
    let proven = proof.prove().map_err(|error| ReceiptError::Link { revision: next, error });
    let (hash, Frozen { stream_id, revision, parent, .. }) = proven?;
    if (stream_id, revision, parent) == (at.stream_id, next, at.hash) {
        Ok(Point { stream_id, revision, hash })
    } else {
        Err(ReceiptError::Torn(next))
    }
}

fn first(frame: &mut impl Read) -> Result<HeaderProof, ReceiptError> {
    let [count] = array(frame)?;
    if usize::from(count) > MAX_SIBLINGS {
        return Err(ReceiptError::Damaged("a way longer than any record's"));
    }
    let chunk = Box::new(array(frame)?);
    let siblings = (0..count).map(|_| array(frame)).collect::<Result<_, _>>()?;
    Ok(HeaderProof::First { chunk, siblings })
}

fn array<const N: usize>(frame: &mut impl Read) -> Result<[u8; N], ReceiptError> {
    let mut bytes = [0; N];
    frame.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn sized(frame: &mut impl Read, most: usize) -> Result<Vec<u8>, ReceiptError> {
    let length = u32::from_le_bytes(array(frame)?);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > most {
        return Err(ReceiptError::Damaged("a record larger than any"));
    }
    let mut bytes = vec![0; length];
    frame.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What the record says, where this build knows the schema it is written in.
fn decoded(record: &[u8]) -> Option<Commit> {
    if let Ok(genesis) = Genesis::decode(record) {
        return genesis.commit().ok();
    }
    let mut codec = Codec::default();
    codec.learn(&commit_fingerprint().to_string(), commit_schema().as_bytes()).ok()?;
    codec.decode(record).ok()
}
