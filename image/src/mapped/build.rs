//! Building the mapped form from entries in order.

use headwater_schemas::{EntryRef, Head, Namespace, Position, Totals};

use super::Mapped;
use super::index::{self, MAX_BYTES, Placed};
use super::layout::{HEADER_BYTES, Layout, STRIDE};
use super::lookup::Memory;
use super::tables::Tables;
use crate::record::{self, Rows};
use crate::strings::Interner;
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
    bytes: Vec<u8>,
    keys: Vec<Placed>,
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
        Self {
            bytes: vec![0; HEADER_BYTES],
            keys: Vec::new(),
            sparse: Vec::new(),
            namespaces: Vec::new(),
            content_types: Interner::default(),
            actors: Interner::default(),
            last: HEADER_BYTES,
            max_revision: 0,
        }
    }
}

impl MappedBuilder {
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

    /// The row of a content type, for [`Self::append`].
    pub(crate) fn content_type(&mut self, text: &str) -> Result<u32, ImageError> {
        self.content_types.row(text)
    }

    /// The row of an actor, for [`Self::append`].
    pub(crate) fn actor(&mut self, text: &str) -> Result<u32, ImageError> {
        self.actors.row(text)
    }

    /// Takes the next entry, whose shared texts have their rows already.
    pub(crate) fn append(
        &mut self,
        namespace: &str,
        key: &str,
        entry: &EntryRef<'_>,
        content_type: u32,
        actor: u32,
    ) -> Result<(), ImageError> {
        record::check(namespace, key, entry, i64::MAX.cast_unsigned())?;
        let row = self.row_of(namespace, key)?;
        let start = self.bytes.len();
        if start as u64 >= MAX_BYTES {
            let (actual, limit) = (start as u64, MAX_BYTES);
            return Err(ImageError::TooLarge { what: "the image".into(), actual, limit });
        }
        if (self.keys.len() as u64).is_multiple_of(STRIDE) {
            self.sparse.push(start as u64);
        }
        self.keys.push((hash::of_key(namespace, key), start as u64 / 8));
        record::encode(&mut self.bytes, Rows { namespace: row, content_type, actor }, key, entry);
        self.last = start;
        self.max_revision = self.max_revision.max(entry.mod_revision);
        if let Some(counted) = self.namespaces.last_mut() {
            counted.entries += 1;
            counted.bytes = counted.bytes.saturating_add(entry.value.len() as u64);
        }
        Ok(())
    }

    /// The row of the namespace of the next entry, which must come after the last one.
    fn row_of(&mut self, namespace: &str, key: &str) -> Result<u32, ImageError> {
        let unsorted = || ImageError::Unsorted { namespace: namespace.into(), key: key.into() };
        match self.namespaces.last() {
            Some(last) if last.name.as_str() == namespace => {
                let last = self.bytes.get(self.last..).and_then(record::Record::first_of);
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
        let records = HEADER_BYTES..self.bytes.len();
        for place in &self.sparse {
            self.bytes.extend_from_slice(&place.to_le_bytes());
        }
        let sparse = records.end..self.bytes.len();
        let slots = index::slots_for(self.keys.len());
        self.bytes.resize(sparse.end + slots * 8, 0);
        let index = sparse.end..self.bytes.len();
        index::fill(&mut self.bytes[index.clone()], &self.keys);
        let tables = Tables {
            occupied: self.namespaces.into_iter().map(|counted| counted.name).collect(),
            totals: totals.clone(),
            content_types: self.content_types.into_texts(),
            actors: self.actors.into_texts(),
            subscription,
        };
        self.bytes.extend_from_slice(&tables.encode());
        let layout = Layout {
            head: *head,
            position,
            entries: self.keys.len() as u64,
            digest: totals.digest(),
            tables: index.end..self.bytes.len(),
            records,
            sparse,
            index,
        };
        self.bytes[..HEADER_BYTES].copy_from_slice(&layout.encode());
        self.bytes.shrink_to_fit();
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
