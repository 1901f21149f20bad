//! A segment: some records of a chain, whole commits only.
//!
//! ```text
//! HWARCHV\0 │ format u32 │ stream id 16 │ first u64 │ last u64 │ parent 32 │ zstd: (time i64, length u32, record) …
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use headwater_schemas::{Frozen, Hash, MAX_RECORD_BYTES, Position, Record, StreamId};

use super::SegmentEntry;

const MAGIC: &[u8; 8] = b"HWARCHV\0";
const FORMAT: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 8 + 4 + 16 + 8 + 8 + 32;
const ZSTD_LEVEL: i32 = 6;
/// The largest record that an archive holds, in bytes. Twice what readers decode: a record that is too large for them, and
/// that an operator therefore had skipped, is part of the chain, too.
const MAX_STORED_BYTES: usize = 2 * MAX_RECORD_BYTES;
/// The most bytes of a segment, decoded: what a damaged one may cost in memory.
const MAX_DECODED_BYTES: usize = 96 * 1024 * 1024;
/// The bytes before each record.
const RECORD_HEADER_BYTES: usize = 12;

/// A segment is ended when its records have so many bytes.
pub(crate) const SEGMENT_BYTES: usize = 16 * 1024 * 1024;

/// Records on their way into a segment.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) stream_id: StreamId,
    pub(crate) first: u64,
    pub(crate) parent: Hash,
    /// The last record's revision, hash and position.
    pub(crate) last: (u64, Hash, Position),
    body: Vec<u8>,
}

impl Gathered {
    pub(crate) fn begin(stream_id: StreamId, first: u64, parent: Hash) -> Self {
        let last = (first, Hash::default(), Position::default());
        Self { stream_id, first, parent, last, body: Vec::new() }
    }

    /// Takes the next record of the chain.
    pub(crate) fn push(&mut self, revision: u64, hash: Hash, record: &Record) {
        let length = u32::try_from(record.bytes.len()).unwrap_or(u32::MAX);
        self.body.extend_from_slice(&record.appended_at_ms.to_le_bytes());
        self.body.extend_from_slice(&length.to_le_bytes());
        self.body.extend_from_slice(&record.bytes);
        self.last = (revision, hash, record.position);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.body.len() >= SEGMENT_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The bytes of its file.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(self.body.len() / 3 + HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.stream_id.0);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.parent.0);
        let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(&self.body)?;
        encoder.finish()
    }

    /// What the manifest says of it, once it is encoded.
    pub(crate) fn entry(&self, encoded: &[u8]) -> SegmentEntry {
        let (last, hash, position) = self.last;
        SegmentEntry {
            first: self.first,
            last,
            parent: self.parent,
            hash,
            position,
            bytes: encoded.len() as u64,
            blake3: Hash::of(encoded),
        }
    }
}

/// The records of a segment, as far as they can be read, and what stood in the way.
pub(crate) fn read(bytes: &[u8], entry: &SegmentEntry) -> (Vec<Record>, Result<(), String>) {
    let whole = Hash::of(bytes) == entry.blake3;
    let mut records = Vec::new();
    let mut ended = match bytes.split_at_checked(HEADER_BYTES) {
        Some((_, frame)) => decode(frame, entry, &mut records),
        None => Err("it is cut in its header".to_owned()),
    };
    if ended.is_ok() && records.len() as u64 != entry.records() {
        let (has, wanted) = (records.len(), entry.records());
        ended = Err(format!("it holds {has} records instead of {wanted}"));
    }
    if !whole {
        // The reason why it cannot be decoded says more.
        let unlike = || Err("its BLAKE3 is not that of the manifest".to_owned());
        return (records, ended.and_then(|()| unlike()));
    }
    (records, ended)
}

