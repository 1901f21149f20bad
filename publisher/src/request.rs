//! A write as the writer takes it: names parsed, sizes checked, nothing yet asked of the state.

use headwater_api::{Proposal, ProposedOp};
use headwater_schemas::{Idempotency, Key, Namespace};
use headwater_server::Precondition;

use crate::rollback::Rollback;
use crate::settings::Settings;

/// Which call a write came by. It decides how a refusal and a success are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `PUT /v1/config/{ns}/{key}`
    Put,
    /// `DELETE /v1/config/{ns}/{key}`
    Delete,
    /// `POST /v1/commits`
    Commit,
    /// `POST /v1/rollback`
    Rollback,
}

impl Kind {
    /// The name that stands in the commit, so that any publisher can rebuild the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
        }
    }

    /// The kind of a name; one that this build does not know is answered like a commit.
    pub fn of_name(name: &str) -> Self {
        match name {
            "put" => Self::Put,
            "delete" => Self::Delete,
            "rollback" => Self::Rollback,
            _ => Self::Commit,
        }
    }
}

/// A write that was admitted.
#[derive(Debug, Clone)]
pub struct Write {
    /// Which call it came by.
    pub kind: Kind,
    /// What it changes, what must hold, who and why; a single write is a proposal with one change. The changes of a
    /// rollback are filled in where it is evaluated.
    pub proposal: Proposal,
    /// What is to be as it was, of a rollback.
    pub rollback: Option<Rollback>,
    /// What must hold of the key of a single write; change sets have preconditions in the proposal.
    pub condition: Precondition,
    /// What makes a retry find it.
    pub idempotency: Option<Idempotency>,
    /// Evaluate only; write nothing.
    pub dry_run: bool,
}

impl Write {
    /// Every key it names, with the index of its change; none for a guard's, and for the key of a rollback that changes
    /// nothing.
    pub(crate) fn named(&self) -> impl Iterator<Item = (Option<usize>, &Namespace, &Key)> {
        let changes = self.proposal.changes.iter().enumerate();
        let changes = changes.map(|(i, change)| (Some(i), &change.namespace, &change.key));
        let guards = self.proposal.expects.iter();
        let unchanged = self.rollback.as_ref().filter(|_| self.proposal.changes.is_empty());
        changes
            .chain(guards.map(|guard| (None, &guard.namespace, &guard.key)))
            .chain(unchanged.and_then(Rollback::one).map(|(namespace, key)| (None, namespace, key)))
    }

    /// Whether there is nothing to commit: everything is as it was already.
    pub(crate) fn is_nothing(&self) -> bool {
        self.rollback.is_some() && self.proposal.changes.is_empty()
    }

    /// About how many bytes it holds while it is under way: the request and the record made of it; of a rollback what it
    /// may come to, in which twice a commit's limit is kept.
    pub(crate) fn cost_bytes(&self, settings: &Settings) -> usize {
        if self.rollback.is_some() {
            return settings.max_record_bytes.saturating_mul(4).min(settings.max_request_bytes);
        }
        let changes = self.proposal.changes.iter().map(|change| match &change.op {
            ProposedOp::Put { value, .. } => 512 + 2 * value.len(),
            ProposedOp::Delete => 512,
        });
        1_024 + changes.sum::<usize>() + self.proposal.expects.len() * 512
    }
}
