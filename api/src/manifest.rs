//! The manifest of an image.

use headwater_schemas::{Digest, Hash, StreamId};
use serde::{Deserialize, Serialize};

use crate::Time;

/// What an image is: the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ManifestBody {
    /// Its file name, `<revision>-<hash>.hwi`.
    pub name: String,
    /// The stream.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The revision it shows.
    pub revision: u64,
    /// The chain hash there.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// The state digest.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// How many entries.
    pub entries: u64,
    /// The size of the wire form, in bytes.
    pub bytes: u64,
    /// BLAKE3 of the wire form.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub blake3: Hash,
    /// When it was cut.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub created_at: Time,
    /// Where to go on reading in the log.
    pub log_position: u64,
    /// Its blocks.
    pub blocks: Vec<ManifestBlock>,
    /// How its chain came about, where an operator led the stream to it from another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<Lineage>,
}

/// Where an operator led a stream from, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lineage {
    /// The stream of the other chain.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The revision from which this one goes on.
    pub revision: u64,
    /// The chain hash there.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// The revision of the commit that says so.
    pub since: u64,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub at: Time,
}

/// One block of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ManifestBlock {
    /// Where it begins in the wire form.
    pub offset: u64,
    /// Its compressed size.
    pub bytes: u64,
    /// BLAKE3 of its uncompressed bytes.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub blake3: Hash,
    /// `namespace/key` of its first record.
    pub first_key: String,
}
