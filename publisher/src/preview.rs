//! What a dry run is told: the changes as they would be, and every precondition that does not hold.

use headwater_api::{ChangeKind, DryRunBody, EntryBody, PreviewBody};
use headwater_replica::View;
use headwater_schemas::{CommitId, Effect, Entry, EntryRef};

use crate::draft::draft;
use crate::evaluate::{Absent, failures};
use crate::refusal::Refusal;
use crate::request::Write;

/// The most bytes of values that a dry run shows, of all entries together; those behind are told without their values.
const SHOWN_BYTES: usize = 16 * 1024 * 1024;

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
        changes: shown(&draft.folded.effects),
        failures,
    })
}

/// A commit's record bounds what it puts, and nothing bounds what it takes away but this.
fn shown(effects: &[Effect]) -> Vec<PreviewBody> {
    let mut left = SHOWN_BYTES;
    let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.value.len());
    let show = |effect: &Effect| {
        let fits = left.checked_sub(size(&effect.before) + size(&effect.after));
        left = fits.unwrap_or(left);
        change(effect, fits.is_some())
    };
    effects.iter().map(show).collect()
}

fn change(effect: &Effect, with_values: bool) -> PreviewBody {
    let (namespace, key) = (&effect.namespace, &effect.key);
    let body = |entry: EntryRef<'_>| {
        let of = if with_values { EntryBody::new } else { EntryBody::without_value };
        of(namespace, key, entry)
    };
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
