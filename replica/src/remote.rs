//! Following a relay: an image where there is no state, then its stream of frames.

use std::sync::Arc;
use std::time::Duration;

use headwater_api::{Code, Frame, Succession};
use headwater_client::{Backoff, Client, ClientError, FrameStream};
use headwater_image::Manifest;
use headwater_image_store::{Store, StoreError};
use headwater_schemas::{DecodeError, Digest, Frozen, Hash, Head, Position, Record, StreamId};

use crate::bootstrap::Against;
use crate::core::{Core, Refusal, Taken};
use crate::follow::stopped;
use crate::{AlarmKind, Phase, Source, Stop, View, bootstrap, measure};

/// The pause before the next try: full jitter between nothing and this, doubling from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Why a session with a relay ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// It cannot be reached, refuses, or went away.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It ended the stream and said why.
    #[error("the relay ended the stream: {0}")]
    End(String),
    /// What it sent does not continue our chain or does not add up.
    #[error("{0}")]
    Mismatch(String),
    /// It serves another stream or another chain.
    #[error("{0}")]
    WrongSource(String),
    /// It serves another chain, to which an operator's word leads from where we have been.
    #[error("the relay's chain goes on from revision {}, where an operator led the stream", .0.from.revision)]
    LedOn(Succession),
    /// The newest image of a place is too old to help.
    #[error("the newest image is of revision {image}, and {at_least} or later is needed")]
    NoNewer {
        /// The revision of its newest image.
        image: u64,
        /// What is needed.
        at_least: u64,
    },
    /// A place announces no image.
    #[error("no image there yet")]
    NoImage,
    /// A place of images cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image cannot be used.
    #[error("image: {0}")]
    Image(String),
    /// A commit it sent cannot be applied by this build.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Ended {
    /// What happened, and at which relay, named once.
    fn at(&self, relay: &Client) -> String {
        match self {
            Self::Client(
                named @ (ClientError::Transport { .. }
                | ClientError::Timeout { .. }
                | ClientError::Decode { .. }),
            ) => named.to_string(),
            Self::Store(named) => named.to_string(),
            other => format!("{}: {other}", relay.url()),
        }
    }
}

/// Follows one relay at a time for ever, the next one when one fails.
pub(crate) async fn follow(core: &mut Core, relays: &[Client]) {
    let mut backoff = Backoff::new(rand::random(), RETRY.0, RETRY.1);
    for relay in relays.iter().cycle() {
        let before = core.head();
        let Err(ended) = session(core, relay).await;
        if core.view().is_some() {
            core.phase(Phase::Stale);
        }
        core.error(ended.at(relay));
        match &ended {
            Ended::WrongSource(detail) => core.alarm(AlarmKind::WrongSource, detail.clone()).await,
            Ended::Refused(Refusal::Stop(stop)) => {
                core.alarm(AlarmKind::Undecodable, stop.to_string()).await
            }
            Ended::Refused(Refusal::Diverged(divergence)) => match anew(core, relay).await {
                // There is nothing better than what we have: should the commit diverge again, its writer was wrong.
                Ok(()) | Err(Ended::NoNewer { .. }) => {
                    core.rebuilt(divergence, None);
                }
                Err(error) => core.error(error.at(relay)),
            },
            Ended::Mismatch(_) => {
                if let Err(error) = anew(core, relay).await {
                    core.error(error.at(relay));
                }
            }
            Ended::LedOn(succession) => {
                if let Err(error) = succeed(core, relay, *succession).await {
                    core.error(error.at(relay));
                }
            }
            _ => {}
        }
        if core.head() != before {
            backoff = Backoff::new(rand::random(), RETRY.0, RETRY.1);
        }
        tokio::time::sleep(backoff.next().unwrap_or(RETRY.1)).await;
    }
}

/// The state or the stream is wrong: takes a whole state that is not older.
async fn anew(core: &mut Core, relay: &Client) -> Result<(), Ended> {
    let at_least = core.head().map_or(0, |head| head.revision);
    bootstrap::from_image(core, Against::Relay(relay), at_least).await
}

/// Takes the state of the chain to which an operator led the stream: an image of it, which the relay itself goes on from.
async fn succeed(core: &mut Core, relay: &Client, succession: Succession) -> Result<(), Ended> {
    let manifest: Manifest = relay.image_manifest().await?;
    manifest.check().map_err(|error| Ended::Image(error.to_string()))?;
    let (image, at_least) = (manifest.revision, succession.since);
    // An image of the chain that was left would lead back on it.
    let led =
        manifest.succession.is_some_and(|it| it.since == at_least && it.from == succession.from);
    if image < at_least || !led {
        return Err(Ended::NoNewer { image, at_least });
    }
    relay.stream(image, manifest.hash, core.settings.namespaces.as_deref()).await?;
    let (mapped, _) =
        bootstrap::download(&Store::relay(relay.clone()), manifest, &core.settings).await?;
    let view = View::of_image(Arc::new(mapped));
    let heads = vec![*view.head()];
    let taken = core.succeed(view, heads, Source::Image).await;
    taken.map_err(|error| Ended::Image(error.to_string()))
}

