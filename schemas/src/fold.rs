//! What a commit does: the one place that knows.

use std::collections::HashMap;

use crate::{
    Change, Commit, Digest, Entry, Expect, Hash, Head, Key, Namespace, Totals, entry_digest,
};

/// What a commit does to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The namespace of the key.
    pub namespace: Namespace,
    /// The key.
    pub key: Key,
    /// The entry before, if the key was there.
    pub before: Option<Entry>,
    /// The entry after; none when the commit deleted it.
    pub after: Option<Entry>,
    /// The digest of the entry after; zero when there is none.
    pub digest: Digest,
}

/// A commit that was accepted and yet does not fit the state it was folded into: either this copy of the
/// state or its writer's was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Divergence {
    /// The commit names another digest than the one its changes lead to here.
    #[error(
        "revision {revision}: the commit leads to digest {ours} here, its writer computed {theirs}"
    )]
    Digest {
        /// The commit's revision.
        revision: u64,
        /// What this copy leads to.
        ours: Digest,
        /// What the commit carries.
        theirs: Digest,
    },
    /// A precondition the writer checked does not hold here.
    #[error(
        "revision {revision}: the commit expects {}/{} at revision {}, here it is at {actual}",
        expect.namespace, expect.key, expect.mod_revision
    )]
    Expect {
        /// The commit's revision.
        revision: u64,
        /// What the commit expects.
        expect: Expect,
        /// The revision here; 0 = absent.
        actual: u64,
    },
}

impl Divergence {
    /// The revision of the commit that does not fit.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Digest { revision, .. } | Self::Expect { revision, .. } => *revision,
        }
    }
}

/// What folding one commit gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// What changed, one effect a key, in the commit's order. Deleting an absent key has none.
    pub effects: Vec<Effect>,
    /// The new head.
    pub head: Head,
    /// The new totals and digests.
    pub totals: Totals,
    /// The first way in which the commit does not fit this state, if any.
    pub divergence: Option<Divergence>,
}

/// Folds an accepted commit, whose stored bytes hash to `hash`, into the state before it, of which it needs
/// only the totals and a way to look entries up. Pure: the caller stores the effects.
pub fn fold(
    commit: &Commit,
    hash: Hash,
    totals: &Totals,
    mut lookup: impl FnMut(&Namespace, &Key) -> Option<Entry>,
) -> Folded {
    let lookup = |namespace: &_, key: &_| Some((lookup(namespace, key)?, None));
    fold_into(commit, hash, totals.clone(), lookup)
}

/// The same for who gives the totals away (where nobody else holds them, nothing of them is copied), and may know the
/// digest of an entry.
pub(crate) fn fold_into(
    commit: &Commit,
    hash: Hash,
    mut totals: Totals,
    mut lookup: impl FnMut(&Namespace, &Key) -> Option<(Entry, Option<Digest>)>,
) -> Folded {
    let revision = commit.revision;
    let mut divergence = commit.expects.iter().find_map(|expect| {
        let found = lookup(&expect.namespace, &expect.key);
        let actual = found.map_or(0, |(entry, _)| entry.mod_revision);
        (actual != expect.mod_revision).then(|| Divergence::Expect {
            revision,
            expect: expect.clone(),
            actual,
        })
    });
    let mut effects: Vec<Effect> = Vec::with_capacity(commit.changes.len());
    for change in last_of_each_key(&commit.changes) {
        let (namespace, key) = (change.namespace(), change.key());
        let (before, known) = lookup(namespace, key).unzip();
        let after = match change {
            Change::Put { content_type, value, .. } => Some(Entry {
                content_type: content_type.clone(),
                value: value.clone(),
                version: before.as_ref().map_or(1, |b| b.version.saturating_add(1)),
                create_revision: before.as_ref().map_or(revision, |b| b.create_revision),
                mod_revision: revision,
                updated_at_ms: commit.at_ms,
                actor: commit.actor.clone(),
            }),
            Change::Delete { .. } => None,
        };
        if before.is_none() && after.is_none() {
            continue;
        }
        let digest_of =
            |entry: &Entry| entry_digest(namespace.as_str(), key.as_str(), entry.as_ref());
        let gone = before.as_ref().map(|entry| known.flatten().unwrap_or_else(|| digest_of(entry)));
        let digest = after.as_ref().map(digest_of).unwrap_or_default();
        let (namespace, key) = (namespace.clone(), key.clone());
        let effect = Effect { namespace, key, before, after, digest };
        totals.apply(&effect, gone.unwrap_or_default(), revision);
        effects.push(effect);
    }
    let head = Head { stream_id: commit.stream_id, revision, hash, at_ms: commit.at_ms };
    if divergence.is_none() && totals.digest() != commit.digest {
        divergence =
            Some(Divergence::Digest { revision, ours: totals.digest(), theirs: commit.digest });
    }
    Folded { effects, head, totals, divergence }
}

/// A key appears once in a commit. Where a faulty writer let it appear again the last change counts alone,
/// so that effects and digests stay those of the entries.
fn last_of_each_key(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let last: HashMap<_, _> = match changes {
        [] | [_] => HashMap::new(),
        changes => changes
            .iter()
            .enumerate()
            .map(|(index, change)| ((change.namespace(), change.key()), index))
            .collect(),
    };
    changes.iter().enumerate().filter_map(move |(index, change)| {
        let at = last.get(&(change.namespace(), change.key()));
        at.is_none_or(|last| *last == index).then_some(change)
    })
}
