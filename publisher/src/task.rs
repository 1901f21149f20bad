//! The one writer: a task that owns everything about writing.
//!
//! ```text
//!  inbox ─▶ waiting ─▶ evaluate at the tip ─▶ append (a group at a time) ─▶ pending ─▶ read back ─▶ answer
//!              ▲               │ refused                                      │ dead
//!              │               ▼                                              │
//!              ├────────── parked until that state, and the log's end,        │
//!              │           were read back ─▶ answer                           │
//!              └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! This file waits and dispatches; what is done with what happened stands in `seen` (what the replica read),
//! `done` (what was asked of the log) and `launch` (what is sent to it).

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use headwater_log::{Appended, Log, LogReader, LogWriter, ReadError};
use headwater_replica::{Alarm, Replica, Seen};
use headwater_schemas::{CommitId, Hash, Position};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::barrier::Resolver;
use crate::deletions::Deletions;
use crate::idempotency::{Index, Remembered};
use crate::job::Job;
use crate::marker::Markers;
use crate::ours::Ours;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::skew::Skew;
use crate::speculative::Speculative;
use crate::turn::Turn;
use crate::writer::{Arrival, Clock, Message, Parts, Shared};

/// How much of what the replica saw is taken in one go.
const SEEN_AT_ONCE: usize = 512;

/// Something that was asked of the log has ended.
pub(crate) enum Done {
    /// A group of commits, by their hashes.
    Appended { hashes: Vec<Hash>, began: Instant, outcomes: Vec<Appended> },
    /// The way to the log is fresh.
    Renewed,
    /// The barriers of one attempt.
    Probed { generation: u64, outcomes: Vec<Appended> },
    /// A marker.
    Marked { nonce: u128, outcomes: Vec<Appended> },
    /// The log's end, as of a question with this number.
    End { asked: u64, reader: Option<Box<dyn LogReader>>, end: Result<Position, ReadError> },
    /// A marker that was handed over at this time was stamped by the log.
    Compared { handed_at: Instant, appended_at_ms: Result<i64, String> },
    /// The idempotency window, as of this state.
    Recalled { epoch: u64, keyed: Option<Vec<Remembered>> },
}

/// A refusal that waits until what it rests on was read back, or a dry run that waits for a state.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) job: Job,
    /// The revision it was evaluated at.
    pub(crate) prefix: u64,
}

/// How the log's end is asked: one question at a time.
#[derive(Default)]
pub(crate) struct Ender {
    pub(crate) reader: Option<Box<dyn LogReader>>,
    pub(crate) asked: u64,
    pub(crate) busy: bool,
    pub(crate) retry_at: Option<Instant>,
}

/// The writer. Run it as one task.
pub struct WriterTask {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) sink: Arc<dyn LogWriter>,
    pub(crate) replica: Replica,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
    seen: mpsc::Receiver<Seen>,
    pub(crate) inbox: mpsc::Receiver<Message>,
    pub(crate) work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// The state and what is ahead of it; none before the first.
    pub(crate) line: Option<Speculative>,
    /// By order of arrival: also what died goes back to its place.
    pub(crate) waiting: BTreeMap<u64, Job>,
    pub(crate) parked: Vec<Parked>,
    /// Idempotency keys of requests under way.
    pub(crate) keys_in_use: HashSet<String>,
    pub(crate) index: Index,
    pub(crate) index_ready: bool,
    pub(crate) recalling: bool,
    /// Counts the states that did not come commit by commit.
    pub(crate) epoch: u64,
    pub(crate) deletions: Deletions,
    pub(crate) resolver: Resolver,
    pub(crate) markers: Markers,
    pub(crate) ender: Ender,
    pub(crate) ours: Ours,
    pub(crate) skew: Skew,
    /// Whether the clocks are being compared, and when at the earliest they are again.
    pub(crate) comparing: bool,
    pub(crate) compare_at: Option<Instant>,
    /// Why the last comparison came to nothing.
    pub(crate) not_compared: Option<String>,
    pub(crate) alarm: Option<Alarm>,
    pub(crate) caught_up: bool,
    pub(crate) schema_known: bool,
    /// Nothing is appended before this.
    pub(crate) hold_until: Option<Instant>,
    pub(crate) turn: Turn,
    /// Everything before this position was read.
    pub(crate) read_to: Position,
    /// Counts what was handed to the log.
    pub(crate) handovers: u64,
    next_seq: u64,
    pub(crate) drain_by: Option<Instant>,
}

