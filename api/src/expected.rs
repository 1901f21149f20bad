//! What preconditions expect, and which do not hold.

use headwater_schemas::{Key, Namespace};

/// What a failed precondition expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "ExpectedWire", into = "ExpectedWire")]
#[cfg_attr(feature = "openapi", schema(as = Expected))]
pub enum Expected {
    /// The key was last changed by this revision; 0 = absent.
    Revision(u64),
    /// The key is absent.
    Absent,
    /// The key is there.
    Exists,
    /// The key was not changed after this revision.
    BaseRevision(u64),
}

impl Expected {
    /// Whether it holds for a key that was last changed by `current` (0 = absent). For a base revision a
    /// deletion counts as a change, so the caller says when the key was last changed or deleted.
    pub fn holds(self, current: u64) -> bool {
        match self {
            Self::Revision(revision) => current == revision,
            Self::Absent => current == 0,
            Self::Exists => current != 0,
            Self::BaseRevision(base) => current <= base,
        }
    }
}

/// [`Expected`] as it stands on the wire: exactly one of the fields.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", schema(as = Expected))]
struct ExpectedWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_revision: Option<u64>,
}

impl From<Expected> for ExpectedWire {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Revision(revision) => Self { revision: Some(revision), ..Self::default() },
            Expected::Absent => Self { absent: Some(true), ..Self::default() },
            Expected::Exists => Self { exists: Some(true), ..Self::default() },
            Expected::BaseRevision(base) => Self { base_revision: Some(base), ..Self::default() },
        }
    }
}

impl TryFrom<ExpectedWire> for Expected {
    type Error = &'static str;

    fn try_from(wire: ExpectedWire) -> Result<Self, Self::Error> {
        match (wire.revision, wire.absent, wire.exists, wire.base_revision) {
            (Some(revision), None, None, None) => Ok(Self::Revision(revision)),
            (None, Some(true), None, None) => Ok(Self::Absent),
            (None, None, Some(true), None) => Ok(Self::Exists),
            (None, None, None, Some(base)) => Ok(Self::BaseRevision(base)),
            _ => Err("give exactly one of revision, absent: true, exists: true"),
        }
    }
}

/// One precondition of a change set that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// The index in `changes`; null for one of `expects`.
    pub index: Option<usize>,
    /// The namespace of the key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub namespace: Namespace,
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: Key,
    /// What was expected.
    #[cfg_attr(feature = "openapi", schema(value_type = ExpectedWire))]
    pub expected: Expected,
    /// What is: the revision that last changed the key; 0 = absent.
    pub current_revision: u64,
}
