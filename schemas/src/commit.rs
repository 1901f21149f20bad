//! What a record says: commits, changes, entries, and the genesis that founds a stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Digest, Hash, Key, Namespace, StreamId};

/// The system namespace that holds the log's own Avro schemas, keyed by fingerprint.
pub const SCHEMAS_NAMESPACE: &str = "_schemas";

/// The most changes, expects or attributes one commit may hold. A reader stops at a commit with more, so that no
/// record can make it allocate far more than its own bytes: a writer must refuse it first.
pub const MAX_ITEMS: usize = 8192;

/// The identity of a write through all its tries (UUIDv7).
pub type CommitId = uuid::Uuid;

/// One atomic change set: one record of the log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Commit {
    /// The stream it belongs to.
    pub stream_id: StreamId,
    /// The format; see [`crate::MUST_UNDERSTAND`].
    #[serde(with = "int")]
    pub format: u32,
    /// Its dense number: 1, 2, 3 …; 0 is genesis.
    #[serde(with = "long")]
    pub revision: u64,
    /// The hash of the record before it.
    pub parent: Hash,
    /// The identity of the write, the same through all its tries.
    pub commit_id: CommitId,
    /// When it was made, milliseconds since the Unix epoch; never before its parent's.
    #[serde(rename = "at")]
    pub at_ms: i64,
    /// Who made it.
    pub actor: Arc<str>,
    /// Why it was made.
    #[serde(default)]
    pub reason: Option<String>,
    /// What makes a retry of the request find this commit.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
    /// Preconditions its writer checked at the commit before.
    #[serde(default, deserialize_with = "bounded::list")]
    pub expects: Vec<Expect>,
    /// The changes; none for a barrier of the system's own.
    #[serde(default, deserialize_with = "bounded::list")]
    pub changes: Vec<Change>,
    /// The digest of the state it leads to.
    pub digest: Digest,
    /// Free text by name: `traceparent`, `tool`, `ticket` ….
    #[serde(default, deserialize_with = "bounded::map")]
    pub attributes: BTreeMap<String, String>,
}

impl Commit {
    /// The part of it that concerns some namespaces: their changes only, without preconditions and idempotency,
    /// and with `digest`, the digest of those namespaces after it. What a filtered reader folds.
    #[must_use]
    pub fn filtered(&self, digest: Digest, subscribed: impl Fn(&Namespace) -> bool) -> Self {
        let changes =
            self.changes.iter().filter(|change| subscribed(change.namespace())).cloned().collect();
        Self {
            stream_id: self.stream_id,
            format: self.format,
            revision: self.revision,
            parent: self.parent,
            commit_id: self.commit_id,
            at_ms: self.at_ms,
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            idempotency: None,
            expects: Vec::new(),
            changes,
            digest,
            attributes: self.attributes.clone(),
        }
    }

    /// Whether this is a barrier: a commit without changes, the system's own.
    pub fn is_barrier(&self) -> bool {
        self.changes.is_empty()
    }
}

/// What identifies a request that carried an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// Which call it was (`put`, `delete`, `commit` …), so that status and body can be rebuilt.
    pub kind: String,
    /// BLAKE3 of the request (method, path, query, body, content type, conditions).
    pub request: Hash,
}

/// A precondition that held at the commit before.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Expect {
    /// The namespace of the key.
    pub namespace: Namespace,
    /// The key it guards.
    pub key: Key,
    /// The revision that last changed the key; 0 = the key must be absent.
    #[serde(with = "long")]
    pub mod_revision: u64,
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Change {
    /// Sets a value.
    Put {
        /// The namespace of the key.
        namespace: Namespace,
        /// The key.
        key: Key,
        /// The media type of the value.
        content_type: Arc<str>,
        /// The bytes, kept exactly.
        value: Bytes,
        /// 1 when the key is new, else one more than before.
        #[serde(with = "long")]
        version: u64,
    },
    /// Removes a key.
    Delete {
        /// The namespace of the key.
        namespace: Namespace,
        /// The key.
        key: Key,
    },
}

