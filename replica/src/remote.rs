//! Following a relay: an image where there is no state, then its stream of frames.

use std::time::Duration;

use headwater_api::{Code, Frame};
use headwater_client::{Backoff, Client, ClientError, FrameStream};
use headwater_schemas::{Digest, Hash, Head, Position, Record};

use crate::core::{Core, Refusal, Taken};
use crate::{AlarmKind, Phase, bootstrap};

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
    /// It serves another stream, another chain, or only states older than ours.
    #[error("{0}")]
    WrongSource(String),
    /// Its image cannot be used.
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
            Ended::Refused(refusal) => {
                core.alarm(AlarmKind::Undecodable, refusal.to_string()).await
            }
            Ended::Mismatch(_) => {
                // The state or the stream is wrong: take a whole state that is not older, from wherever.
                if let Err(error) = bootstrap::from_relay(core, relay).await {
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

async fn session(core: &mut Core, relay: &Client) -> Result<std::convert::Infallible, Ended> {
    if core.view().is_none() {
        bootstrap::from_relay(core, relay).await?;
    }
    let mut stream = match open(core, relay).await {
        Err(Ended::Client(ClientError::Problem(problem)))
            if problem.code == Code::RevisionCompacted =>
        {
            bootstrap::from_relay(core, relay).await?;
            open(core, relay).await?
        }
        other => other?,
    };
    core.mended(&[AlarmKind::WrongSource]).await;
    let mut target = None;
    loop {
        let frame = tokio::select! {
            biased;
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
            if core.record(&record).await.map_err(mismatch)? == Taken::Ignored {
                return Err(Ended::Mismatch(
                    "the relay sent a record that does not continue our chain".into(),
                ));
            }
            core.publish(Some(position.next()));
        }
        Frame::Filtered { previous, hash, position, commit } => {
            follows(core, previous)?;
            let commit =
                core.decode(&commit).map_err(|error| Ended::Mismatch(error.to_string()))?;
            core.filtered(commit, hash, position).await.map_err(mismatch)?;
            core.publish(Some(position.next()));
        }
        Frame::Progress { previous, revision, hash, digest, position } => {
            follows(core, previous)?;
            advance(core, revision, hash, digest, position).await?;
        }
        Frame::Heartbeat { stream_id, revision, hash, .. } => {
            heartbeat(core, stream_id, revision, hash, target)?
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

fn mismatch(refusal: Refusal) -> Ended {
    match refusal {
        Refusal::Diverged(divergence) => Ended::Mismatch(divergence.to_string()),
        stop @ Refusal::Stop(_) => Ended::Refused(stop),
    }
}

fn follows(core: &Core, previous: u64) -> Result<(), Ended> {
    let ours = core.head().map_or(0, |head| head.revision);
    if previous == ours {
        return Ok(());
    }
    Err(Ended::Mismatch(format!("the relay went on from revision {previous}, we are at {ours}")))
}

async fn advance(
    core: &mut Core,
    revision: u64,
    hash: Hash,
    digest: Digest,
    position: Position,
) -> Result<(), Ended> {
    let Some(view) = core.view() else { return Ok(()) };
    if view.totals().digest() != digest {
        return Err(Ended::Mismatch(format!(
            "at revision {revision} the relay holds digest {digest} of our namespaces, we hold {}",
            view.totals().digest()
        )));
    }
    let head = Head { revision, hash, ..*view.head() };
    core.advance(head, position).await;
    core.publish(Some(position.next()));
    Ok(())
}

fn heartbeat(
    core: &Core,
    stream_id: headwater_schemas::StreamId,
    revision: u64,
    hash: Hash,
    target: &mut Option<u64>,
) -> Result<(), Ended> {
    let Some(head) = core.head() else { return Ok(()) };
    if stream_id != head.stream_id {
        return Err(Ended::WrongSource(format!(
            "the relay serves stream {stream_id}, we follow {}",
            head.stream_id
        )));
    }
    if revision == head.revision && hash != head.hash {
        return Err(Ended::WrongSource(format!(
            "at revision {revision} the relay's chain has hash {hash}, ours {}",
            head.hash
        )));
    }
    core.heard_of(revision);
    target.get_or_insert(revision);
    Ok(())
}
