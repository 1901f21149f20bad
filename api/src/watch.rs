//! What a watch is asked and what it sends: `/v1/watch`.

use std::fmt;

use headwater_schemas::{Digest, Hash};
use serde::{Deserialize, Serialize};

use crate::CommitBody;

/// What the changes of a watch carry of their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// The value that was put.
    #[default]
    New,
    /// The value that was put, and the entry before.
    Both,
    /// Neither: which keys changed.
    None,
}

impl Values {
    /// All there are.
    pub const ALL: &[Self] = &[Self::New, Self::Both, Self::None];

    /// As it stands in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Both => "both",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The data of a heartbeat: the server's head. Its id says how far this watcher is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatBody {
    /// The revision of the head.
    pub revision: u64,
    /// The chain hash of the head.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub hash: Hash,
    /// The digest of the namespaces asked for, or of the whole state; absent with `prefix` or `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub digest: Option<Digest>,
}

/// What a long poll is answered with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PollBody {
    /// The commits are complete up to this revision: the next poll's `after`.
    pub revision: u64,
    /// Commits with the matching changes only; none when nothing came.
    pub commits: Vec<CommitBody>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_names_that_they_are_read_by() {
        for values in Values::ALL {
            assert_eq!(serde_json::to_value(values).unwrap(), values.as_str());
        }
    }

    #[test]
    fn a_digest_that_is_absent_is_left_out() {
        let beat = HeartbeatBody { revision: 7, hash: Hash([1; 32]), digest: None };
        let json = serde_json::to_string(&beat).unwrap();
        assert_eq!(json, format!("{{\"revision\":7,\"hash\":\"{}\"}}", "01".repeat(32)));
        assert_eq!(serde_json::from_str::<HeartbeatBody>(&json).unwrap(), beat);
    }

    #[test]
    fn an_old_entry_is_absent_null_or_there() {
        let change = |old: &str| {
            let json = format!("{{\"op\":\"delete\",\"namespace\":\"n\",\"key\":\"k\"{old}}}");
            let change: crate::ChangeBody = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&change).unwrap(), json);
            change.old.map(|old| old.is_some())
        };
        assert_eq!((change(""), change(",\"old\":null")), (None, Some(false)));
        let entry = ",\"old\":{\"namespace\":\"n\",\"key\":\"k\",\"content_type\":\"application/json\",\
                     \"value\":{\"a\": 1},\"size\":8,\"version\":1,\"create_revision\":1,\"mod_revision\":1,\
                     \"updated_at\":\"2026-11-22T08:15:30.123Z\",\"actor\":\"ann\"}";
        assert_eq!(change(entry), Some(true));
    }
}
