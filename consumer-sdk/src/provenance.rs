//! Which commit did it, and who, when and why.

use std::collections::BTreeMap;

use headwater_replica::Applied;
use headwater_schemas::EntryRef;
use uuid::Uuid;

/// The commit behind a change, as far as it is known: what came with an image or the cache carries no reason, no id and
/// no attributes, and a default was put by no commit at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// Its revision; 0 for a default.
    pub revision: u64,
    /// When it was made, by its writer's clock, in milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
    /// Who made it.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Its id, which a request keeps through all its tries.
    pub commit_id: Option<Uuid>,
    /// What its writer added, such as `traceparent`.
    pub attributes: BTreeMap<String, String>,
}

impl Provenance {
    /// Of a commit that was seen.
    pub(crate) fn of_commit(applied: &Applied) -> Self {
        let commit = &applied.commit;
        Self {
            revision: applied.head.revision,
            at_ms: Some(commit.at_ms),
            actor: Some(commit.actor.to_string()),
            reason: commit.reason.as_ref().map(ToString::to_string),
            commit_id: Some(commit.commit_id),
            attributes: commit.attributes.clone(),
        }
    }

    /// Of a commit of which only an entry is left.
    pub(crate) fn of_entry(entry: EntryRef<'_>) -> Self {
        Self {
            revision: entry.mod_revision,
            at_ms: Some(entry.updated_at_ms),
            actor: Some(entry.actor.to_owned()),
            ..Self::default()
        }
    }

    /// Of whatever led to a revision.
    pub(crate) fn up_to(revision: u64) -> Self {
        Self { revision, ..Self::default() }
    }
}
