//! Bodies of `/v1/history`: the versions of a key.

use headwater_schemas::CommitId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::value::{Value, ValueError, present};
use crate::{Op, Time};

/// What one commit made of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionBody {
    /// The revision of the commit.
    pub revision: u64,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub at: Time,
    /// Who made it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The identity of the write.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub commit_id: CommitId,
    /// What it did.
    pub op: Op,
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
}

impl VersionBody {
    /// The bytes of a value that was put; none of a deletion.
    ///
    /// # Errors
    /// [`ValueError`] when the answer has no value of its type.
    pub fn bytes(&self) -> Result<Option<bytes::Bytes>, ValueError> {
        let Some(content_type) = &self.content_type else { return Ok(None) };
        let value = Value { value: self.value.clone(), value_base64: self.value_base64.clone() };
        value.bytes(content_type).map(Some)
    }
}

/// A page of the versions of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryBody {
    /// Newest first, deletions among them.
    pub versions: Vec<VersionBody>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}
