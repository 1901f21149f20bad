//! What a write that made a commit is told; rebuilt from the commit alone, on any publisher.

use headwater_api::ReceiptBody;
use headwater_schemas::{Commit, Hash};

use crate::Kind;

/// The receipt of a commit, and which call made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which call made it.
    pub kind: Kind,
    /// What the client is told.
    pub body: ReceiptBody,
}

impl Receipt {
    /// The receipt of `commit`, whose record hashes to `hash`.
    pub fn of(commit: &Commit, hash: Hash, kind: Kind) -> Self {
        let body = match kind {
            Kind::Put => ReceiptBody::of_put(commit, hash),
            Kind::Delete | Kind::Commit | Kind::Rollback => ReceiptBody::new(commit, hash),
        };
        Self { kind, body }
    }

    /// Whether it created its only key: 201 instead of 200.
    pub fn created(&self) -> bool {
        self.body.version == Some(1)
    }

    /// About how many bytes it takes to remember.
    pub(crate) fn cost_bytes(&self) -> usize {
        let names = self
            .body
            .changes
            .iter()
            .map(|change| 96 + change.namespace.as_str().len() + change.key.as_str().len());
        160 + names.sum::<usize>()
    }
}