impl fmt::Debug for WriterTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterTask")
            .field("log", &self.log)
            .field("waiting", &self.waiting.len())
            .field("pending", &self.line.as_ref().map_or(0, Speculative::len))
            .field("parked", &self.parked.len())
            .finish_non_exhaustive()
    }
}

impl WriterTask {
    pub(crate) fn new(
        parts: Parts,
        sink: Arc<dyn LogWriter>,
        inbox: mpsc::Receiver<Message>,
        shared: Arc<Shared>,
    ) -> Self {
        let Settings { idempotency_window_ms, idempotency_keys, idempotency_bytes, .. } =
            parts.settings;
        Self {
            log: parts.log,
            sink,
            replica: parts.replica,
            clock: parts.clock,
            seen: parts.seen,
            inbox,
            work: FuturesUnordered::new(),
            line: None,
            waiting: BTreeMap::new(),
            parked: Vec::new(),
            keys_in_use: HashSet::new(),
            index: Index::new(idempotency_window_ms, idempotency_keys, idempotency_bytes),
            index_ready: false,
            recalling: false,
            epoch: 0,
            deletions: Deletions::new(0, parts.settings.remembered_deletions),
            resolver: Resolver::new(),
            markers: Markers::default(),
            ender: Ender::default(),
            ours: Ours::default(),
            skew: Skew::default(),
            comparing: false,
            compare_at: None,
            not_compared: None,
            alarm: None,
            caught_up: false,
            schema_known: false,
            hold_until: None,
            turn: Turn::default(),
            read_to: Position::default(),
            handovers: 0,
            next_seq: 0,
            drain_by: None,
            shared,
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Writes until `stop` is cancelled, then finishes what is under way within `drain_ms`; whatever is still
    /// open then is answered: not written, or unknown.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut seen = Vec::with_capacity(SEEN_AT_ONCE);
        loop {
            self.drain_inbox();
            let now = Instant::now();
            self.expire(now);
            self.launch(now);
            if self.is_finished(now) {
                break;
            }
            let wake = self.next_wake(now);
            tokio::select! {
                biased;
                count = self.seen.recv_many(&mut seen, SEEN_AT_ONCE) => {
                    if count == 0 {
                        // The replica is gone: nothing will ever be read back.
                        break;
                    }
                    let now = Instant::now();
                    seen.drain(..).for_each(|seen| self.saw(seen, now));
                }
                Some(done) = self.work.next(), if !self.work.is_empty() => self.done(done, Instant::now()),
                message = self.inbox.recv(), if !self.inbox.is_closed() || !self.inbox.is_empty() => match message {
                    Some(message) => self.take(message),
                    None => self.begin_drain(),
                },
                () = stop.cancelled(), if self.drain_by.is_none() => self.begin_drain(),
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        self.close();
    }

    /// Takes what is there, so that a group is one append.
    pub(crate) fn drain_inbox(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
        if self.inbox.is_closed() {
            // Nobody is left who could send anything.
            self.begin_drain();
        }
    }

    fn take(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Write(arrival) => self.arrive(*arrival, now),
            Message::Linearize(waiter) => match self.unreadable() {
                Some(refusal) => {
                    let _ = waiter.send(Err(refusal));
                }
                None if self.markers.len() >= self.settings().max_requests => {
                    let _ =
                        waiter.send(Err(Refusal::Overloaded("too many linearizable reads wait")));
                }
                None => self.markers.wait(
                    self.handovers,
                    now + self.settings().linearize_timeout(),
                    waiter,
                ),
            },
        }
    }

    fn arrive(&mut self, arrival: Arrival, now: Instant) {
        self.next_seq += 1;
        let mut job = Job {
            seq: self.next_seq,
            write: arrival.write,
            past: arrival.past,
            before: arrival.before,
            commit_id: self.new_id(),
            tries: 0,
            arrived: now,
            ends_asked: self.ender.asked,
            end: None,
            waiter: Some(arrival.waiter),
            _permits: arrival.permits,
        };
        match self.at_the_door(&job, now) {
            Some(result) => job.answer(result),
            None => {
                self.keys_in_use.extend(job.key().map(str::to_owned));
                self.waiting.insert(job.seq, job);
            }
        }
    }

    fn new_id(&self) -> CommitId {
        let now_ms = u64::try_from((self.clock)()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid()
    }
}
