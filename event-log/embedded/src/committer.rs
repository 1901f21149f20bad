//! Group commit: everything that waits becomes one synced batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_log::Appended;
use headwater_schemas::{Position, Record};
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::sync::mpsc;

use crate::queue::{Handover, Message};
use crate::shared::Shared;
use crate::{metrics, stored};

/// A group stops growing here, in bytes: a batch is held in memory several times over.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// The one that writes.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) db: Arc<DB>,
    pub(crate) inbox: mpsc::Receiver<Message>,
    /// The position of the next record.
    pub(crate) next: u64,
    /// When the last one was appended; the log's time never goes back.
    pub(crate) last_ms: i64,
}

impl Committer {
    /// Commits until it is told to close. Blocks: a thread of its own.
    pub(crate) fn run(mut self) {
        while let Some(message) = self.inbox.blocking_recv() {
            let (group, closing) = self.gather(message);
            self.commit(group);
            let abandoned = self.shared.closing.load(Ordering::Relaxed);
            if closing || (abandoned && self.inbox.is_empty()) {
                break;
            }
        }
        self.inbox.close();
        while let Some(message) = self.inbox.blocking_recv() {
            if let Message::Append(handover) = message {
                handover.answer(&Appended::Refused("the log is closed".into()));
            }
        }
    }

    /// All that waits now, and whether to end after it.
    fn gather(&mut self, first: Message) -> (Vec<Handover>, bool) {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut message = Some(first);
        while let Some(Message::Append(handover)) = message {
            bytes += handover.bytes;
            group.push(handover);
            if bytes >= GROUP_BYTES {
                return (group, false);
            }
            message = self.inbox.try_recv().ok();
        }
        (group, message.is_some())
    }

    fn commit(&mut self, group: Vec<Handover>) {
        if let Err(why) = self.shared.writable() {
            return answer(group, &Appended::Refused(why));
        }
        let (batch, records) = self.batch(&group);
        if !records.is_empty()
            && let Err(error) = self.db.write_opt(batch, &synced())
        {
            let why = format!("the disk failed: {error}");
            self.shared.fail_writes(&format!(
                "{why}; mend it and start headwater again: until then the log is only read"
            ));
            return answer(group, &Appended::Ambiguous(why));
        }
        let bytes = group.iter().map(|handover| handover.bytes).sum();
        metrics::committed(records.len(), bytes);
        let first = self.next;
        self.next += records.len() as u64;
        // Readers first: a write is acknowledged when its own replica has read it back.
        self.shared.publish(records, self.next);
        acknowledge(group, first);
    }

    fn batch(&mut self, group: &[Handover]) -> (WriteBatch, Vec<Record>) {
        self.last_ms = self.last_ms.max(now_ms());
        let appended_at_ms = self.last_ms;
        let all = group.iter().flat_map(|handover| &handover.records);
        let records: Vec<Record> = (self.next..)
            .zip(all)
            .map(|(at, bytes)| Record {
                position: Position(at),
                appended_at_ms,
                bytes: bytes.clone(),
            })
            .collect();
        let mut batch = WriteBatch::default();
        for record in &records {
            let at = record.position.0;
            batch.put(stored::key(at), stored::encode(at, appended_at_ms, &record.bytes));
        }
        (batch, records)
    }
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn answer(group: Vec<Handover>, how: &Appended) {
    for handover in group {
        handover.answer(how);
    }
}

fn acknowledge(group: Vec<Handover>, mut next: u64) {
    for handover in group {
        let end = next + handover.records.len() as u64;
        let positions = (next..end).map(|at| Appended::InLog(Position(at))).collect();
        next = end;
        metrics::appended(handover.since.elapsed());
        // Whoever no longer listens needs no answer.
        let _ = handover.reply.send(positions);
    }
}

/// The system's clock, milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
