//! Reading RocksDB's write-ahead log files ourselves, before RocksDB does.
//!
//! RocksDB takes some damage for a write that a crash tore (a changed length in the last block) and then drops
//! acknowledged records in silence; for other damage it refuses without saying where. So every file is walked
//! first: a torn tail has nothing behind it and is let pass, anything else is [`Damage`] with a position.
//!
//! ```text
//! file   = blocks of 32 KiB, each: fragments, then less than 7 bytes of padding
//! fragment = masked crc32c (4) · length (2) · type (1: whole, 2: first, 3: middle, 4: last) · data
//! data   = write batch: sequence (8) · count (4) · operations (1: put · varint key · varint value)
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use headwater_schemas::{Position, Record};

use crate::checksum::crc32c;
use crate::{Damage, stored};

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
const BATCH_HEADER_BYTES: usize = 12;
/// RocksDB stores checksums rotated and shifted, because they are often taken of data that holds checksums.
const MASK_DELTA: u32 = 0xA282_EAD8;

const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// From here on, what RocksDB notes for itself.
const FIRST_NOTE: u8 = 9;

const PUT: u8 = 1;
const NOTE: u8 = 3;
const NOTHING: u8 = 13;

/// Walks every write-ahead log file in `dir`, oldest first.
///
/// # Errors
/// Outside: a file cannot be read. Inside: the first [`Damage`].
pub(crate) fn check(dir: &Path) -> io::Result<Result<(), Damage>> {
    check_with(dir, &mut Chain::default())
}

/// The records before the first damage, also those of the group that it stands in, which RocksDB gives up whole.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn sound(dir: &Path) -> io::Result<Vec<Record>> {
    let mut chain = Chain { kept: Some(Vec::new()), ..Chain::default() };
    let checked = check_with(dir, &mut chain)?;
    let mut kept = chain.kept.unwrap_or_default();
    if let Err(Damage { position: Some(damaged), .. }) = checked {
        kept.retain(|record| record.position.0 < damaged);
    }
    Ok(kept)
}

fn check_with(dir: &Path, chain: &mut Chain) -> io::Result<Result<(), Damage>> {
    for file in files(dir)? {
        let bytes = fs::read(&file)?;
        if let Err(mut damage) = walk(&bytes, chain) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            damage.detail = format!("{} in {name}", damage.detail);
            return Ok(Err(damage));
        }
    }
    Ok(Ok(()))
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(|e| e.to_str())) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Walks one file; `chain` knows what the files before it ended with.
fn walk(bytes: &[u8], chain: &mut Chain) -> Result<(), Damage> {
    let mut fragments = Fragments { bytes, at: 0 };
    let mut batch: Option<Vec<u8>> = None;
    // A damaged batch is put together all the same, to tell which of its records it is.
    let mut wrong: Option<String> = None;
    loop {
        let start = fragments.at;
        let (kind, data, sound) = match fragments.next() {
            Fragment::Data { kind, data, sound } => (kind, data, sound),
            Fragment::Note => continue,
            Fragment::End => return wrong.map_or(Ok(()), |why| Err(chain.damage(why))),
            Fragment::Lost(why) => return Err(chain.damage(format!("{why} at byte {start}"))),
        };
        if !sound {
            wrong.get_or_insert_with(|| format!("a checksum does not match at byte {start}"));
        }
        if matches!(kind, WHOLE | FIRST) == batch.is_some() {
            return Err(chain.damage(format!("a part of a group is missing at byte {start}")));
        }
        batch.get_or_insert_default().extend_from_slice(data);
        if matches!(kind, WHOLE | LAST)
            && let Some(batch) = batch.take()
        {
            chain.follow(&batch, wrong.take())?;
        }
    }
}

