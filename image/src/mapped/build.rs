//! Building the mapped form from entries in order.

use headwater_schemas::{EntryRef, Head, Namespace, Position, Totals};

use super::Mapped;
use super::index::{self, MAX_BYTES};
use super::layout::{HEADER_BYTES, Layout, STRIDE};
use super::lookup::Memory;
use super::tables::Tables;
use crate::buffer::Buffer;
use crate::record::{self, Record, Rows};
use crate::strings::Interner;
use crate::wire::{Place, Run, Survey};
use crate::{ImageError, Subscription, hash};

/// Takes entries, strictly ascending by (namespace, key), and makes a [`Mapped`] of them in memory.
///
/// ```
/// use headwater_image::MappedBuilder;
/// use headwater_schemas::{Head, Hash, Position, StreamId, Totals};
///
/// let head = Head { stream_id: StreamId([7; 16]), revision: 3, hash: Hash::of(b"record"), at_ms: 0 };
/// let image = MappedBuilder::default().finish(&head, &Totals::default(), Position(9), None)?;
/// assert_eq!(image.get("payments.prod", "db/pool"), None);
/// # Ok::<(), headwater_image::ImageError>(())
/// ```
#[derive(Debug)]
pub struct MappedBuilder {
    /// The form as it grows: room for the header, then the records.
    bytes: Buffer,
    /// [`index::Placed`], one after the other.
    keys: Buffer,
    entries: u64,
    /// One record on its way into `bytes`.
    scratch: Vec<u8>,
    sparse: Vec<u64>,
    namespaces: Vec<Counted>,
    content_types: Interner,
    actors: Interner,
    /// Where the last record begins.
    last: usize,
    max_revision: u64,
}

/// A namespace and what was taken in of it.
#[derive(Debug)]
struct Counted {
    name: Namespace,
    entries: u64,
    bytes: u64,
}