async fn session(core: &mut Core, relay: &Client) -> Result<std::convert::Infallible, Ended> {
    if core.view().is_none() {
        bootstrap::from_image(core, Against::Relay(relay), 0).await?;
    }
    // What could not be read may be gone: it comes again if it is still there.
    core.unblock();
    let mut stream = match open(core, relay).await {
        Err(Ended::Client(ClientError::Problem(problem)))
            if problem.code == Code::RevisionCompacted =>
        {
            // The image of the revision that was just refused would be refused again.
            let newer = core.head().map_or(0, |head| head.revision + 1);
            bootstrap::from_image(core, Against::Relay(relay), newer).await?;
            open(core, relay).await?
        }
        other => other?,
    };
    core.mended(&[AlarmKind::WrongSource]).await;
    let mut target = None;
    loop {
        // In no order: a stream that always has more must not keep a new base waiting.
        let frame = tokio::select! {
            frame = stream.next() => Some(frame?),
            () = core.rebase_wakes() => None,
        };
        if let Some(frame) = frame {
            take(core, frame, &mut target).await?;
        }
        core.rebase_if_due();
    }
}

async fn open(core: &Core, relay: &Client) -> Result<FrameStream, Ended> {
    let head = core.head().ok_or_else(|| Ended::Mismatch("no state to follow from".into()))?;
    let opened = relay.stream(head.revision, head.hash, core.settings.namespaces.as_deref()).await;
    match opened {
        Err(ClientError::Problem(problem))
            if matches!(problem.code, Code::WrongChain | Code::WrongStream) =>
        {
            // Where we have been tells, or a relay that was at our own place: it runs `accept` for many of us anyway.
            let led = problem.succession().filter(|it| it.known || core.has_been_at(&it.from));
            if let Some(succession) = led {
                return Err(Ended::LedOn(succession));
            }
            Err(Ended::WrongSource(format!(
                "the relay {} does not hold our revision {} ({}): {}",
                relay.url(),
                head.revision,
                head.hash,
                problem.detail
            )))
        }
        other => Ok(other?),
    }
}

/// Takes one frame. `target` is the server's head as its first heartbeat gave it: there the replica is live.
async fn take(core: &mut Core, frame: Frame, target: &mut Option<u64>) -> Result<(), Ended> {
    match frame {
        Frame::Commit { position, appended_at_ms, record } => {
            let record = Record { position, appended_at_ms, bytes: record };
            let taken = match core.record(&record).await {
                // What follows may lead past it.
                Err(Refusal::Stop(stop)) if core.is_blocked() => {
                    stopped(core, &stop).await;
                    return Ok(());
                }
                taken => taken?,
            };
            if taken == Taken::Ignored && core.is_blocked() {
                return Ok(());
            }
            if taken == Taken::Ignored {
                return Err(Ended::Mismatch(
                    "the relay sent a record that does not continue our chain".into(),
                ));
            }
            core.publish(Some(position.next()));
        }
        Frame::Filtered { previous, hash, position, commit } => {
            let commit =
                core.decode(&commit).map_err(|error| undecodable(&commit, previous, error))?;
            follows(core, previous, commit.revision)?;
            of_our_stream(core, commit.stream_id)?;
            core.filtered(commit, hash, position).await.map_err(mismatch)?;
            core.publish(Some(position.next()));
        }
        Frame::Progress { previous, revision, hash, digest, position } => {
            follows(core, previous, revision)?;
            advance(core, revision, hash, digest, position).await?;
        }
        Frame::Heartbeat { stream_id, revision, hash, digest, .. } => {
            of_our_stream(core, stream_id)?;
            heartbeat(core, revision, hash, digest)?;
            target.get_or_insert(revision);
        }
        Frame::End { problem } => return Err(Ended::End(problem.to_string())),
    }
    let revision = core.head().map_or(0, |head| head.revision);
    core.heard_of(revision);
    if target.is_some_and(|target| revision >= target) {
        core.mended(&[AlarmKind::Undecodable]).await;
        core.phase(Phase::Live);
    }
    Ok(())
}

/// No image helps where the schemas of our chain cannot read a frame.
fn undecodable(commit: &[u8], previous: u64, error: DecodeError) -> Ended {
    let revision = Frozen::read(commit).map_or(previous + 1, |frozen| frozen.revision);
    Refusal::from(Stop::Undecodable { revision, error }).into()
}

fn mismatch(refusal: Refusal) -> Ended {
    match refusal {
        Refusal::Diverged(divergence) => Ended::Mismatch(divergence.to_string()),
        stop @ Refusal::Stop(_) => Ended::Refused(stop),
    }
}

