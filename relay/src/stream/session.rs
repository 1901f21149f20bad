//! One client's stream: a cursor into the replica's tail. It has no queue and no task of its own; it is asked for
//! more only when the client took what it was given, so what a slow client costs is bounded by the tail.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use headwater_api::{Code, Frame, Problem};
use headwater_replica::{Applied, Phase, Progress, TailRead};
use headwater_schemas::{Hash, SCHEMAS_NAMESPACE, commit_fingerprint, encode_commit};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::Subscription;
use super::frames::whole;
use crate::metrics::{self, OpenStream};
use crate::relay::Desk;

/// Where a client is.
pub(crate) struct Session {
    desk: Arc<Desk>,
    subscription: Option<Subscription>,
    progress: watch::Receiver<Progress>,
    heartbeat: Interval,
    /// Whether the heartbeat that begins every stream was sent.
    greeted: bool,
    /// The last revision sent, and the chain hash there if it is known.
    sent: u64,
    hash: Option<Hash>,
    /// The era in which the stream began: in a later one this server is on another chain.
    era: u64,
    /// Whether the last frame was sent.
    ended: bool,
    _open: OpenStream,
}

impl Session {
    pub(crate) fn new(
        desk: Arc<Desk>,
        subscription: Option<Subscription>,
        sent: u64,
        hash: Option<Hash>,
    ) -> Self {
        let every = Duration::from_millis(desk.relay.settings.heartbeat_ms.max(1));
        let mut heartbeat = tokio::time::interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let progress = desk.relay.replica.progress();
        let era = progress.borrow().era;
        Self {
            desk,
            subscription,
            progress,
            heartbeat,
            greeted: false,
            sent,
            hash,
            era,
            ended: false,
            _open: OpenStream::new(),
        }
    }

    /// The frames, as the client takes them.
    pub(crate) fn frames(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures::stream::unfold(self, |mut session| async move {
            let bytes = session.next().await?;
            metrics::sent(bytes.len());
            Some((Ok(bytes), session))
        })
    }

    /// What comes next; none after the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        match self.wait().await {
            Ok(bytes) => Some(bytes),
            Err(problem) => {
                self.ended = true;
                metrics::ended(problem.code);
                Some(Frame::End { problem }.to_bytes())
            }
        }
    }

    async fn wait(&mut self) -> Result<Bytes, Problem> {
        let shutdown = self.desk.relay.shutdown.clone();
        loop {
            // Before the tail is read: what is pushed in between wakes us again.
            let Progress { phase, era, .. } = *self.progress.borrow_and_update();
            if phase == Phase::Closed || shutdown.is_cancelled() {
                return Err(Problem::shutting_down());
            }
            if era != self.era {
                return Err(self.desk.wrong_chain(self.sent, true));
            }
            // Not by the timer: that rounds up to its next millisecond, and commits would go first.
            if !std::mem::replace(&mut self.greeted, true) {
                return self.beat();
            }
            // A due heartbeat goes first, or a busy stream would never have one.
            let beat = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(self.heartbeat.poll_tick(cx).is_ready())
            });
            if beat.await {
                return self.beat();
            }
            if let Some(bytes) = self.read()? {
                return Ok(bytes);
            }
            tokio::select! {
                biased;
                changed = self.progress.changed() => {
                    changed.map_err(|_| Problem::shutting_down())?;
                }
                () = shutdown.cancelled() => {}
                _ = self.heartbeat.tick() => return self.beat(),
            }
        }
    }

    /// The head, as this server knows it.
    fn beat(&self) -> Result<Bytes, Problem> {
        let view = self.desk.view()?;
        let totals = view.totals();
        let digest = self.subscription.as_ref().map_or(totals.digest(), |some| some.digest(totals));
        let head = view.head();
        let frame = Frame::Heartbeat {
            stream_id: head.stream_id,
            revision: head.revision,
            hash: head.hash,
            digest,
            position: view.position(),
        };
        Ok(frame.to_bytes())
    }

    /// What the tail has after what was sent.
    fn read(&mut self) -> Result<Option<Bytes>, Problem> {
        let tail = self.desk.relay.replica.tail();
        match tail.after(self.sent, self.desk.relay.settings.send_bytes) {
            TailRead::Items(items) => self.encode(&items),
            TailRead::Behind { oldest } => {
                self.desk.want_image();
                let behind = Problem::revision_compacted(self.sent, oldest);
                let detail = format!("this client was too slow: {}", behind.detail);
                Err(Problem { detail, ..behind })
            }
        }
    }

    fn encode(&mut self, items: &[Arc<Applied>]) -> Result<Option<Bytes>, Problem> {
        if let [one] = items
            && self.subscription.is_none()
        {
            self.follow(one)?;
            return Ok(Some(self.desk.frames.commit(one)));
        }
        let mut out = BytesMut::new();
        let mut silent = None;
        for item in items {
            let previous = self.sent;
            match &self.subscription {
                Some(subscription) if !subscription.is_touched_by(&item.commit) => {
                    // Several silent commits are one frame, and none at all when another one follows.
                    silent.get_or_insert(previous);
                    self.follow(item)?;
                }
                Some(subscription) => {
                    self.check_readable(item)?;
                    let commit = encode_commit(&subscription.filter(&item.commit, &item.totals));
                    let previous = silent.take().unwrap_or(previous);
                    let (hash, position) = (item.head.hash, item.position);
                    self.follow(item)?;
                    Frame::Filtered { previous, hash, position, commit }.encode(&mut out);
                }
                None => {
                    self.follow(item)?;
                    whole(item).encode(&mut out);
                }
            }
        }
        if let (Some(previous), Some(last), Some(some)) = (silent, items.last(), &self.subscription)
        {
            let (revision, hash) = (last.head.revision, last.head.hash);
            let (digest, position) = (some.digest(&last.totals), last.position);
            Frame::Progress { previous, revision, hash, digest, position }.encode(&mut out);
        }
        Ok((!out.is_empty()).then(|| out.freeze()))
    }

    /// What is filtered is written anew in this build's schema, and clients read by the schemas that the stream has
    /// carried to them.
    fn check_readable(&self, item: &Applied) -> Result<(), Problem> {
        let schema = commit_fingerprint();
        let view = self.desk.view()?;
        let carried = view.get(SCHEMAS_NAMESPACE, schema.key().as_str());
        if carried.is_some_and(|entry| entry.create_revision < item.head.revision) {
            return Ok(());
        }
        Err(Problem::not_ready(&format!(
            "the stream did not carry this server's commit schema, {schema}, before revision {}: clients could not \
             read filtered commits; follow without namespaces, or use a server of the build that founded the stream",
            item.head.revision
        )))
    }

    /// Moves on to a commit that must follow what was sent: the replica may have begun anew meanwhile.
    fn follow(&mut self, item: &Applied) -> Result<(), Problem> {
        if item.previous != self.sent || self.hash.is_some_and(|hash| hash != item.commit.parent) {
            return Err(self.desk.wrong_chain(self.sent, false));
        }
        if item.record.is_empty() {
            return Err(Problem::new(
                Code::NotReady,
                "this server holds some namespaces only and cannot stream; use a relay that follows the log",
            ));
        }
        self.sent = item.head.revision;
        self.hash = Some(item.head.hash);
        Ok(())
    }
}
