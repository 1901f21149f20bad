//! What is written: commits and states as records of the table.

use bytes::Bytes;
use headwater_log::TableRecord;
use headwater_replica::{Applied, View};
use headwater_schemas::{
    CHECKPOINT_KEY, Checkpoint, Effect, EntryRef, Framing, Hash, TableEntry, encode_checkpoint,
    encode_table_entry, table_key,
};

/// The records of applied commits, in order, and the checkpoint behind them.
pub(super) fn of_commits<'a>(
    commits: impl IntoIterator<Item = &'a Applied>,
    framing: Framing,
) -> Vec<TableRecord> {
    let (mut records, mut last) = (Vec::new(), None);
    for applied in commits {
        records.extend(applied.effects.iter().map(|effect| of_effect(applied, effect, framing)));
        last = Some(applied);
    }
    records.extend(last.map(|applied| {
        let head = applied.head;
        checkpoint_record(
            &Checkpoint {
                stream_id: head.stream_id,
                revision: head.revision,
                hash: head.hash,
                at_ms: head.at_ms,
                position: applied.position,
                digest: applied.totals.digest(),
                entries: applied.totals.entries(),
            },
            framing,
        )
    }));
    records
}

fn of_effect(applied: &Applied, effect: &Effect, framing: Framing) -> TableRecord {
    let (namespace, key) = (effect.namespace.as_str(), effect.key.as_str());
    let (commit, hash) = (&applied.commit, applied.head.hash);
    match &effect.after {
        Some(entry) => {
            let why = Why { reason: commit.reason.as_deref(), hash: Some(hash) };
            of_entry(namespace, key, entry.as_ref(), why, framing)
        }
        None => {
            let mut headers = vec![
                ("namespace", text(namespace)),
                ("key", text(key)),
                ("revision", text(commit.revision)),
                ("commit_hash", text(hash)),
                ("at", text(commit.at_ms)),
                ("actor", text(&commit.actor)),
            ];
            headers.extend(commit.reason.as_ref().map(|reason| ("reason", text(reason))));
            TableRecord { key: table_key(namespace, key), value: None, headers }
        }
    }
}

/// What is known of the commit that put an entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Why<'a> {
    pub(super) reason: Option<&'a str>,
    pub(super) hash: Option<Hash>,
}

/// An entry's record.
pub(super) fn of_entry(
    namespace: &str,
    key: &str,
    entry: EntryRef<'_>,
    why: Why<'_>,
    framing: Framing,
) -> TableRecord {
    let row = TableEntry { namespace, key, entry, reason: why.reason, commit_hash: why.hash };
    let value = Some(encode_table_entry(&row, framing));
    TableRecord { key: table_key(namespace, key), value, headers: Vec::new() }
}

/// The deletion of a row that is not in the state at a revision.
pub(super) fn of_extra(key: Bytes, revision: u64) -> TableRecord {
    let headers = vec![
        ("revision", text(revision)),
        ("actor", text("headwater")),
        ("reason", text("not in the state at this revision")),
    ];
    TableRecord { key, value: None, headers }
}

/// Where a state stands.
pub(super) fn checkpoint_of(view: &View) -> Checkpoint {
    let (head, totals) = (view.head(), view.totals());
    Checkpoint {
        stream_id: head.stream_id,
        revision: head.revision,
        hash: head.hash,
        at_ms: head.at_ms,
        position: view.position(),
        digest: totals.digest(),
        entries: totals.entries(),
    }
}

/// A checkpoint's record.
pub(super) fn checkpoint_record(checkpoint: &Checkpoint, framing: Framing) -> TableRecord {
    TableRecord {
        key: Bytes::from_static(CHECKPOINT_KEY.as_bytes()),
        value: Some(encode_checkpoint(checkpoint, framing)),
        headers: Vec::new(),
    }
}

fn text(value: impl ToString) -> Bytes {
    value.to_string().into()
}
