//! What a dry run found, as diffs for a person.

use headwater_api::{At, DryRunBody, EntryBody, PreviewBody};
use headwater_client::{Client, ListQuery};
use headwater_schemas::Namespace;

use crate::exit::{Exit, Failure};
use crate::{output, refused, unified};

/// Prints what would change. A dry run that would fail ends as the write would.
pub(super) fn told(shown: &DryRunBody, json: bool) -> Result<(), Failure> {
    if json {
        output::json(shown)?;
    } else {
        output::print(diffs(shown, output::colours()).as_bytes())?;
        let keys = output::count(shown.changes.len(), "key");
        output::note(format_args!("would change {keys} after revision {}", shown.revision));
    }
    judged(shown)
}

/// Whether the write would be accepted.
pub(super) fn judged(shown: &DryRunBody) -> Result<(), Failure> {
    if shown.would_succeed {
        return Ok(());
    }
    let told = refused::conflict(&shown.failures);
    Err(Failure::new(Exit::Precondition, told))
}

/// Whether an entry has the same type and bytes before and after.
pub(super) fn is_same(old: Option<&EntryBody>, new: Option<&EntryBody>) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return false };
    old.content_type == new.content_type
        && old.size == new.size
        && old.bytes().ok() == new.bytes().ok()
}

/// Every change of a dry run as a diff.
pub(super) fn diffs(shown: &DryRunBody, colours: bool) -> String {
    let diff = |it: &PreviewBody| unified::of_entries(it.old.as_ref(), it.new.as_ref(), colours);
    shown.changes.iter().map(diff).collect()
}

/// Prints an entry before and after as a diff.
pub(super) fn change(old: Option<&EntryBody>, new: Option<&EntryBody>) -> Result<(), Failure> {
    output::print(unified::of_entries(old, new, output::colours()).as_bytes())
}

/// The revision of a time: that of the last commit at or before it.
pub(super) async fn revision_at(
    client: &Client,
    namespace: &Namespace,
    at: At,
) -> Result<u64, Failure> {
    match at {
        At::Revision(revision) => Ok(revision),
        At::Time(_) => {
            let at = Some(at);
            let query = ListQuery { at, keys_only: true, limit: Some(1), ..ListQuery::default() };
            Ok(client.list(namespace, &query, None).await?.revision)
        }
    }
}
