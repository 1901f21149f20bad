//! Bodies of answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_schemas::{
    Change, Commit, CommitId, Digest, EntryRef, Hash, Head, Key, Namespace, NamespaceTotals,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::value::{Value, ValueError, present};
use crate::{Failure, Time};

/// An entry: the current value of a key, or an older one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EntryBody {
    /// The namespace of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// The media type of the value.
    pub content_type: String,
    /// JSON, or a string for UTF-8 `text/*`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub value: Option<Box<RawValue>>,
    /// The bytes of every other value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// The size of the value, in bytes.
    pub size: u64,
    /// 1, 2, 3 … since the key was created.
    pub version: u64,
    /// The revision that created the key.
    pub create_revision: u64,
    /// The revision that last changed it.
    pub mod_revision: u64,
    /// The time of that commit.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub updated_at: Time,
    /// Who made that commit.
    pub actor: String,
}

impl EntryBody {
    /// An entry with its value.
    pub fn new(namespace: &Namespace, key: &Key, entry: EntryRef<'_>) -> Self {
        let Value { value, value_base64 } = Value::show(entry.content_type, entry.value);
        Self { value, value_base64, ..Self::without_value(namespace, key, entry) }
    }

    /// An entry without its value, for `keys_only`.
    pub fn without_value(namespace: &Namespace, key: &Key, entry: EntryRef<'_>) -> Self {
        Self {
            namespace: namespace.clone(),
            key: key.clone(),
            content_type: entry.content_type.to_owned(),
            value: None,
            value_base64: None,
            size: entry.value.len() as u64,
            version: entry.version,
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            updated_at: Time(entry.updated_at_ms),
            actor: entry.actor.to_owned(),
        }
    }

    /// The bytes of the value; JSON comes back without white space around it.
    ///
    /// # Errors
    /// [`ValueError`] when the answer has no value of its type.
    pub fn bytes(&self) -> Result<Bytes, ValueError> {
        Value { value: self.value.clone(), value_base64: self.value_base64.clone() }
            .bytes(&self.content_type)
    }
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Set a value.
    Put,
    /// Removed a key.
    Delete,
}

/// One change of a commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeBody {
    /// What it did.
    pub op: Op,
    /// The namespace of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// The media type of a value that was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// JSON, or a string for UTF-8 `text/*`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<serde_json::Value>))]
    pub value: Option<Box<RawValue>>,
    /// The bytes of every other value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// The version a put gave the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The entry before, null where the key was absent; only in a watch that asked for `values=both`.
    #[serde(default, deserialize_with = "told", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<EntryBody>))]
    pub old: Option<Option<Box<EntryBody>>>,
}

impl From<&Change> for ChangeBody {
    fn from(change: &Change) -> Self {
        let bare = Self::without_value(change);
        match change {
            Change::Delete { .. } => bare,
            Change::Put { content_type, value, .. } => {
                let Value { value, value_base64 } = Value::show(content_type, value);
                Self { value, value_base64, ..bare }
            }
        }
    }
}

impl ChangeBody {
    /// A change without its value, for `values=none`.
    pub fn without_value(change: &Change) -> Self {
        let (op, content_type, version) = match change {
            Change::Delete { .. } => (Op::Delete, None, None),
            Change::Put { content_type, version, .. } => {
                (Op::Put, Some(content_type.to_string()), Some(*version))
            }
        };
        let (namespace, key) = (change.namespace().clone(), change.key().clone());
        let (value, value_base64, old) = (None, None, None);
        Self { op, namespace, key, content_type, value, value_base64, version, old }
    }
}

/// A field that may be `null` and yet is there: there was no entry before.
fn told<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<Box<EntryBody>>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommitBody {
    /// Its number.
    pub revision: u64,
    /// BLAKE3 of its record.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// The hash of the record before it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub parent: Hash,
    /// The identity of the write.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub commit_id: CommitId,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub at: Time,
    /// Who made it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Free text by name.
    pub attributes: BTreeMap<String, String>,
    /// What it did; nothing for a barrier of the system's own.
    pub changes: Vec<ChangeBody>,
}

