//! The plain model that images are compared with, and states to compare.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use headwater_image::{
    Assembler, ImageError, Manifest, Mapped, MappedBuilder, Subscription, WireImage,
};
use headwater_schemas::{
    Entry, Hash, Head, Key, Namespace, NamespaceTotals, Position, StreamId, Totals, entry_digest,
};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) const POSITION: Position = Position(1_234);
pub(crate) const CUT_AT_MS: i64 = 1_763_800_530_123;

/// A state as an ordered map.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) head: Head,
    pub(crate) entries: BTreeMap<(Namespace, Key), Entry>,
    pub(crate) totals: Totals,
}

impl Model {
    pub(crate) fn new(entries: impl IntoIterator<Item = ((Namespace, Key), Entry)>) -> Self {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let revision = 1_000_000;
        let head = Head {
            stream_id: StreamId([7; 16]),
            revision,
            hash: Hash::of(b"the last record"),
            at_ms: 1_763_800_000_000,
        };
        let totals = totals_of(&entries, revision);
        Self { head, entries, totals }
    }

    /// The part that a subscription covers.
    pub(crate) fn part(&self, subscription: &Subscription) -> Self {
        let held = |((namespace, _), _): &(&(Namespace, Key), &Entry)| {
            subscription.contains(namespace.as_str())
        };
        let held = self.entries.iter().filter(held).map(|(at, entry)| (at.clone(), entry.clone()));
        Self { entries: held.collect(), totals: subscription.totals(&self.totals), ..self.clone() }
    }

    pub(crate) fn write(&self, dir: &Path) -> Manifest {
        self.try_write(dir).unwrap()
    }

    pub(crate) fn try_write(&self, dir: &Path) -> Result<Manifest, ImageError> {
        WireImage::write(dir, &self.head, &self.totals, POSITION, CUT_AT_MS, |visit| {
            self.entries.iter().try_for_each(|((namespace, key), entry)| {
                visit(namespace.as_str(), key.as_str(), entry.as_ref())
            })
        })
    }

    pub(crate) fn mapped(&self, subscription: Option<Subscription>) -> Mapped {
        let mut builder = MappedBuilder::default();
        for ((namespace, key), entry) in &self.entries {
            builder.push(namespace.as_str(), key.as_str(), entry.as_ref()).unwrap();
        }
        builder.finish(&self.head, &self.totals, POSITION, subscription).unwrap()
    }

    /// Everything that can be asked of a mapped image answers as this model does.
    pub(crate) fn assert_same(&self, image: &Mapped) {
        assert_eq!(image.head(), &self.head);
        assert_eq!(image.totals(), &self.totals);
        assert_eq!(image.log_position(), POSITION);
        assert_eq!(image.len(), self.entries.len() as u64);
        let all = image.iter().map(|(namespace, key, entry)| (namespace, key, entry.to_entry()));
        let expected = self.entries.iter().map(|((n, k), e)| (n.as_str(), k.as_str(), e.clone()));
        assert!(all.eq(expected));
        for ((namespace, key), entry) in &self.entries {
            let (namespace, key) = (namespace.as_str(), key.as_str());
            assert_eq!(image.get(namespace, key), Some(entry.as_ref()));
            let longer = format!("{key}/more");
            for (namespace, key) in [(namespace, longer.as_str()), ("nobody", key)] {
                assert_eq!(image.get(namespace, key), self.get(namespace, key));
            }
        }
        image.verify().unwrap();
        image.verify_digests().unwrap();
    }

    pub(crate) fn get(
        &self,
        namespace: &str,
        key: &str,
    ) -> Option<headwater_schemas::EntryRef<'_>> {
        let at = (namespace.parse().ok()?, key.parse().ok()?);
        self.entries.get(&at).map(Entry::as_ref)
    }

    /// One prefix, after one key, is what the model has.
    pub(crate) fn assert_prefix(
        &self,
        image: &Mapped,
        namespace: &str,
        prefix: &str,
        after: Option<&str>,
    ) {
        let expected: Vec<_> = self
            .entries
            .iter()
            .map(|((n, k), e)| (n.as_str(), k.as_str(), e))
            .filter(|(n, k, _)| *n == namespace && k.starts_with(prefix))
            .filter(|(_, k, _)| after.is_none_or(|after| *k > after))
            .map(|(_, k, e)| (k, e.as_ref()))
            .collect();
        let found: Vec<_> = image.prefix(namespace, prefix, after).collect();
        assert_eq!(found, expected, "{namespace} {prefix:?} after {after:?}");
    }
}

