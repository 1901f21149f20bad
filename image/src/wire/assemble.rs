//! From wire to mapped form, as the bytes arrive.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use headwater_schemas::{Digest, Hash, Namespace, StreamId};

use super::footer::Footer;
use super::header::Header;
use super::survey::{Run, Survey};
use super::unpack::{Packed, Refused, Unpacked, Unpackers};
use crate::record::Rows;
use crate::{ImageError, Manifest, ManifestBlock, Mapped, MappedBuilder, Subscription};

/// Takes the bytes of one image in any pieces, decompresses and verifies block by block on all cores, and lays the
/// records out for reading. Ask [`Self::needs`] which bytes come next, fetch them, [`Self::feed`] them, until it
/// needs none; then [`Self::finish`]. What was fed stays when a transfer breaks off: go on with what it needs then.
///
/// `feed` computes and may take milliseconds: keep it off an async runtime's own threads.
pub struct Assembler {
    manifest: Manifest,
    subscription: Option<Subscription>,
    /// The parts to receive, in this order.
    plan: Vec<Part>,
    /// Which of them is being received.
    next: usize,
    /// What came of it so far.
    buffer: Vec<u8>,
    unpackers: Unpackers,
    /// Buffers to use again: for bytes as they come, and for records.
    spares: (Vec<Vec<u8>>, Vec<Vec<u8>>),
    header: Option<Known>,
    footer: Option<Footer>,
    /// What the footer must say of the blocks taken in.
    seen: Vec<Seen>,
    builder: MappedBuilder,
    failed: bool,
}

#[derive(Debug, Clone)]
struct Part {
    kind: Kind,
    range: Range<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header,
    Block(usize),
    Footer,
    /// Header and footer of an image without blocks.
    Whole,
}

struct Seen {
    block: usize,
    bytes: usize,
    entries: usize,
    checksum: u64,
}

/// The header, and what goes with its rows.
struct Known {
    header: Arc<Header>,
    bytes: Vec<u8>,
    /// Whether the namespace of a row is subscribed.
    wanted: Vec<bool>,
    /// The builder's rows for the header's; none until a record needs it.
    content_types: Vec<Option<u32>>,
    actors: Vec<Option<u32>>,
}

impl Known {
    /// Hands a run of records to the builder, if its namespace is wanted.
    fn take(
        &mut self,
        run: &Run,
        survey: &Survey,
        builder: &mut MappedBuilder,
    ) -> Result<(), ImageError> {
        let row = run.namespace as usize;
        let Self { header, wanted, content_types, actors, .. } = self;
        let (Some(true), Some(namespace)) = (wanted.get(row), header.namespaces.get(row)) else {
            return Ok(());
        };
        builder.append_run(namespace.as_str(), survey, run, |builder, theirs| {
            let text = || header.content_types.get(theirs.content_type);
            let add = || builder.content_type(text().unwrap_or_default());
            let content_type = known_or(content_types, theirs.content_type, add)?;
            let text = || header.actors.get(theirs.actor);
            let add = || builder.actor(text().unwrap_or_default());
            let actor = known_or(actors, theirs.actor, add)?;
            Ok(Rows { content_type, actor, ..theirs })
        })
    }
}

/// What stands for `row`, found once by `add`.
fn known_or(
    rows: &mut [Option<u32>],
    row: u32,
    add: impl FnOnce() -> Result<u32, ImageError>,
) -> Result<u32, ImageError> {
    match rows.get_mut(row as usize) {
        Some(Some(known)) => Ok(*known),
        Some(unknown) => Ok(*unknown.insert(add()?)),
        None => add(),
    }
}

impl Assembler {
    /// Begins the image that `manifest` announces, or the part of it that `subscription` covers.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] when the manifest is impossible.
    pub fn new(manifest: Manifest, subscription: Option<Subscription>) -> Result<Self, ImageError> {
        manifest.check()?;
        let plan = first_plan(&manifest, subscription.is_some());
        Ok(Self {
            plan,
            next: 0,
            buffer: Vec::new(),
            unpackers: Unpackers::for_blocks(manifest.blocks.len())?,
            spares: (Vec::new(), Vec::new()),
            header: None,
            footer: None,
            seen: Vec::new(),
            // Mostly values and keys that compress to a quarter or less; a guess too high costs nothing.
            builder: MappedBuilder::with_room(manifest.bytes.saturating_mul(6)),
            failed: false,
            manifest,
            subscription,
        })
    }

    /// What is being assembled.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bytes of the file that are needed next; none when there are enough, or when it failed for good. With a
    /// subscription the range ends where the next bytes are not wanted; ask again after it.
    pub fn needs(&self) -> Option<Range<u64>> {
        if self.failed {
            return None;
        }
        let (first, rest) = self.plan.get(self.next..)?.split_first()?;
        let start = first.range.start.saturating_add(self.buffer.len() as u64);
        let end = rest.iter().try_fold(first.range.end, |end, part| {
            if part.range.start == end { Ok(part.range.end) } else { Err(end) }
        });
        let end = end.unwrap_or_else(|end| end);
        Some(start..end)
    }