impl CommitBody {
    /// A commit, whose record hashes to `hash`.
    pub fn new(commit: &Commit, hash: Hash) -> Self {
        let changes = commit.changes.iter().map(ChangeBody::from).collect();
        Self { changes, ..Self::without_changes(commit, hash) }
    }

    /// What stands around the changes of a commit.
    pub fn without_changes(commit: &Commit, hash: Hash) -> Self {
        Self {
            revision: commit.revision,
            hash,
            parent: commit.parent,
            commit_id: commit.commit_id,
            at: Time(commit.at_ms),
            actor: commit.actor.to_string(),
            reason: commit.reason.clone(),
            attributes: commit.attributes.clone(),
            changes: Vec::new(),
        }
    }
}

/// One change of a [`ReceiptBody`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptChange {
    /// The namespace of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// What was done.
    pub op: Op,
    /// The version a put gave the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What a write is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptBody {
    /// The revision of the commit.
    pub revision: u64,
    /// BLAKE3 of its record.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// The identity of the write; null when there was nothing to commit.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub commit_id: Option<CommitId>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub at: Time,
    /// What was done.
    pub changes: Vec<ReceiptChange>,
    /// The version a single put gave its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl ReceiptBody {
    /// The receipt of a commit, whose record hashes to `hash`.
    pub fn new(commit: &Commit, hash: Hash) -> Self {
        let change = |change: &Change| ReceiptChange {
            namespace: change.namespace().clone(),
            key: change.key().clone(),
            op: if matches!(change, Change::Put { .. }) { Op::Put } else { Op::Delete },
            version: match change {
                Change::Put { version, .. } => Some(*version),
                Change::Delete { .. } => None,
            },
        };
        Self {
            revision: commit.revision,
            hash,
            commit_id: Some(commit.commit_id),
            at: Time(commit.at_ms),
            changes: commit.changes.iter().map(change).collect(),
            version: None,
        }
    }

    /// The receipt of a write that had nothing to change: of the head, and without a commit.
    pub fn unchanged(head: &Head) -> Self {
        Self {
            revision: head.revision,
            hash: head.hash,
            commit_id: None,
            at: Time(head.at_ms),
            changes: Vec::new(),
            version: None,
        }
    }

    /// The receipt of `PUT`: with the version at the top.
    pub fn of_put(commit: &Commit, hash: Hash) -> Self {
        let receipt = Self::new(commit, hash);
        Self { version: receipt.changes.first().and_then(|change| change.version), ..receipt }
    }
}

/// A page of a namespace's entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListBody {
    /// The namespace.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The revision all pages show.
    pub revision: u64,
    /// The chain hash there.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// In byte order of keys.
    pub entries: Vec<EntryBody>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// What one namespace holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamespaceBody {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: Namespace,
    /// How many entries.
    pub entries: u64,
    /// How many bytes their values have together.
    pub bytes: u64,
    /// The last revision that changed anything in it.
    pub mod_revision: u64,
    /// The digest of its entries.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
}

impl NamespaceBody {
    /// A namespace with its totals.
    pub fn new(name: &Namespace, totals: &NamespaceTotals) -> Self {
        let NamespaceTotals { entries, bytes, mod_revision, digest } = *totals;
        Self { name: name.clone(), entries, bytes, mod_revision, digest }
    }
}

/// A page of namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NamespacesBody {
    /// The revision all pages show.
    pub revision: u64,
    /// In byte order of names.
    pub namespaces: Vec<NamespaceBody>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// A page of commits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommitsBody {
    /// Whole commits.
    pub commits: Vec<CommitBody>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

/// How a key would change or did change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was absent.
    Added,
    /// It has another value.
    Changed,
    /// It is gone.
    Removed,
}

/// One change of a dry run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewBody {
    /// The namespace of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// What would become of it.
    pub kind: ChangeKind,
    /// The entry now. Behind 16 MiB of values in all, entries are shown without theirs.
    pub old: Option<EntryBody>,
    /// The entry as it would be.
    pub new: Option<EntryBody>,
}

/// What a dry run is answered with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DryRunBody {
    /// Whether the commit would be accepted.
    pub would_succeed: bool,
    /// The revision it was evaluated at.
    pub revision: u64,
    /// What would change.
    pub changes: Vec<PreviewBody>,
    /// Every precondition that does not hold.
    pub failures: Vec<Failure>,
}
