//! What the history said of keys that are absent, asked before a write with `base_revision` is evaluated.

use std::collections::HashMap;
use std::time::Duration;

use headwater_replica::{History, HistoryError, Replica};
use headwater_schemas::{Head, Key, Namespace};
use tokio::time::timeout;

use crate::before::Before;
use crate::refusal::Refusal;
use crate::request::Write;

/// How long history that is ahead of this replica is waited for.
const AHEAD: Duration = Duration::from_secs(1);

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

/// The head of a history, when this replica has reached it: both read the same log, so one may be ahead for a moment.
pub(crate) async fn head_of(
    history: &dyn History,
    replica: &Replica,
) -> Result<Head, HistoryError> {
    let head = history.head().await?;
    let _ = timeout(AHEAD, replica.wait_for(head.revision)).await;
    Ok(head)
}

/// Asks the history for the last change of every key that `write` names, or may come to change, and the state does not
/// hold. None when there is nothing to ask, or nobody whose answer counts: its head must be on our chain.
pub(crate) async fn ask(
    write: &Write,
    before: Option<&Result<Before, Refusal>>,
    replica: &Replica,
    history: &dyn History,
) -> Option<Past> {
    let base = write.proposal.base_revision?;
    let head = head_of(history, replica).await.ok()?;
    let view = replica.view()?;
    let on_chain = head == *view.head() || replica.hash_at(head.revision) == Some(head.hash);
    if !on_chain || base > view.revision() {
        return None;
    }
    let mut last = HashMap::new();
    for (namespace, key) in keys(write, before) {
        if view.get(namespace.as_str(), key.as_str()).is_some() {
            continue;
        }
        let changed = history
            .last_change(namespace.as_str(), Some(key.as_str()), head.revision)
            .await
            .ok()?;
        last.insert((namespace.clone(), key.clone()), changed);
    }
    Some(Past { upto: head.revision, last })
}

fn keys<'a>(
    write: &'a Write,
    before: Option<&'a Result<Before, Refusal>>,
) -> impl Iterator<Item = (&'a Namespace, &'a Key)> {
    let named = write.named().map(|(_, namespace, key)| (namespace, key));
    let differing = write.rollback.as_ref().zip(before.and_then(|before| before.as_ref().ok()));
    named.chain(
        differing
            .into_iter()
            .flat_map(|(rollback, before)| before.keys().map(|key| (&rollback.namespace, key))),
    )
}
