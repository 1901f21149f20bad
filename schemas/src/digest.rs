//! State digests: order-independent sums of per-entry hashes, kept incrementally.

use std::fmt;

use imbl::OrdMap;

use crate::head::hex_traits;
use crate::{Effect, Entry, EntryRef, Namespace};

/// A sum (mod 2^256, little-endian) of per-entry BLAKE3 hashes. Zero is the digest of nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);
hex_traits!(Digest, 32);

impl Digest {
    fn limbs(self) -> [u64; 4] {
        std::array::from_fn(|i| {
            let mut limb = [0; 8];
            limb.copy_from_slice(&self.0[i * 8..i * 8 + 8]);
            u64::from_le_bytes(limb)
        })
    }

    fn from_limbs(limbs: [u64; 4]) -> Self {
        let mut out = [0; 32];
        for (chunk, limb) in out.chunks_exact_mut(8).zip(limbs) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        Self(out)
    }

    /// The sum of two digests.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = (self.limbs(), other.limbs());
        let mut carry = false;
        Self::from_limbs(std::array::from_fn(|i| {
            let (sum, over) = a[i].overflowing_add(b[i]);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            carry = over | again;
            sum
        }))
    }

    /// The difference of two digests.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let (a, b) = (self.limbs(), other.limbs());
        let mut borrow = false;
        Self::from_limbs(std::array::from_fn(|i| {
            let (rest, under) = a[i].overflowing_sub(b[i]);
            let (rest, again) = rest.overflowing_sub(u64::from(borrow));
            borrow = under | again;
            rest
        }))
    }
}

/// The hash of one entry: BLAKE3 over namespace, key, content type, actor and value, each behind its length
/// (u64, little-endian), then version, create_revision, mod_revision and updated_at_ms (8 bytes each, little-endian).
pub fn entry_digest(namespace: &str, key: &str, entry: EntryRef<'_>) -> Digest {
    let parts = [
        namespace.as_bytes(),
        key.as_bytes(),
        entry.content_type.as_bytes(),
        entry.actor.as_bytes(),
        entry.value,
    ];
    let numbers = [
        entry.version,
        entry.create_revision,
        entry.mod_revision,
        entry.updated_at_ms.cast_unsigned(),
    ];
    let length = parts.iter().map(|part| part.len() + NUMBER_BYTES).sum::<usize>()
        + numbers.len() * NUMBER_BYTES;
    if length > AT_ONCE_BYTES {
        let mut hasher = blake3::Hasher::new();
        pieces(&parts, &numbers, |piece| {
            hasher.update(piece);
        });
        return Digest(*hasher.finalize().as_bytes());
    }
    let mut whole = Vec::with_capacity(length);
    pieces(&parts, &numbers, |piece| whole.extend_from_slice(piece));
    Digest(*blake3::hash(&whole).as_bytes())
}

/// An entry of at most so many bytes (a chunk of BLAKE3) is hashed at once: for its dozen of small pieces a hasher would
/// cost as much as the hash.
const AT_ONCE_BYTES: usize = 1024;
const NUMBER_BYTES: usize = 8;

/// What an entry's digest is taken of.
fn pieces(parts: &[&[u8]], numbers: &[u64], mut give: impl FnMut(&[u8])) {
    for part in parts {
        give(&(part.len() as u64).to_le_bytes());
        give(part);
    }
    for number in numbers {
        give(&number.to_le_bytes());
    }
}

/// What one namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamespaceTotals {
    /// How many entries.
    pub entries: u64,
    /// How many bytes their values have together.
    pub bytes: u64,
    /// The last revision that changed anything in it.
    pub mod_revision: u64,
    /// The sum of its entries' hashes.
    pub digest: Digest,
}

/// What a state holds, by namespace and in sum. A namespace whose last key was deleted stays, with no
/// entries, so that its `mod_revision` is not forgotten. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    namespaces: OrdMap<Namespace, NamespaceTotals>,
    entries: u64,
    bytes: u64,
    digest: Digest,
}

impl Totals {
    /// Rebuilds totals from their namespaces, as an image's footer lists them.
    pub fn from_namespaces(
        namespaces: impl IntoIterator<Item = (Namespace, NamespaceTotals)>,
    ) -> Self {
        let mut totals = Self::default();
        for (namespace, part) in namespaces {
            totals.entries = totals.entries.saturating_add(part.entries);
            totals.bytes = totals.bytes.saturating_add(part.bytes);
            totals.digest = totals.digest.plus(part.digest);
            totals.namespaces.insert(namespace, part);
        }
        totals
    }

    /// Every namespace ever written, in order of name.
    pub fn namespaces(&self) -> impl DoubleEndedIterator<Item = (&Namespace, &NamespaceTotals)> {
        self.namespaces.iter()
    }

    /// What `namespace` holds; zeros for one that nobody wrote to.
    pub fn of(&self, namespace: &str) -> NamespaceTotals {
        self.namespaces.get(namespace).copied().unwrap_or_default()
    }

    /// How many entries the state has.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many bytes all values have together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The state digest: the sum over all namespaces.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of the namespaces that `subscribed` names.
    pub fn digest_of<'a>(&self, subscribed: impl IntoIterator<Item = &'a str>) -> Digest {
        subscribed.into_iter().fold(Digest::default(), |sum, name| sum.plus(self.of(name).digest))
    }

    /// Takes in what a commit did to one key; `gone` is the digest of the entry before, zero when there was none.
    pub(crate) fn apply(&mut self, effect: &Effect, gone: Digest, revision: u64) {
        let size = |entry: &Entry| entry.value.len() as u64;
        let gone_bytes = effect.before.as_ref().map_or(0, size);
        let bytes = effect.after.as_ref().map_or(0, size);
        let (were, are) = (u64::from(effect.before.is_some()), u64::from(effect.after.is_some()));
        let mut part = self.of(effect.namespace.as_str());
        part.mod_revision = revision;
        for (entries, sum, digest) in [
            (&mut part.entries, &mut part.bytes, &mut part.digest),
            (&mut self.entries, &mut self.bytes, &mut self.digest),
        ] {
            *entries = entries.saturating_sub(were).saturating_add(are);
            *sum = sum.saturating_sub(gone_bytes).saturating_add(bytes);
            *digest = digest.minus(gone).plus(effect.digest);
        }
        self.namespaces.insert(effect.namespace.clone(), part);
    }
}