/// Totals of entries, and of a namespace whose last key was deleted.
fn totals_of(entries: &BTreeMap<(Namespace, Key), Entry>, revision: u64) -> Totals {
    let gone = NamespaceTotals { mod_revision: revision, ..Default::default() };
    let mut parts = BTreeMap::from([("gone".parse::<Namespace>().unwrap(), gone)]);
    for ((namespace, key), entry) in entries {
        let part = parts.entry(namespace.clone()).or_default();
        part.entries += 1;
        part.bytes += entry.value.len() as u64;
        part.mod_revision = part.mod_revision.max(entry.mod_revision);
        let digest = entry_digest(namespace.as_str(), key.as_str(), entry.as_ref());
        part.digest = part.digest.plus(digest);
    }
    Totals::from_namespaces(parts)
}

/// Feeds a whole file in pieces of these sizes, over and over.
pub(crate) fn assemble(
    manifest: &Manifest,
    subscription: Option<Subscription>,
    file: &[u8],
    sizes: &[usize],
) -> Result<Mapped, ImageError> {
    let mut assembler = Assembler::new(manifest.clone(), subscription)?;
    let mut sizes = sizes.iter().cycle();
    while let Some(needed) = assembler.needs() {
        let start = usize::try_from(needed.start).unwrap();
        let end = start.saturating_add(*sizes.next().unwrap()).min(file.len());
        if start >= end {
            break;
        }
        assembler.feed(needed.start, &file[start..end])?;
    }
    assembler.finish()
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(mut seed: u64, len: usize) -> Bytes {
    let next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub(crate) fn entry(value: Bytes, version: u64, mod_revision: u64) -> Entry {
    Entry {
        content_type: ["application/json", "text/plain", "application/octet-stream"]
            [(mod_revision % 3) as usize]
            .into(),
        value,
        version,
        create_revision: mod_revision - mod_revision / 2,
        mod_revision,
        updated_at_ms: 1_700_000_000_000 + mod_revision.cast_signed(),
        actor: format!("actor-{}", mod_revision % 7).into(),
    }
}

/// About 7 MiB in several blocks: a big namespace, some small ones that share blocks, one that begins a block of
/// its own, and a record larger than a block.
pub(crate) fn several_blocks() -> Model {
    let mut entries = Vec::new();
    let mut add = |namespace: &str, key: String, len: usize| {
        let revision = entries.len() as u64 + 1;
        let at = (namespace.parse().unwrap(), key.parse().unwrap());
        entries.push((at, entry(noise(revision, len), revision, revision)));
    };
    (0..3).for_each(|n| add("_schemas", format!("fingerprint-{n}"), 3_000));
    (0..900).for_each(|n| add("big", format!("item/{n:05}"), 3_000));
    (0..5).for_each(|n| add("huge", format!("item/{n}"), if n == 2 { 1_500_000 } else { 10 }));
    for small in 0..40 {
        (0..10).for_each(|n| add(&format!("small.n{small:02}"), format!("k{n}"), 500));
    }
    (0..500).for_each(|n| add("tail", format!("item/{n:05}"), 2_500));
    Model::new(entries)
}

/// A dozen entries of every kind.
pub(crate) fn few() -> Model {
    let mut entries = Vec::new();
    let mut add = |namespace: &str, key: &str, value: &'static str| {
        let revision = entries.len() as u64;
        let at = (namespace.parse().unwrap(), key.parse().unwrap());
        entries.push((at, entry(Bytes::from_static(value.as_bytes()), revision + 1, revision)));
    };
    add("_schemas", "c3a1", "{\"type\":\"record\"}");
    add("global", "a", "");
    add("global", "limits/requests", "100");
    add("payments.prod", "db/pool", "{\"max_connections\": 50}");
    add("payments.prod", "db/pool/size", "7");
    add("payments.prod", "ключ/größe", "🚰");
    add("payments.prod2", "db/pool", "{\"max_connections\": 51}");
    Model::new(entries)
}

/// Any state. Few names in many combinations, so that prefixes meet; some values large enough for several blocks.
pub(crate) fn any_model() -> impl Strategy<Value = Model> {
    let namespace = prop_oneof![
        Just("_schemas".to_string()),
        "[a-c](\\.[a-c])?",
        "[a-z0-9][a-z0-9_-]{0,20}(\\.[a-z0-9]{1,9}){0,2}"
    ];
    let key = prop_oneof![4 => "[ab]{1,2}(/[ab]{1,2}){0,2}", 1 => "[^/\\p{C}.]{1,40}(/[^/\\p{C}.]{1,40})?"];
    let len = prop_oneof![8 => 0usize..200, 1 => 0usize..300_000];
    let value = (any::<u64>(), len).prop_map(|(seed, len)| noise(seed, len));
    let numbers = (1u64..1_000_000, 1u64..=1_000_000);
    let row =
        (namespace, key, value, numbers).prop_map(|(namespace, key, value, (version, at))| {
            ((namespace.parse().unwrap(), key.parse().unwrap()), entry(value, version, at))
        });
    vec(row, 0..60).prop_map(Model::new)
}
