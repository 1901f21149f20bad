//! `GET /v1/status`.

use headwater_schemas::{Digest, Hash, StreamId};
use serde::{Deserialize, Serialize};

use crate::Time;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusBody {
    /// The name of the stream.
    pub stream: String,
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The revision this server has applied.
    pub revision: u64,
    /// The chain hash there.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// The digest of the state.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Digest,
    /// How many entries the state has.
    pub entries: u64,
    /// How many bytes all values have together.
    pub bytes: u64,
    /// The log it reads.
    pub log: LogBody,
    /// What this process does: `serve`, `publisher`, `relay`, `snapshotter`.
    pub role: String,
    /// The version of the program.
    pub version: String,
    /// When the process started.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "date-time"))]
    pub started_at: Time,
    /// How many revisions behind the head it knows of.
    pub lag_revisions: u64,
    /// The time of the last commit; null before the first.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "date-time"))]
    pub last_commit_at: Option<Time>,
    /// What it is at: `starting`, `catching_up`, `live`, `stale` (its log is out of reach), `read_only` (see the
    /// alarm), `closed`.
    pub phase: String,
    /// What needs a person; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmBody>,
}

/// What needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlarmBody {
    /// `not_on_this_log`, `undecodable`, `divergence`, `log_damaged`, `wrong_source`.
    pub kind: String,
    /// The cause and the next step, in words.
    pub detail: String,
}

/// The log a server reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogBody {
    /// `memory`, `embedded` or `kafka`.
    pub kind: String,
    /// Where the head's record stands.
    pub position: u64,
    /// A directory, or `topic@brokers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// On Kafka, the id of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
}