fn follows(core: &Core, previous: u64, revision: u64) -> Result<(), Ended> {
    let ours = core.head().map_or(0, |head| head.revision);
    if previous == ours && revision > ours {
        return Ok(());
    }
    Err(Ended::Mismatch(format!(
        "the relay went on from revision {previous} to {revision}, we are at {ours}"
    )))
}

fn of_our_stream(core: &Core, theirs: StreamId) -> Result<(), Ended> {
    match core.head() {
        Some(ours) if ours.stream_id != theirs => Err(Ended::WrongSource(format!(
            "the relay serves stream {theirs}, we follow {}",
            ours.stream_id
        ))),
        _ => Ok(()),
    }
}

async fn advance(
    core: &mut Core,
    revision: u64,
    hash: Hash,
    digest: Digest,
    position: Position,
) -> Result<(), Ended> {
    let Some(view) = core.view() else { return Ok(()) };
    agrees(view, revision, digest)?;
    let head = Head { revision, hash, ..*view.head() };
    core.advance(head, position).await;
    core.publish(Some(position.next()));
    Ok(())
}

fn agrees(view: &View, revision: u64, digest: Digest) -> Result<(), Ended> {
    let ours = view.totals().digest();
    if ours == digest {
        return Ok(());
    }
    measure::unverified(AlarmKind::Divergence);
    Err(Ended::Mismatch(format!(
        "at revision {revision} the relay holds digest {digest} of our namespaces, we hold {ours}"
    )))
}

/// Compares our state with the server's where both are at the same revision.
fn heartbeat(core: &Core, revision: u64, hash: Hash, digest: Digest) -> Result<(), Ended> {
    let Some(view) = core.view() else { return Ok(()) };
    let ours = view.head();
    if revision == ours.revision {
        if hash != ours.hash {
            return Err(Ended::WrongSource(format!(
                "at revision {revision} the relay's chain has hash {hash}, ours {}",
                ours.hash
            )));
        }
        agrees(view, revision, digest)?;
    }
    core.heard_of(revision);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use ::metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };
    use headwater_schemas::{encode_commit, encode_genesis};

    use super::*;
    use crate::tests::view::genesis;
    use crate::{Follow, Replica, Settings};

    #[tokio::test]
    async fn a_frame_that_our_schemas_cannot_read_stops_and_asks_for_no_image() {
        let (_, keeper) = Replica::new(Settings::default(), Follow::Relays(Vec::new()), None);
        let mut core = keeper.core;
        let bytes = encode_genesis(&genesis().0);
        let record = Record { position: Position(0), appended_at_ms: 0, bytes };
        assert!(core.found(&record).await);
        let mut next = genesis().1;
        next.revision = 1;
        let mut commit = encode_commit(&next).to_vec();
        // The schema's fingerprint stands behind the two bytes of the magic.
        commit[2] ^= 1;
        let (hash, position) = (Hash::of(&commit), Position(1));
        let frame = Frame::Filtered { previous: 0, hash, position, commit: commit.into() };
        let ended = take(&mut core, frame, &mut None).await;
        let Err(Ended::Refused(refusal @ Refusal::Stop(Stop::Undecodable { revision: 1, .. }))) =
            ended
        else {
            panic!("{ended:?}")
        };
        assert!(refusal.to_string().contains("does not carry"), "{refusal}");
        assert_eq!(core.head().map(|head| head.revision), Some(0));
    }

    /// Counts what the recorder is told of divergences.
    struct Divergences(Arc<AtomicU64>);

    impl Recorder for Divergences {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            let is_divergence = key.labels().any(|label| label.value() == "divergence");
            if is_divergence { Counter::from_arc(self.0.clone()) } else { Counter::noop() }
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[tokio::test]
    async fn a_heartbeats_digest_is_compared_at_an_equal_revision_only_and_a_difference_is_counted()
    {
        let (_, keeper) = Replica::new(Settings::default(), Follow::Relays(Vec::new()), None);
        let mut core = keeper.core;
        let bytes = encode_genesis(&genesis().0);
        assert!(core.found(&Record { position: Position(0), appended_at_ms: 0, bytes }).await);
        let head = core.head().unwrap();
        let (ours, other) = (core.view().unwrap().totals().digest(), Digest([9; 32]));
        let counted = Arc::new(AtomicU64::new(0));
        let compare = |revision, digest| {
            let recorder = Divergences(counted.clone());
            ::metrics::with_local_recorder(&recorder, || {
                heartbeat(&core, revision, head.hash, digest)
            })
        };
        assert!(compare(head.revision, ours).is_ok());
        assert!(compare(head.revision + 1, other).is_ok(), "there the digest says nothing of ours");
        assert_eq!(counted.load(Ordering::Relaxed), 0);
        assert!(matches!(compare(head.revision, other), Err(Ended::Mismatch(_))));
        assert_eq!(counted.load(Ordering::Relaxed), 1);
    }
}
