//! Bodies of `/v1/diff`: what two states differ in.

use headwater_schemas::Key;
use serde::{Deserialize, Serialize};

use crate::{ChangeKind, EntryBody};

/// A key whose entries in two states differ.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DifferenceBody {
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// What became of it from the one state to the other.
    pub kind: ChangeKind,
    /// The entry in the state at `from`; null when it was absent.
    pub old: Option<EntryBody>,
    /// The entry in the state at `to`; null when it was absent.
    pub new: Option<EntryBody>,
}

impl DifferenceBody {
    /// A key, absent in one of the two states at most.
    pub fn new(key: Key, old: Option<EntryBody>, new: Option<EntryBody>) -> Self {
        let kind = match (&old, &new) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        Self { key, kind, old, new }
    }
}

/// A page of what two states differ in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiffBody {
    /// The revision of the old state.
    pub from: u64,
    /// The revision of the new state.
    pub to: u64,
    /// In byte order of keys. An entry that was put again with the same bytes differs by its version.
    pub changes: Vec<DifferenceBody>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}
