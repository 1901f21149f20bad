//! From an admitted write and the state before it to the record that is appended.

use std::collections::HashSet;

use bytes::Bytes;
use headwater_api::{ProposedChange, ProposedOp};
use headwater_replica::View;
use headwater_schemas::{
    Change, Commit, CommitId, Digest, Expect, FORMAT, Folded, Hash, Head, Key, Namespace,
    encode_commit, fold,
};
use headwater_server::Precondition;

use crate::request::Write;

/// A commit ready to be appended, and what it leads to.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) commit: Commit,
    pub(crate) record: Bytes,
    pub(crate) folded: Folded,
}

/// The revision that last changed a key; 0 = absent.
pub(crate) fn current(view: &View, namespace: &Namespace, key: &Key) -> u64 {
    view.get(namespace.as_str(), key.as_str()).map_or(0, |entry| entry.mod_revision)
}

fn change(proposed: &ProposedChange, view: &View) -> Change {
    let (namespace, key) = (proposed.namespace.clone(), proposed.key.clone());
    match &proposed.op {
        ProposedOp::Delete => Change::Delete { namespace, key },
        ProposedOp::Put { content_type, value } => {
            let before = view.get(namespace.as_str(), key.as_str());
            Change::Put {
                version: before.map_or(1, |entry| entry.version + 1),
                content_type: content_type.clone(),
                value: value.clone(),
                namespace,
                key,
            }
        }
    }
}

/// What the writer relied on: whatever the request guarded, and that a deleted key was there.
fn expects(write: &Write, view: &View) -> Vec<Expect> {
    let all = write.proposal.base_revision.is_some() || write.condition != Precondition::None;
    let changes = write.proposal.changes.iter();
    let changes = changes
        .filter(|change| all || change.expect.is_some() || matches!(change.op, ProposedOp::Delete));
    let changes = changes.map(|change| (&change.namespace, &change.key));
    let guards = write.proposal.expects.iter().map(|guard| (&guard.namespace, &guard.key));
    let mut seen = HashSet::new();
    changes
        .chain(guards)
        .filter(|at| seen.insert(*at))
        .map(|(namespace, key)| Expect {
            namespace: namespace.clone(),
            key: key.clone(),
            mod_revision: current(view, namespace, key),
        })
        .collect()
}

/// A commit without changes that follows `head`, a state with `digest`.
pub(crate) fn bare(head: &Head, digest: Digest, commit_id: CommitId, now_ms: i64) -> Commit {
    Commit {
        stream_id: head.stream_id,
        format: FORMAT,
        revision: head.revision + 1,
        parent: head.hash,
        commit_id,
        at_ms: now_ms.max(head.at_ms),
        actor: "headwater".into(),
        reason: None,
        idempotency: None,
        expects: Vec::new(),
        changes: Vec::new(),
        digest,
        attributes: std::collections::BTreeMap::new(),
    }
}

/// The commit that follows `view`. Its caller has checked that every precondition holds there.
pub(crate) fn draft(write: &Write, commit_id: CommitId, view: &View, now_ms: i64) -> Draft {
    let proposal = &write.proposal;
    let commit = Commit {
        actor: proposal.actor.as_deref().unwrap_or("anonymous").into(),
        reason: proposal.reason.clone(),
        idempotency: write.idempotency.clone(),
        expects: expects(write, view),
        changes: proposal.changes.iter().map(|proposed| change(proposed, view)).collect(),
        attributes: proposal.attributes.clone(),
        ..bare(view.head(), Digest::default(), commit_id, now_ms)
    };
    seal(commit, view)
}

/// Folds once, to learn the digest that the record carries and the hash that its bytes have.
pub(crate) fn seal(mut commit: Commit, view: &View) -> Draft {
    let lookup = |namespace: &Namespace, key: &Key| {
        view.get(namespace.as_str(), key.as_str()).map(|entry| entry.to_entry())
    };
    let mut folded = fold(&commit, Hash::default(), view.totals(), lookup);
    commit.digest = folded.totals.digest();
    let record = encode_commit(&commit);
    folded.head.hash = Hash::of(&record);
    folded.divergence = None;
    Draft { commit, record, folded }
}

/// A barrier behind `head`: whichever of two records on one parent the log has first is accepted, so it
/// settles what became of the other.
pub(crate) fn barrier(head: &Head, digest: Digest, commit_id: CommitId, now_ms: i64) -> Bytes {
    encode_commit(&bare(head, digest, commit_id, now_ms))
}
