//! What the history said of keys that are absent, asked before a write with `base_revision` is evaluated.

use std::collections::HashMap;

use headwater_replica::{History, Replica};
use headwater_schemas::{Key, Namespace};

use crate::request::Write;

/// The last changes of some absent keys, up to one revision.
#[derive(Debug)]
pub(crate) struct Past {
    upto: u64,
    last: HashMap<(Namespace, Key), u64>,
}

impl Past {
    /// The last change of a key, provided that what is known here and what came after `floor` leave no gap.
    pub(crate) fn last_change(&self, namespace: &Namespace, key: &Key, floor: u64) -> Option<u64> {
        if self.upto < floor {
            return None;
        }
        self.last.get(&(namespace.clone(), key.clone())).copied()
    }
}

/// Asks the history for the last change of every key that `write` names and the state does not hold. None when
/// there is nothing to ask, or nobody whose answer counts: its head must be on our chain.
pub(crate) async fn ask(write: &Write, replica: &Replica, history: &dyn History) -> Option<Past> {
    let base = write.proposal.base_revision?;
    let view = replica.view()?;
    let head = history.head().await.ok()?;
    let on_chain = head == *view.head() || replica.hash_at(head.revision) == Some(head.hash);
    if !on_chain || base > view.revision() {
        return None;
    }
    let mut last = HashMap::new();
    for (_, namespace, key) in write.named() {
        if view.get(namespace.as_str(), key.as_str()).is_some() {
            continue;
        }
        let (name, key_name) = (namespace.as_str(), Some(key.as_str()));
        let changed = history.last_change(name, key_name, head.revision).await.ok()?;
        last.insert((namespace.clone(), key.clone()), changed);
    }
    Some(Past { upto: head.revision, last })
}
