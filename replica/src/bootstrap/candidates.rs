//! Which images there are, and in which order they are tried: the newest first, of equals the nearest.

use std::cmp::Reverse;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use headwater_api::{Code, Frame};
use headwater_client::{Client, ClientError};
use headwater_image::Manifest;
use headwater_image_store::{Latest, Store, StoreError};
use headwater_log::{Log, ReadError, Seek};
use headwater_schemas::{Head, Namespace};
use tokio::time::{Instant, timeout_at};

use crate::core::Core;
use crate::follow::is_record_of;
use crate::remote::Ended;

/// How long places may take to say what they announce while none has.
const ASK: Duration = Duration::from_secs(10);
/// How much longer the others may take once one has: a far place that hangs must not keep a near one waiting.
const GRACE: Duration = Duration::from_secs(1);

/// An image that a place announces.
pub(super) struct Candidate {
    pub(super) store: Store,
    pub(super) manifest: Manifest,
    pub(super) is_relay: bool,
}

impl Candidate {
    pub(super) fn label(&self) -> String {
        label(&self.store, self.is_relay)
    }
}

fn label(store: &Store, is_relay: bool) -> String {
    let of = if is_relay { "of the relay" } else { "in" };
    format!("images {of} {}", store.url())
}

/// A place that is passed over.
pub(crate) struct Passed {
    pub(crate) label: String,
    pub(crate) is_relay: bool,
    pub(crate) why: Ended,
}

impl Passed {
    /// Why, without the place.
    pub(crate) fn reason(&self) -> String {
        match &self.why {
            Ended::Store(error) => error.cause(),
            other => other.to_string(),
        }
    }

    /// Whether nothing is wrong with it: it has nothing yet, or nothing newer.
    pub(crate) fn is_harmless(&self) -> bool {
        matches!(self.why, Ended::NoImage | Ended::NoNewer { .. })
    }
}

/// The images worth trying, in order, and the places that have none.
pub(super) async fn candidates(
    core: &Core,
    relay: Option<&Client>,
    at_least: u64,
) -> (Vec<Candidate>, Vec<Passed>) {
    let (mut found, mut passed) = (Vec::new(), Vec::new());
    for (nearness, store, is_relay, answer) in ask(places(core, relay)).await {
        match suited(answer, core.head(), at_least) {
            Ok(manifest) => found.push((nearness, Candidate { store, manifest, is_relay })),
            Err(why) => passed.push(Passed { label: label(&store, is_relay), is_relay, why }),
        }
    }
    // Of two chains, the one counts that an operator led the stream to later.
    let led = |manifest: &Manifest| manifest.succession.map(|it| (it.at_ms, it.since));
    found.sort_by_key(|(nearness, Candidate { manifest, .. })| {
        (Reverse((led(manifest), manifest.revision)), *nearness)
    });
    (found.into_iter().map(|(_, candidate)| candidate).collect(), passed)
}

/// All places, the nearest first, and whether one is the relay.
fn places(core: &Core, relay: Option<&Client>) -> Vec<(Store, bool)> {
    let settings = &core.settings;
    let dirs = settings.image_dirs.iter().map(Store::folder);
    let others = settings.image_stores.iter().cloned();
    let relay = relay.cloned().map(|relay| (Store::relay(relay), true));
    dirs.chain(others).map(|store| (store, false)).chain(relay).collect()
}

type Answer = Result<Option<Latest>, StoreError>;

