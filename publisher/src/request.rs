//! A write as the writer takes it: names parsed, sizes checked, nothing yet asked of the state.

use headwater_api::{Proposal, ProposedOp};
use headwater_schemas::{Idempotency, Key, Namespace};
use headwater_server::Precondition;

/// Which call a write came by. It decides how a refusal and a success are worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `PUT /v1/config/{ns}/{key}`
    Put,
    /// `DELETE /v1/config/{ns}/{key}`
    Delete,
    /// `POST /v1/commits`
    Commit,
}

impl Kind {
    /// The name that stands in the commit, so that any publisher can rebuild the answer.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Commit => "commit",
        }
    }

    /// The kind of a name; one that this build does not know is answered like a commit.
    pub fn of_name(name: &str) -> Self {
        match name {
            "put" => Self::Put,
            "delete" => Self::Delete,
            _ => Self::Commit,
        }
    }
}

/// A write that was admitted.
#[derive(Debug, Clone)]
pub struct Write {
    /// Which call it came by.
    pub kind: Kind,
    /// What it changes, what must hold, who and why; a single write is a proposal with one change.
    pub proposal: Proposal,
    /// What must hold of the key of a single write; change sets have preconditions in the proposal.
    pub condition: Precondition,
    /// What makes a retry find it.
    pub idempotency: Option<Idempotency>,
    /// Evaluate only; write nothing.
    pub dry_run: bool,
}

impl Write {
    /// Every key it names, with the index of its change; none for a guard's.
    pub(crate) fn named(&self) -> impl Iterator<Item = (Option<usize>, &Namespace, &Key)> {
        let changes = self.proposal.changes.iter().enumerate();
        let changes = changes.map(|(i, change)| (Some(i), &change.namespace, &change.key));
        let guards = self.proposal.expects.iter();
        changes.chain(guards.map(|guard| (None, &guard.namespace, &guard.key)))
    }

    /// About how many bytes it holds while it is under way: the request and the record made of it.
    pub(crate) fn cost_bytes(&self) -> usize {
        let changes = self.proposal.changes.iter().map(|change| match &change.op {
            ProposedOp::Put { value, .. } => 512 + 2 * value.len(),
            ProposedOp::Delete => 512,
        });
        1_024 + changes.sum::<usize>() + self.proposal.expects.len() * 512
    }
}