/// The bytes of a segment's file; one larger than any segment is not read.
pub(crate) fn load(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_DECODED_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The records of a segment that stands by itself: header, chain and entry agree.
pub(crate) fn check(
    bytes: &[u8],
    entry: &SegmentEntry,
    stream: StreamId,
) -> Result<Vec<Record>, String> {
    let header = bytes.get(..HEADER_BYTES).ok_or("it is cut in its header")?;
    let wanted = Gathered {
        stream_id: stream,
        first: entry.first,
        parent: entry.parent,
        last: (entry.last, entry.hash, entry.position),
        body: Vec::new(),
    };
    let wanted = wanted.encode().map_err(|error| error.to_string())?;
    if wanted.get(..HEADER_BYTES) != Some(header) {
        return Err("its header is not what the manifest says".to_owned());
    }
    let (records, read) = read(bytes, entry);
    read?;
    let mut at = (entry.first, entry.parent);
    for record in &records {
        let frozen = Frozen::read(&record.bytes).map_err(|error| error.to_string())?;
        if (frozen.stream_id, frozen.revision, frozen.parent) != (stream, at.0, at.1) {
            return Err(format!("its record of revision {} does not continue the chain", at.0));
        }
        at = (frozen.revision + 1, Hash::of(&record.bytes));
    }
    if at.1 == entry.hash { Ok(records) } else { Err("it ends with another record".to_owned()) }
}

/// Decodes the records of a frame, which stand at their revisions: no more than the manifest says, as a small frame can hold
/// millions of empty ones.
fn decode(frame: &[u8], entry: &SegmentEntry, records: &mut Vec<Record>) -> Result<(), String> {
    let told = |error: io::Error| format!("it cannot be decompressed: {error}");
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(told)?.single_frame();
    let mut left = MAX_DECODED_BYTES;
    loop {
        let mut header = [0; RECORD_HEADER_BYTES];
        if decoder.read(&mut header[..1]).map_err(told)? == 0 {
            break;
        }
        if records.len() as u64 == entry.records() {
            return Err(format!("it holds more than {} records", entry.records()));
        }
        decoder.read_exact(&mut header[1..]).map_err(told)?;
        let (at_ms, length) = header.split_at(8);
        let at_ms = i64::from_le_bytes(at_ms.try_into().unwrap_or_default());
        let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        left = left
            .checked_sub(length.saturating_add(RECORD_HEADER_BYTES))
            .filter(|_| length <= MAX_STORED_BYTES)
            .ok_or("a record larger than any, or more of them than a segment holds")?;
        let mut bytes = vec![0; length];
        decoder.read_exact(&mut bytes).map_err(told)?;
        let position = Position(entry.first.saturating_add(records.len() as u64));
        records.push(Record { position, appended_at_ms: at_ms, bytes: Bytes::from(bytes) });
    }
    if decoder.finish().is_empty() {
        Ok(())
    } else {
        Err("something stands behind its end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of so many records that have no bytes, which its manifest says has ten.
    fn of_empty_records(count: usize) -> (Vec<u8>, SegmentEntry) {
        let mut gathered = Gathered::begin(StreamId([1; 16]), 0, Hash::default());
        let empty = Record { position: Position(0), appended_at_ms: 0, bytes: Bytes::new() };
        (0..count).for_each(|_| gathered.push(9, Hash::default(), &empty));
        let bytes = gathered.encode().unwrap();
        let entry = gathered.entry(&bytes);
        (bytes, entry)
    }

    #[test]
    fn a_small_segment_costs_no_more_records_than_its_manifest_says() {
        let (bytes, entry) = of_empty_records(1_000_000);
        assert!(bytes.len() < 4_096, "{} bytes", bytes.len());
        let (records, ended) = read(&bytes, &entry);
        assert_eq!(
            (records.len(), ended.unwrap_err().as_str()),
            (10, "it holds more than 10 records")
        );
        let (bytes, entry) = of_empty_records(10);
        let (records, ended) = read(&bytes, &entry);
        assert_eq!((records.len(), ended), (10, Ok(())));
    }
}
