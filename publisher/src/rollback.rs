//! A rollback as the writer takes it, and the changes it comes to at one state.
//!
//! ```text
//!   to_revision ───── asked when the request came ─────▶ upto ── the tail ──▶ confirmed ── what is pending ──▶ tip
//! ```
//!
//! Which keys are changed is settled where the commit is appended: whatever changed on the way there counts.

use std::collections::BTreeMap;

use headwater_api::{Keys, ProposedChange, ProposedOp};
use headwater_replica::View;
use headwater_schemas::{Effect, Entry, Key, Namespace};

use crate::before::{Before, Value};
use crate::refusal::Refusal;

/// What is to be as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// Where.
    pub namespace: Namespace,
    /// What.
    pub keys: Keys,
    /// The revision whose state is restored.
    pub to_revision: u64,
}

impl Rollback {
    /// Those of some effects that are its business.
    pub(crate) fn meant<'a>(
        &'a self,
        effects: &'a [Effect],
    ) -> impl Iterator<Item = &'a Effect> + 'a {
        effects
            .iter()
            .filter(|effect| effect.namespace == self.namespace && self.keys.contain(&effect.key))
    }

    /// The one key it names, if it does.
    pub(crate) fn one(&self) -> Option<(&Namespace, &Key)> {
        match &self.keys {
            Keys::One(key) => Some((&self.namespace, key)),
            Keys::Prefix(_) => None,
        }
    }

    /// The changes that restore its revision from `view`, in byte order of keys: what stood `before`, and what the
    /// commits `since` then did, oldest first.
    pub(crate) fn changes<'a>(
        &'a self,
        before: &'a Before,
        since: impl Iterator<Item = &'a [Effect]>,
        view: &View,
        max_changes: usize,
    ) -> Result<Vec<ProposedChange>, Refusal> {
        before.whole()?;
        let mut old: BTreeMap<&Key, Option<Value>> = before.iter().collect();
        for effect in since.flat_map(|effects| self.meant(effects)) {
            // Only the first change tells what stood there.
            old.entry(&effect.key).or_insert_with(|| effect.before.as_ref().map(value));
        }
        let changes = old.into_iter().filter_map(|(key, old)| self.change(key, old, view));
        let changes: Vec<_> = changes.collect();
        if changes.len() > max_changes {
            return Err(Refusal::TooManyChanges { limit: max_changes, actual: changes.len() });
        }
        Ok(changes)
    }

    /// What makes a key as it was; none when it is.
    fn change(&self, key: &Key, old: Option<Value>, view: &View) -> Option<ProposedChange> {
        let now = view.get(self.namespace.as_str(), key.as_str());
        let op = match (old, now) {
            (None, None) => return None,
            (None, Some(_)) => ProposedOp::Delete,
            (Some((content_type, value)), Some(now))
                if *now.content_type == *content_type && *now.value == *value =>
            {
                return None;
            }
            (Some((content_type, value)), _) => ProposedOp::Put { content_type, value },
        };
        let (namespace, key) = (self.namespace.clone(), key.clone());
        Some(ProposedChange { namespace, key, op, expect: None })
    }
}

/// What a rollback restores of an entry.
pub(crate) fn value(entry: &Entry) -> Value {
    (entry.content_type.clone(), entry.value.clone())
}