impl Change {
    /// Whether it is of a key that begins with `prefix`, in `namespace` if one is given.
    pub fn is_under(&self, namespace: Option<&str>, prefix: &str) -> bool {
        namespace.is_none_or(|wanted| self.namespace().as_str() == wanted)
            && self.key().as_str().starts_with(prefix)
    }

    /// The namespace of the changed key.
    pub fn namespace(&self) -> &Namespace {
        match self {
            Self::Put { namespace, .. } | Self::Delete { namespace, .. } => namespace,
        }
    }

    /// The changed key.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

/// The current value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The media type of the value.
    pub content_type: Arc<str>,
    /// The bytes, kept exactly.
    pub value: Bytes,
    /// 1, 2, 3 … since the key was created.
    pub version: u64,
    /// The revision that created the key.
    pub create_revision: u64,
    /// The revision that last changed it.
    pub mod_revision: u64,
    /// The time of that commit, milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
    /// Who made that commit.
    pub actor: Arc<str>,
}

impl Entry {
    /// The entry, borrowed.
    #[inline]
    pub fn as_ref(&self) -> EntryRef<'_> {
        EntryRef {
            content_type: &self.content_type,
            value: &self.value,
            version: self.version,
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            updated_at_ms: self.updated_at_ms,
            actor: &self.actor,
        }
    }
}

/// An [`Entry`] borrowed from wherever it lies: a map in memory or a mapped file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The media type of the value.
    pub content_type: &'a str,
    /// The bytes, kept exactly.
    pub value: &'a [u8],
    /// 1, 2, 3 … since the key was created.
    pub version: u64,
    /// The revision that created the key.
    pub create_revision: u64,
    /// The revision that last changed it.
    pub mod_revision: u64,
    /// The time of that commit, milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
    /// Who made that commit.
    pub actor: &'a str,
}

impl EntryRef<'_> {
    /// A copy that owns its bytes.
    pub fn to_entry(&self) -> Entry {
        Entry {
            content_type: self.content_type.into(),
            value: Bytes::copy_from_slice(self.value),
            version: self.version,
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            updated_at_ms: self.updated_at_ms,
            actor: self.actor.into(),
        }
    }
}

/// The record that founds a stream: revision 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The identity it gives the stream.
    pub stream_id: StreamId,
    /// The format.
    pub format: u32,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// The Avro schema (JSON text) of the first commits.
    pub schema: String,
    /// On Kafka, the id of the cluster it was written to.
    pub cluster_id: Option<String>,
    /// The state of another stream that it was founded from, and how many commits behind it carry that state: it is
    /// whole at that revision.
    pub supersedes: Option<(crate::Point, u64)>,
}

/// Unsigned numbers as Avro's signed `int` and `long`: one out of range is refused, never wrapped.
macro_rules! signed {
    ($module:ident, $unsigned:ty, $signed:ty) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            pub(super) fn serialize<S: Serializer>(
                value: &$unsigned,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                <$signed>::try_from(*value).map_err(serde::ser::Error::custom)?.serialize(to)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<$unsigned, D::Error> {
                <$unsigned>::try_from(<$signed>::deserialize(from)?)
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}
signed!(int, u32, i32);
signed!(long, u64, i64);

/// Lists and maps that end at [`MAX_ITEMS`].
mod bounded {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

    use super::MAX_ITEMS;

    pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        from: D,
    ) -> Result<Vec<T>, D::Error> {
        from.deserialize_seq(List(PhantomData))
    }

    pub(super) fn map<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        from.deserialize_map(Map)
    }

    fn too_many<E: Error>() -> E {
        E::custom(format_args!("more than {MAX_ITEMS} items"))
    }

    struct List<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX_ITEMS}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            // The count a record claims is not worth an allocation: it may be anything.
            let claimed = items.size_hint().unwrap_or_default();
            let mut list = Vec::with_capacity(claimed.min(16));
            while let Some(item) = items.next_element()? {
                if list.len() == MAX_ITEMS {
                    return Err(too_many());
                }
                list.push(item);
            }
            Ok(list)
        }
    }

    struct Map;

    impl<'de> Visitor<'de> for Map {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a map of at most {MAX_ITEMS}")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = items.next_entry()? {
                if map.len() == MAX_ITEMS {
                    return Err(too_many());
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }
}