    /// Takes bytes that begin at `offset` of the file. Those before and behind the needed ones are passed over.
    ///
    /// # Errors
    /// [`ImageError::Gap`] when none of them is needed and earlier ones are. [`ImageError::Damaged`] when they cannot be
    /// those of the image: if [`Self::needs`] still names a range, a block came damaged and fetching it again can help
    /// (try a few times, not for ever); if not, take another source.
    pub fn feed(&mut self, offset: u64, mut bytes: &[u8]) -> Result<(), ImageError> {
        let mut at = offset;
        let mut progress = false;
        while !bytes.is_empty()
            && let Some(needed) = self.needs()
        {
            let before = usize::try_from(needed.start.saturating_sub(at)).unwrap_or(usize::MAX);
            let before = before.min(bytes.len());
            bytes = bytes.get(before..).unwrap_or_default();
            at = at.saturating_add(before as u64);
            if at > needed.start && !progress {
                return Err(ImageError::Gap { given: at, needed: needed.start });
            }
            if at != needed.start {
                return Ok(());
            }
            let taken = self.take(bytes)?;
            progress = true;
            bytes = bytes.get(taken..).unwrap_or_default();
            at = at.saturating_add(taken as u64);
        }
        Ok(())
    }

    /// Takes what belongs to the part being received, and says how many bytes that were.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, ImageError> {
        let Some(part) = self.plan.get(self.next).cloned() else { return Ok(bytes.len()) };
        let len = usize::try_from(part.range.end - part.range.start).unwrap_or(usize::MAX);
        let taken = bytes.len().min(len.saturating_sub(self.buffer.len()));
        self.buffer.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.buffer.len() == len {
            let fresh = self.spares.0.pop().unwrap_or_default();
            let whole = std::mem::replace(&mut self.buffer, fresh);
            self.next += 1;
            // What is not a block that came damaged cannot be mended by fetching it again.
            let rewound_to = self.next;
            self.complete(part.kind, whole).inspect_err(|_| {
                self.failed |= self.next == rewound_to;
            })?;
        }
        Ok(taken)
    }

    fn complete(&mut self, kind: Kind, bytes: Vec<u8>) -> Result<(), ImageError> {
        match kind {
            Kind::Header => self.header(bytes)?,
            Kind::Footer => self.footer(&bytes)?,
            Kind::Whole => {
                let len = Header::claimed_len(&bytes).and_then(|len| usize::try_from(len).ok());
                let Some((header, footer)) = len.and_then(|len| bytes.split_at_checked(len)) else {
                    return Err(ImageError::damaged("the header ends too early"));
                };
                self.header(header.to_vec())?;
                self.footer(footer)?;
            }
            Kind::Block(block) => {
                let hash = self.manifest.blocks.get(block).map_or(Hash::default(), |b| b.blake3);
                let header = self.header.as_ref().ok_or_else(header_first)?.header.clone();
                let spare = self.spares.1.pop().unwrap_or_default();
                let packed = Packed { block, hash, bytes, spare, header };
                if let Some(oldest) = self.unpackers.push(packed) {
                    self.add(oldest)?;
                }
            }
        }
        if self.next == self.plan.len() {
            while let Some(oldest) = self.unpackers.pop() {
                self.add(oldest)?;
            }
            self.check_seen()?;
        }
        Ok(())
    }

    fn header(&mut self, bytes: Vec<u8>) -> Result<(), ImageError> {
        let header = Header::scan(&bytes)?;
        let theirs = Identity {
            stream_id: header.head.stream_id,
            revision: header.head.revision,
            hash: header.head.hash,
            digest: header.digest,
            entries: header.entries,
        };
        if theirs != Identity::of(&self.manifest) {
            return Err(ImageError::damaged("the image is not the one its manifest announces"));
        }
        let subscription = self.subscription.as_ref();
        let wanted = |name: &Namespace| subscription.is_none_or(|s| s.contains(name.as_str()));
        self.header = Some(Known {
            wanted: header.namespaces.iter().map(wanted).collect(),
            content_types: vec![None; header.content_types.len()],
            actors: vec![None; header.actors.len()],
            header: Arc::new(header),
            bytes,
        });
        Ok(())
    }

    fn footer(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let known = self.header.as_ref().ok_or_else(header_first)?;
        let footer = Footer::scan(bytes, &known.header, &known.bytes, self.manifest.bytes)?;
        let listed = footer.blocks.iter().map(|block| block.listed(&known.header));
        if !listed.eq(self.manifest.blocks.iter().cloned()) {
            return Err(ImageError::damaged("the blocks are not those its manifest announces"));
        }
        if let Some(subscription) = &self.subscription
            && self.footer.is_none()
        {
            for block in footer.needed(subscription) {
                let range = footer.blocks.get(block).map_or(0..0, super::footer::Block::range);
                self.plan.push(Part { kind: Kind::Block(block), range });
            }
        }
        self.footer = Some(footer);
        Ok(())
    }

    /// Takes the records of the next block in.
    fn add(&mut self, unpacked: Unpacked) -> Result<(), ImageError> {
        let Unpacked { block, checksum, outcome, mut bytes } = unpacked;
        bytes.clear();
        self.spares.0.push(bytes);
        let survey = match outcome {
            Ok(survey) => survey,
            Err(Refused::Transfer(error)) => {
                self.rewind(block);
                return Err(error);
            }
            // Its hash was right, so it is the image that is wrong, not the transfer.
            Err(Refused::Image(error)) => {
                self.failed = true;
                return Err(error);
            }
        };
        let known = self.header.as_mut().ok_or_else(header_first)?;
        for run in &survey.runs {
            known.take(run, &survey, &mut self.builder).inspect_err(|_| self.failed = true)?;
        }
        let entries = survey.places.len();
        self.seen.push(Seen { block, bytes: survey.records.len(), entries, checksum });
        self.spares.1.push(survey.records);
        Ok(())
    }

    /// Wants the blocks from this one on again.
    fn rewind(&mut self, block: usize) {
        self.unpackers.clear();
        self.buffer.clear();
        let part = self.plan.iter().position(|part| part.kind == Kind::Block(block));
        self.next = part.unwrap_or(self.plan.len());
    }

    /// Compares what the footer says of the blocks with what they were.
    fn check_seen(&mut self) -> Result<(), ImageError> {
        let footer = self.footer.as_ref().ok_or_else(header_first)?;
        let same = self.seen.iter().all(|seen| {
            footer.blocks.get(seen.block).is_some_and(|block| {
                (block.bytes as usize, block.entries as usize, block.checksum)
                    == (seen.bytes, seen.entries, seen.checksum)
            })
        });
        if same {
            return Ok(());
        }
        self.failed = true;
        Err(ImageError::damaged("a block is not what the footer says of it"))
    }

    /// The state, in memory.
    ///
    /// # Errors
    /// [`ImageError::Damaged`] when bytes are still needed, [`ImageError::Totals`] when the entries are not those that
    /// the image counts.
    pub fn finish(self) -> Result<Mapped, ImageError> {
        if let Some(needed) = self.needs() {
            let detail = format!("it is incomplete, bytes from {} are missing", needed.start);
            return Err(ImageError::damaged(detail));
        }
        let (Some(known), Some(footer), false) = (self.header, self.footer, self.failed) else {
            return Err(ImageError::damaged("its bytes were refused"));
        };
        let totals = match &self.subscription {
            Some(subscription) => subscription.totals(&footer.totals),
            None => footer.totals,
        };
        let position = self.manifest.log_position;
        self.builder.finish(&known.header.head, &totals, position, self.subscription)
    }
}