/// The fragments of one file.
struct Fragments<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Fragment<'a> {
    /// A part of a batch; not `sound` when its checksum does not match.
    Data { kind: u8, data: &'a [u8], sound: bool },
    /// RocksDB's own.
    Note,
    /// Nothing more, or only what a crash left of a write.
    End,
    /// Something that cannot even be skipped.
    Lost(&'static str),
}

impl<'a> Fragments<'a> {
    fn next(&mut self) -> Fragment<'a> {
        let mut left_in_block = BLOCK_BYTES - self.at % BLOCK_BYTES;
        if left_in_block < HEADER_BYTES {
            self.at += left_in_block;
            left_in_block = BLOCK_BYTES;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((kind, length)) = header(rest) else { return Fragment::End };
        if kind == 0 && length == 0 {
            let blank = rest.iter().all(|byte| *byte == 0);
            return if blank { Fragment::End } else { Fragment::Lost("there are zeros") };
        }
        let end = HEADER_BYTES + length;
        if end > left_in_block || (end > rest.len() && has_more(rest)) {
            return Fragment::Lost("a length is wrong");
        }
        let Some(data) = rest.get(HEADER_BYTES..end) else { return Fragment::End };
        let sound = is_sound(rest, length);
        self.at += end;
        match kind {
            WHOLE | FIRST | MIDDLE | LAST => Fragment::Data { kind, data, sound },
            FIRST_NOTE.. if sound => Fragment::Note,
            _ => Fragment::Lost("there is an unknown kind of record"),
        }
    }
}

/// Kind and length of the fragment that `rest` begins with.
fn header(rest: &[u8]) -> Option<(u8, usize)> {
    let header = rest.first_chunk::<HEADER_BYTES>()?;
    Some((header[6], usize::from(u16::from_le_bytes([header[4], header[5]]))))
}

/// Whether `rest` begins with a fragment of this length whose checksum matches.
fn is_sound(rest: &[u8], length: usize) -> bool {
    let (Some(sum), Some(data)) = (rest.first_chunk::<4>(), rest.get(6..HEADER_BYTES + length))
    else {
        return false;
    };
    let sum = u32::from_le_bytes(*sum).wrapping_sub(MASK_DELTA);
    sum.rotate_left(15) == crc32c(&[data])
}

/// The file ends before the fragment that `rest` begins with does. A crash leaves nothing behind such a fragment,
/// and not the whole of it: if there is more, it is its length that was changed.
fn has_more(rest: &[u8]) -> bool {
    if is_sound(rest, rest.len() - HEADER_BYTES) {
        return true;
    }
    (1..rest.len()).any(|skip| {
        let rest = &rest[skip..];
        header(rest).is_some_and(|(kind, length)| {
            (WHOLE..=LAST).contains(&kind) && length > 0 && is_sound(rest, length)
        })
    })
}

/// What the records so far lead to.
#[derive(Debug, Default)]
struct Chain {
    /// The position that must come next; none before the first record.
    next: Option<u64>,
    /// The last revision.
    revision: Option<u64>,
    /// The records themselves, where they are wanted.
    kept: Option<Vec<Record>>,
}

impl Chain {
    /// Takes in one batch, of which the files say that something is `wrong`.
    fn follow(&mut self, batch: &[u8], wrong: Option<String>) -> Result<(), Damage> {
        let (next, revision) = (self.next, self.revision);
        let (told, found) = self.take(batch)?;
        let miscounted = || (told != found).then(|| format!("{told} records are {found}"));
        let Some(detail) = wrong.or_else(miscounted) else { return Ok(()) };
        // With every record sound, it is RocksDB's own part of the batch: the whole of it is in doubt.
        let (position, claimed) = first_put(batch).unwrap_or((next, None));
        let revision = revision.map(|last| last + 1).or(claimed);
        Err(Damage { position, revision, detail })
    }

    /// How many records the batch says it has, and how many it has.
    fn take(&mut self, batch: &[u8]) -> Result<(u32, u32), Damage> {
        let cut = |chain: &Self| chain.damage("a group of records is cut short".into());
        let Some((header, mut rest)) = batch.split_first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(cut(self));
        };
        let mut puts = 0_u32;
        while let Some((operation, operands)) = rest.split_first() {
            rest = match *operation {
                PUT => {
                    let (key, operands) = string(operands).ok_or_else(|| cut(self))?;
                    let (value, operands) = string(operands).ok_or_else(|| cut(self))?;
                    self.put(key, value)?;
                    puts += 1;
                    operands
                }
                NOTE => string(operands).ok_or_else(|| cut(self))?.1,
                NOTHING => operands,
                other => return Err(self.damage(format!("operation {other} is none of a log's"))),
            };
        }
        let [.., a, b, c, d] = *header;
        Ok((u32::from_le_bytes([a, b, c, d]), puts))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        let Some(position) = stored::position(key) else {
            return Err(self.damage(format!("a key of {} bytes is none of a log's", key.len())));
        };
        if self.next.is_some_and(|next| next != position) {
            return Err(self.damage(format!("it is missing; position {position} comes next")));
        }
        let (appended_at_ms, bytes) = match stored::decode(position, value) {
            Ok(record) => record,
            // Neither its key nor its revision can be believed: what came before says which it is.
            Err(why) => return Err(self.damage(why.into())),
        };
        if let Some(kept) = &mut self.kept {
            let (position, bytes) = (Position(position), Bytes::copy_from_slice(bytes));
            kept.push(Record { position, appended_at_ms, bytes });
        }
        self.next = Some(position + 1);
        self.revision = stored::claimed_revision(value).or(self.revision);
        Ok(())
    }

    fn damage(&self, detail: String) -> Damage {
        let revision = self.revision.map(|last| last + 1);
        Damage { position: self.next, revision, detail }
    }
}

/// Position and claimed revision of a batch's first record.
fn first_put(batch: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let (key, rest) = string(batch.get(BATCH_HEADER_BYTES..)?.strip_prefix(&[PUT])?)?;
    Some((stored::position(key), stored::claimed_revision(string(rest)?.0)))
}

/// A string with its length before it, and what follows.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = varint(bytes)?;
    rest.split_at_checked(length)
}

/// A length as RocksDB writes them, in at most 5 bytes, and what follows.
pub(crate) fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        number |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(number).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_and_zeros_are_a_log_without_records() {
        assert_eq!(walk(&[], &mut Chain::default()), Ok(()));
        assert_eq!(walk(&[0; 100_000], &mut Chain::default()), Ok(()));
    }

    #[test]
    fn zeros_before_a_record_are_damage() {
        let mut bytes = vec![0; 100];
        bytes[99] = 1;
        assert!(
            walk(&bytes, &mut Chain { next: Some(7), revision: Some(5), kept: None })
                .is_err_and(|damage| { damage.position == Some(7) && damage.revision == Some(6) })
        );
    }

    #[test]
    fn a_string_longer_than_what_is_there_is_none() {
        assert_eq!(string(&[3, 1, 2]), None);
        assert_eq!(string(&[2, 1, 2, 3]), Some(([1, 2].as_slice(), [3].as_slice())));
        assert_eq!(string(&[0xFF; 9]), None);
        assert_eq!(string(&[]), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let _ = walk(&garbage, &mut Chain::default());
        }

        #[test]
        fn a_batch_of_garbage_never_panics(garbage: Vec<u8>) {
            let _ = Chain::default().follow(&garbage, None);
        }
    }
}