/// Asks all places at once what they announce. Those that are too slow are answered for.
async fn ask(places: Vec<(Store, bool)>) -> Vec<(usize, Store, bool, Answer)> {
    let mut asking: FuturesUnordered<_> = places
        .iter()
        .enumerate()
        .map(|(nearness, (store, _))| async move { (nearness, store.latest().await) })
        .collect();
    let mut answers: Vec<Option<Answer>> = places.iter().map(|_| None).collect();
    let mut until = Instant::now() + ASK;
    while let Ok(Some((nearness, answer))) = timeout_at(until, asking.next()).await {
        if matches!(answer, Ok(Some(_))) {
            until = until.min(Instant::now() + GRACE);
        }
        if let Some(place) = answers.get_mut(nearness) {
            *place = Some(answer);
        }
    }
    drop(asking);
    let late = |store: &Store| {
        let (url, cause) = (store.url().to_owned(), "no answer in time".to_owned());
        Err(StoreError::Unreachable { url, cause })
    };
    let places = places.into_iter().zip(answers).enumerate();
    places
        .map(|(nearness, ((store, is_relay), answer))| {
            let answer = answer.unwrap_or_else(|| late(&store));
            (nearness, store, is_relay, answer)
        })
        .collect()
}

/// The manifest, if the image may be of the chain that ends in `head` and is not too old.
fn suited(answer: Answer, head: Option<Head>, at_least: u64) -> Result<Manifest, Ended> {
    let manifest = answer?.ok_or(Ended::NoImage)?.manifest;
    if let Some(head) = head {
        if manifest.stream_id != head.stream_id {
            let (theirs, ours) = (manifest.stream_id, head.stream_id);
            return Err(Ended::WrongSource(format!(
                "the image is of stream {theirs}, we follow {ours}"
            )));
        }
        if manifest.revision == head.revision && manifest.hash != head.hash {
            return Err(Ended::WrongSource(format!(
                "the image of revision {} has the chain hash {}, ours is {}",
                head.revision, manifest.hash, head.hash
            )));
        }
    }
    if manifest.revision < at_least {
        return Err(Ended::NoNewer { image: manifest.revision, at_least });
    }
    Ok(manifest)
}

/// Asks the relay whether an image from elsewhere is of its chain, and not too old to follow from. A relay that does
/// not answer decides nothing: then the image is better than nothing, and is held against the relay later.
pub(super) async fn of_its_chain(
    relay: &Client,
    image: &Manifest,
    namespaces: Option<&[Namespace]>,
) -> Result<(), Ended> {
    let foreign = |why: &str| {
        let (revision, stream_id) = (image.revision, image.stream_id);
        Err(Ended::WrongSource(format!(
            "the image of revision {revision} of stream {stream_id} is not of the chain of the relay {}: {why}",
            relay.url()
        )))
    };
    let first = async {
        let mut stream = relay.stream(image.revision, image.hash, namespaces).await?;
        stream.next().await
    };
    // One try: this is asked once more when the image is followed from.
    match tokio::time::timeout(GRACE, first).await {
        Ok(Err(ClientError::Problem(problem))) => match problem.code {
            Code::WrongChain | Code::WrongStream => foreign(&problem.detail),
            Code::RevisionCompacted => Err(Ended::Image(format!(
                "the image of revision {} is too old for the relay {}",
                image.revision,
                relay.url()
            ))),
            _ => Ok(()),
        },
        // Above its head a relay knows no hash to compare, and yet says whose it is.
        Ok(Ok(Frame::Heartbeat { stream_id, .. })) if stream_id != image.stream_id => {
            foreign(&format!("it serves stream {stream_id}"))
        }
        _ => Ok(()),
    }
}

/// Whether a log holds the record of an image's revision, where the image says that it stands.
pub(super) async fn stands_in(log: &dyn Log, image: &Manifest) -> Result<(), Ended> {
    let Manifest { stream_id, revision, hash, log_position, .. } = image;
    let head = Head { stream_id: *stream_id, revision: *revision, hash: *hash, at_ms: 0 };
    let missing = |why: &str| {
        let place = &log.identity().place;
        Ended::WrongSource(format!(
            "the log {place} does not hold the record of the image's revision {revision}: {why}"
        ))
    };
    let found = async {
        let mut reader = log.reader().await?;
        reader.seek(Seek::At(*log_position)).await?;
        reader.read(ASK, 1).await
    };
    let batch = found.await.map_err(|error: ReadError| missing(&error.to_string()))?;
    match batch.records.first() {
        Some(record) if is_record_of(&head, record) => Ok(()),
        _ => Err(missing("another one stands there")),
    }
}