impl Default for MappedBuilder {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl MappedBuilder {
    /// A builder for about so many bytes, such as the image before it has ([`Mapped::size_bytes`]). A wrong guess
    /// costs a copy or some addresses, no more.
    pub fn with_room(bytes: u64) -> Self {
        Self {
            bytes: Buffer::guessed(bytes),
            keys: Buffer::default(),
            entries: 0,
            scratch: Vec::new(),
            sparse: Vec::new(),
            namespaces: Vec::new(),
            content_types: Interner::default(),
            actors: Interner::default(),
            last: HEADER_BYTES,
            max_revision: 0,
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`ImageError::Unsorted`] when it does not come after the one before, [`ImageError::TooLarge`],
    /// [`ImageError::Damaged`] when name or numbers cannot be those of an entry.
    pub fn push(
        &mut self,
        namespace: &str,
        key: &str,
        entry: EntryRef<'_>,
    ) -> Result<(), ImageError> {
        let content_type = self.content_types.row(entry.content_type)?;
        let actor = self.actors.row(entry.actor)?;
        self.append(namespace, key, &entry, content_type, actor)
    }

    /// The row of a content type, for [`Self::append_run`].
    pub(crate) fn content_type(&mut self, text: &str) -> Result<u32, ImageError> {
        self.content_types.row(text)
    }

    /// The row of an actor, for [`Self::append_run`].
    pub(crate) fn actor(&mut self, text: &str) -> Result<u32, ImageError> {
        self.actors.row(text)
    }

    fn append(
        &mut self,
        namespace: &str,
        key: &str,
        entry: &EntryRef<'_>,
        content_type: u32,
        actor: u32,
    ) -> Result<(), ImageError> {
        record::check(namespace, key, entry, i64::MAX.cast_unsigned())?;
        let row = self.row_of(namespace, key)?;
        let at = self.end()?;
        self.scratch.clear();
        record::encode(&mut self.scratch, Rows { namespace: row, content_type, actor }, key, entry);
        self.bytes.extend(&self.scratch)?;
        self.place(Place { hash: hash::of_key(namespace, key), at })?;
        self.count(1, entry.value.len() as u64, entry.mod_revision);
        Ok(())
    }

    /// Takes a run of a surveyed block as it lies. `rows` gives the rows here for those in the wire form.
    pub(crate) fn append_run(
        &mut self,
        namespace: &str,
        survey: &Survey,
        run: &Run,
        mut rows: impl FnMut(&mut Self, Rows) -> Result<Rows, ImageError>,
    ) -> Result<(), ImageError> {
        let records = survey.records.get(run.records.clone()).unwrap_or_default();
        let places = survey.places.get(run.places.clone()).unwrap_or_default();
        let first = Record::first_of(records).and_then(|first| first.key());
        let row = self.row_of(namespace, first.unwrap_or_default())?;
        let start = self.end()?;
        self.bytes.extend(records)?;
        for Place { hash, at } in places {
            let at = start + (at - run.records.start);
            let Some(record) = self.bytes.get(at..).and_then(Record::first_of) else { continue };
            let theirs = record.rows();
            let ours = Rows { namespace: row, ..rows(self, theirs)? };
            if ours != theirs {
                record::set_rows(self.bytes.get_mut(at..).unwrap_or_default(), ours);
            }
            self.place(Place { hash: *hash, at })?;
        }
        self.count(places.len() as u64, run.value_bytes, run.newest);
        Ok(())
    }

    /// Where the next record begins.
    fn end(&mut self) -> Result<usize, ImageError> {
        self.bytes.grow(HEADER_BYTES)?;
        let (actual, limit) = (self.bytes.len() as u64, MAX_BYTES);
        if actual < limit {
            return Ok(self.bytes.len());
        }
        Err(ImageError::TooLarge { what: "the image".into(), actual, limit })
    }

    /// Notes where a record begins.
    fn place(&mut self, Place { hash, at }: Place) -> Result<(), ImageError> {
        if self.entries.is_multiple_of(STRIDE) {
            self.sparse.push(at as u64);
        }
        self.keys.extend(&index::placed(hash, at as u64 / 8))?;
        self.entries += 1;
        self.last = at;
        Ok(())
    }

    fn count(&mut self, entries: u64, bytes: u64, newest: u64) {
        self.max_revision = self.max_revision.max(newest);
        if let Some(counted) = self.namespaces.last_mut() {
            counted.entries += entries;
            counted.bytes = counted.bytes.saturating_add(bytes);
        }
    }

    /// The row of the namespace of the next entry, which must come after the last one.
    fn row_of(&mut self, namespace: &str, key: &str) -> Result<u32, ImageError> {
        let unsorted = || ImageError::Unsorted { namespace: namespace.into(), key: key.into() };
        match self.namespaces.last() {
            Some(last) if last.name.as_str() == namespace => {
                let last = self.bytes.get(self.last..).and_then(Record::first_of);
                if last.is_some_and(|last| last.key >= key.as_bytes()) {
                    return Err(unsorted());
                }
            }
            Some(last) if last.name.as_str() > namespace => return Err(unsorted()),
            _ => {
                let name = Namespace::parse(namespace)
                    .map_err(|error| ImageError::damaged(error.to_string()))?;
                self.namespaces.push(Counted { name, entries: 0, bytes: 0 });
            }
        }
        // One row a namespace, of which none is without an entry of 56 bytes.
        Ok(u32::try_from(self.namespaces.len() - 1).unwrap_or(u32::MAX))
    }

    /// Ends it: the state at `head`, or of a `subscription` the part that it covers. `totals` are those of the
    /// namespaces held; `position` is where the record of the head stands in the log.
    ///
    /// # Errors
    /// [`ImageError::Totals`] when the entries taken in are not those that `totals` count.
    pub fn finish(
        mut self,
        head: &Head,
        totals: &Totals,
        position: Position,
        subscription: Option<Subscription>,
    ) -> Result<Mapped, ImageError> {
        self.check(head, totals, subscription.as_ref())?;
        let records = HEADER_BYTES..self.end()?;
        for place in &self.sparse {
            self.bytes.extend(&place.to_le_bytes())?;
        }
        let sparse = records.end..self.bytes.len();
        let slots = index::slots_for(self.keys.len() / size_of::<index::Placed>());
        self.bytes.grow(sparse.end + slots * 8)?;
        let index = sparse.end..self.bytes.len();
        index::fill(&mut self.bytes[index.clone()], &self.keys)?;
        let tables = Tables {
            occupied: self.namespaces.into_iter().map(|counted| counted.name).collect(),
            totals: totals.clone(),
            content_types: self.content_types.into_texts(),
            actors: self.actors.into_texts(),
            subscription,
        };
        self.bytes.extend(&tables.encode())?;
        let layout = Layout {
            head: *head,
            position,
            entries: self.entries,
            digest: totals.digest(),
            tables: index.end..self.bytes.len(),
            records,
            sparse,
            index,
        };
        self.bytes[..HEADER_BYTES].copy_from_slice(&layout.encode());
        Ok(Mapped::new(Memory::Owned(self.bytes), layout, tables))
    }

    fn check(
        &self,
        head: &Head,
        totals: &Totals,
        subscription: Option<&Subscription>,
    ) -> Result<(), ImageError> {
        let wrong = |detail| Err(ImageError::totals(detail));
        if self.max_revision > head.revision {
            let newest = self.max_revision;
            return wrong(format!("an entry of revision {newest} in a state of {}", head.revision));
        }
        let mut taken = self.namespaces.iter();
        for (name, part) in totals.namespaces() {
            if subscription.is_some_and(|subscription| !subscription.contains(name.as_str())) {
                return wrong(format!("{name} is counted, but not subscribed"));
            }
            if part.entries == 0 {
                continue;
            }
            let Some(counted) = taken.next().filter(|counted| counted.name == *name) else {
                return wrong(format!("no entry of {name} came, {} were counted", part.entries));
            };
            if (counted.entries, counted.bytes) != (part.entries, part.bytes) {
                return wrong(format!(
                    "{name}: {} entries with {} bytes came, {} with {} were counted",
                    counted.entries, counted.bytes, part.entries, part.bytes
                ));
            }
        }
        match taken.next() {
            Some(extra) => wrong(format!("entries of {} came that were not counted", extra.name)),
            None => Ok(()),
        }
    }
}
