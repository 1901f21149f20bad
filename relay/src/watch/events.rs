//! A watch as server-sent events.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use headwater_api::{Event, HeartbeatBody, Problem};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::cursor::{Cursor, Next};
use super::matched::Matched;
use crate::metrics;

/// One client's events.
pub(super) struct Session {
    cursor: Cursor,
    heartbeat: Interval,
    /// Whether the heartbeat that begins every watch was sent.
    greeted: bool,
    /// The commit that is being written.
    writing: Option<Matched>,
    /// Whether the client has the beginning of an event and not its end.
    is_amid: bool,
    /// Whether the last event was sent.
    ended: bool,
}

/// What one look for commits gave.
enum Look {
    Text(String),
    Silent,
    Idle,
}

impl Session {
    pub(super) fn new(cursor: Cursor) -> Self {
        let every = Duration::from_millis(cursor.desk().relay.settings.heartbeat_ms.max(1));
        let mut heartbeat = tokio::time::interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { cursor, heartbeat, greeted: false, writing: None, is_amid: false, ended: false }
    }

    /// The events, as the client takes them.
    pub(super) fn events(self) -> impl Stream<Item = io::Result<Bytes>> {
        futures::stream::unfold(self, |mut session| async move {
            let text = session.next().await?;
            if let Ok(text) = &text {
                metrics::watch_sent(text.len());
            }
            Some((text.map(Bytes::from), session))
        })
    }

    /// What comes next; none after the end.
    async fn next(&mut self) -> Option<io::Result<String>> {
        if self.ended {
            return None;
        }
        let problem = match self.step().await {
            Ok(text) => {
                self.is_amid = self.writing.is_some();
                return Some(Ok(text));
            }
            Err(problem) => problem,
        };
        self.ended = true;
        metrics::watch_ended(problem.code);
        if self.is_amid {
            // Half an event counts for nothing, and nothing can be said within it: the connection breaks off.
            return Some(Err(io::Error::other(problem)));
        }
        let mut end = String::new();
        Event::write(&mut end, "end", None, &problem.to_json());
        Some(Ok(end))
    }

    async fn step(&mut self) -> Result<String, Problem> {
        loop {
            self.cursor.check()?;
            // Not by the timer: that rounds up to its next millisecond, and commits would go first.
            if !std::mem::replace(&mut self.greeted, true) {
                return self.beat();
            }
            // A due heartbeat goes first, or a busy watch would never have one.
            if self.writing.is_none() && self.is_due().await {
                return self.beat();
            }
            match self.look().await? {
                Look::Text(text) => return Ok(text),
                Look::Silent => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Look::Idle => {}
            }
            tokio::select! {
                biased;
                changed = self.cursor.changed() => changed?,
                _ = self.heartbeat.tick() => return self.beat(),
            }
        }
    }

    async fn is_due(&mut self) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(self.heartbeat.poll_tick(cx).is_ready()))
            .await
    }

    /// Writes about as much as one send takes.
    async fn look(&mut self) -> Result<Look, Problem> {
        let enough = self.cursor.desk().relay.settings.send_bytes;
        let mut out = String::new();
        loop {
            self.write(&mut out, enough).await?;
            // What is written does not wait for what is still to be read.
            let is_all = out.len() >= enough || self.cursor.is_drained();
            if self.writing.is_some() || (is_all && !out.is_empty()) {
                return Ok(Look::Text(out));
            }
            match self.cursor.next().await {
                Ok(Next::Commit(matched)) => {
                    Event::begin(&mut out, "commit", Some(matched.revision()));
                    self.writing = Some(matched);
                }
                // Whatever is wrong is wrong at the next look, too.
                _ if !out.is_empty() => return Ok(Look::Text(out)),
                Ok(Next::Silent) => return Ok(Look::Silent),
                Ok(Next::Idle) => return Ok(Look::Idle),
                Err(problem) => return Err(problem),
            }
        }
    }

    /// Writes on at the commit begun, until it is whole or that was enough.
    async fn write(&mut self, out: &mut String, enough: usize) -> Result<(), Problem> {
        let (desk, values) = (self.cursor.desk().clone(), self.cursor.values());
        while let Some(matched) = &mut self.writing
            && out.len() < enough
        {
            match matched.piece(&desk, values).await? {
                Some(piece) => Event::push(out, &piece),
                None => {
                    Event::finish(out);
                    self.writing = None;
                }
            }
        }
        Ok(())
    }

    /// The head, as this server knows it, and how far this client is.
    fn beat(&self) -> Result<String, Problem> {
        let view = self.cursor.desk().view()?;
        let head = view.head();
        let digest = self.cursor.filter().digest(view.totals());
        let body = HeartbeatBody { revision: head.revision, hash: head.hash, digest };
        // Numbers and hex always serialise.
        let json = serde_json::to_string(&body).unwrap_or_default();
        let mut out = String::new();
        Event::write(&mut out, "heartbeat", Some(self.cursor.taken()), &json);
        Ok(out)
    }
}
