//! Keys that are there and not in an import: what `--prune` deletes.

use std::collections::HashSet;

use headwater_client::{Client, ListQuery};
use headwater_schemas::Namespace;

use super::source::{Change, Item};
use crate::exit::Failure;

/// The deletion of every key of the namespace that is not among `items`, each as it is now: one that somebody changes
/// meanwhile is not deleted unseen.
pub(super) async fn missing(
    client: &Client,
    namespace: &Namespace,
    items: &[Item],
) -> Result<Vec<Item>, Failure> {
    let kept: HashSet<_> = items.iter().map(|item| &item.key).collect();
    let query = ListQuery { keys_only: true, limit: Some(1_000), ..ListQuery::default() };
    let mut pages = client.pages(namespace, &query);
    let mut missing = Vec::new();
    while let Some(page) = pages.next().await? {
        let gone = page.entries.into_iter().filter(|entry| !kept.contains(&entry.key));
        missing.extend(gone.map(|entry| Item {
            key: entry.key,
            change: Change::Delete { mod_revision: entry.mod_revision },
        }));
    }
    Ok(missing)
}
