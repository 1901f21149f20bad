//! What a dry run is told: the changes as they would be, and every precondition that does not hold.

use headwater_api::{ChangeKind, DryRunBody, EntryBody, PreviewBody};
use headwater_replica::View;
use headwater_schemas::{CommitId, Effect, EntryRef};

use crate::draft::draft;
use crate::evaluate::{Absent, failures};
use crate::refusal::Refusal;
use crate::request::Write;

/// Evaluates `write` at a state that was read back; the size of the commit counts, too.
pub(crate) fn preview(
    write: &Write,
    view: &View,
    absent: &Absent<'_>,
    now_ms: i64,
    max_record_bytes: usize,
) -> Result<DryRunBody, Refusal> {
    let failures = failures(write, view, absent)?;
    let draft = draft(write, CommitId::nil(), view, now_ms);
    if draft.record.len() > max_record_bytes {
        let actual = draft.record.len();
        return Err(Refusal::CommitTooLarge { limit: max_record_bytes, actual });
    }
    Ok(DryRunBody {
        would_succeed: failures.is_empty(),
        revision: view.revision(),
        changes: draft.folded.effects.iter().map(shown).collect(),
        failures,
    })
}

fn shown(effect: &Effect) -> PreviewBody {
    let (namespace, key) = (&effect.namespace, &effect.key);
    let body = |entry: EntryRef<'_>| EntryBody::new(namespace, key, entry);
    PreviewBody {
        namespace: namespace.clone(),
        key: key.clone(),
        kind: match (&effect.before, &effect.after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        },
        old: effect.before.as_ref().map(|entry| body(entry.as_ref())),
        new: effect.after.as_ref().map(|entry| body(entry.as_ref())),
    }
}