/// What header and manifest must agree on.
#[derive(PartialEq, Eq)]
struct Identity {
    stream_id: StreamId,
    revision: u64,
    hash: Hash,
    digest: Digest,
    entries: u64,
}

impl Identity {
    fn of(manifest: &Manifest) -> Self {
        Self {
            stream_id: manifest.stream_id,
            revision: manifest.revision,
            hash: manifest.hash,
            digest: manifest.digest,
            entries: manifest.entries,
        }
    }
}

/// All parts in the order of the file; or of a subscription header and footer, which then tells the blocks.
fn first_plan(manifest: &Manifest, subscribed: bool) -> Vec<Part> {
    let end = |block: &ManifestBlock| block.offset.saturating_add(block.bytes);
    let (Some(first), Some(last)) = (manifest.blocks.first(), manifest.blocks.last()) else {
        return vec![Part { kind: Kind::Whole, range: 0..manifest.bytes }];
    };
    let header = Part { kind: Kind::Header, range: 0..first.offset };
    let footer = Part { kind: Kind::Footer, range: end(last)..manifest.bytes };
    if subscribed {
        return vec![header, footer];
    }
    let blocks = manifest.blocks.iter().enumerate();
    let blocks =
        blocks.map(|(at, block)| Part { kind: Kind::Block(at), range: block.offset..end(block) });
    std::iter::once(header).chain(blocks).chain([footer]).collect()
}

fn header_first() -> ImageError {
    ImageError::damaged("a block came before the header")
}

impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler")
            .field("image", &self.manifest.name)
            .field("needs", &self.needs())
            .finish_non_exhaustive()
    }
}
