//! The way to the committer: bounded in records and in bytes, and never waited for.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_log::Appended;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::EmbeddedSettings;
use crate::shared::Shared;

/// One append on its way.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) records: Vec<Bytes>,
    pub(crate) bytes: usize,
    pub(crate) since: Instant,
    pub(crate) reply: oneshot::Sender<Vec<Appended>>,
    /// Its part of the queue's bounds, given back when it is decided.
    _room: [OwnedSemaphorePermit; 2],
}

impl Handover {
    /// Answers the same for each of its records. Whoever no longer listens needs no answer.
    pub(crate) fn answer(self, how: &Appended) {
        let _ = self.reply.send(vec![how.clone(); self.records.len()]);
    }
}

/// What the committer is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Commit this.
    Append(Handover),
    /// Commit what came before, then end.
    Close,
}

/// The sending end of the queue.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::Sender<Message>,
    room_records: Arc<Semaphore>,
    room_bytes: Arc<Semaphore>,
    max_record_bytes: usize,
    shared: Arc<Shared>,
}

impl Queue {
    pub(crate) fn new(
        settings: &EmbeddedSettings,
        shared: Arc<Shared>,
    ) -> (Self, mpsc::Receiver<Message>) {
        let bound = |limit: usize| limit.clamp(1, Semaphore::MAX_PERMITS);
        let records = bound(settings.queue_records);
        let (sender, inbox) = mpsc::channel(records);
        let queue = Self {
            sender,
            room_records: Arc::new(Semaphore::new(records)),
            room_bytes: Arc::new(Semaphore::new(bound(settings.queue_bytes))),
            max_record_bytes: settings.max_record_bytes,
            shared,
        };
        (queue, inbox)
    }

    /// Tells the committer to end once everything before is decided.
    pub(crate) async fn close(&self) {
        // Fails only when the committer has ended already.
        let _ = self.sender.send(Message::Close).await;
    }

    /// The same without waiting: a full queue keeps the committer awake, and it looks by itself.
    pub(crate) fn close_soon(&self) {
        let _ = self.sender.try_send(Message::Close);
    }

    /// As [`headwater_log::LogWriter::append`].
    pub(crate) fn append(&self, records: Vec<Bytes>) -> BoxFuture<'static, Vec<Appended>> {
        let count = records.len();
        match self.hand_over(records) {
            Ok(answer) => answer
                .map(move |answer| {
                    answer.unwrap_or_else(|_| {
                        vec![Appended::Ambiguous("the committer died".into()); count]
                    })
                })
                .boxed(),
            Err(why) => std::future::ready(vec![Appended::Refused(why); count]).boxed(),
        }
    }

    fn hand_over(&self, records: Vec<Bytes>) -> Result<oneshot::Receiver<Vec<Appended>>, String> {
        self.shared.writable()?;
        let largest = records.iter().map(Bytes::len).max().unwrap_or_default();
        if largest > self.max_record_bytes {
            let limit = self.max_record_bytes;
            return Err(format!("a record of {largest} bytes; the log takes at most {limit}"));
        }
        let bytes = records.iter().map(Bytes::len).sum();
        let room = [
            room(&self.room_records, records.len(), "records")?,
            room(&self.room_bytes, bytes, "bytes")?,
        ];
        let (reply, answer) = oneshot::channel();
        let handover = Handover { records, bytes, since: Instant::now(), reply, _room: room };
        match self.sender.try_send(Message::Append(handover)) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(full("appends")),
            Err(mpsc::error::TrySendError::Closed(_)) => Err("the log is closed".into()),
        }
    }
}

fn room(of: &Arc<Semaphore>, count: usize, unit: &str) -> Result<OwnedSemaphorePermit, String> {
    let count = u32::try_from(count).map_err(|_| full(unit))?;
    Arc::clone(of).try_acquire_many_owned(count).map_err(|_| full(unit))
}

fn full(unit: &str) -> String {
    format!(
        "queue full: the disk does not keep up with the {unit} that wait for it; try again later"
    )
}
