//! The ladder to a first state: own cache → newest image (directories, other places, the relay) → the table → the
//! whole log.

mod candidates;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use headwater_client::{Backoff, Client};
use headwater_image::{Assembler, ImageError, Manifest, Mapped, WireImage};
use headwater_image_store::{Store, StoreError};
use headwater_log::Log;

pub(crate) use self::candidates::Passed;
use self::candidates::{Candidate, candidates};
use crate::ancestry::Ancestry;
use crate::cache::Cached;
use crate::core::Core;
use crate::remote::Ended;
use crate::replica::Settings;
use crate::{Source, View, cache, measure};

/// Where a directory of images announces the newest.
pub(crate) const LATEST: &str = "latest.json";

/// How often a broken transfer is taken up again without getting on, and one that brought damage at all, before another
/// place is tried.
const MAX_BREAKS: usize = 5;
/// What counts as getting on, in bytes.
const PROGRESS_BYTES: u64 = 256 * 1024;
/// The pause before it is: full jitter between nothing and this, doubling from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Takes the last known good state, if there is one. What was refused on the way is reported.
pub(crate) async fn from_cache(core: &mut Core) {
    let settings = core.settings.clone();
    let found = tokio::task::spawn_blocking(move || {
        let kept = settings.cache_dir.as_deref().map(Ancestry::load);
        (kept.unwrap_or_default(), search(&settings))
    });
    let (kept, (found, refused)) =
        found.await.unwrap_or_else(|error| (Ancestry::default(), (None, vec![error.to_string()])));
    core.remember(kept);
    let damaged = (!refused.is_empty()).then(|| refused.join("\n"));
    let told = if found.is_none() { or_empty(refused, &core.settings) } else { refused };
    if !told.is_empty() {
        core.rung("cache", told.join("\ncache: "));
    }
    core.unread_cache(damaged);
    if let Some(mapped) = found
        && let Err(error) = core.reset(View::of_image(Arc::new(mapped)), Source::Cache).await
    {
        core.error(error.to_string());
    }
}

/// Why no state was found in the cache, also where there is none and nothing is wrong.
fn or_empty(mut refused: Vec<String>, settings: &Settings) -> Vec<String> {
    let dir = settings.cache_dir.as_ref().filter(|_| refused.is_empty());
    refused.extend(dir.map(|dir| format!("{}: nothing there yet", dir.display())));
    refused
}

fn search(settings: &Settings) -> (Option<Mapped>, Vec<String>) {
    let found = cache::newest(settings);
    if let Some(dir) = &settings.cache_dir
        && let Err(error) = std::fs::create_dir_all(dir)
    {
        tracing::warn!(dir = %dir.display(), %error, "nothing can be cached: the directory cannot be made");
    }
    found
}

/// The last good state in a server's data directory (its cache, else its newest image), and what was passed over on the
/// way to it. Blocks.
///
/// # Errors
/// Why there is none, a line for each place.
pub fn last_good(data: &Path) -> Result<(View, Vec<String>), Vec<String>> {
    let settings = Settings::of_server(data);
    let (mut found, mut refused) = search(&settings);
    if found.is_none() {
        refused = or_empty(refused, &settings);
    }
    for dir in &settings.image_dirs {
        if found.is_none() {
            match from_dir(dir, &settings) {
                Ok(mapped) => found = Some(mapped),
                Err(error) => refused.push(format!("images in {}: {error}", dir.display())),
            }
        }
    }
    match found {
        Some(mapped) => Ok((View::of_image(Arc::new(mapped)), refused)),
        None => Err(refused),
    }
}

fn from_dir(dir: &Path, settings: &Settings) -> Result<Mapped, ImageError> {
    let manifest = Manifest::read(&dir.join(LATEST))?;
    let path = dir.join(&manifest.name);
    WireImage::assemble(&path, manifest, settings.subscription())
}

/// Takes the newest image there is of revision `at_least` or later, from the nearest place that has it and gives it
/// whole; the places that are passed over are reported. Nothing that the relay says is not of its chain is taken.
pub(crate) async fn from_image(
    core: &mut Core,
    against: Against<'_>,
    at_least: u64,
) -> Result<(), Ended> {
    let Err(passed) = newest(core, against, at_least).await else { return Ok(()) };
    let mut ended = Ended::NoImage;
    for passed in passed {
        let line = passed.reason();
        match passed.why {
            Ended::WrongSource(_) if passed.is_relay => {
                ended = Ended::WrongSource(format!("{}: {line}", passed.label));
            }
            why if passed.is_relay => ended = why,
            _ if core.view().is_none() => core.rung(&passed.label, line),
            why => tracing::warn!(place = passed.label, %why, "an image is passed over"),
        }
    }
    Err(ended)
}

/// As [`from_image`]; every place that was passed over when none gave one.
pub(crate) async fn newest(
    core: &mut Core,
    against: Against<'_>,
    at_least: u64,
) -> Result<(), Vec<Passed>> {
    let (candidates, mut passed) = candidates(core, against.relay(), at_least).await;
    for candidate in candidates {
        match take(core, &candidate, against).await {
            Ok(()) => {
                let (place, revision) = (candidate.store.url(), candidate.manifest.revision);
                tracing::info!(place, revision, "took an image");
                warn(core, &passed);
                return Ok(());
            }
            Err(why) => {
                if matches!(why, Ended::Image(_)) {
                    measure::unverified_image();
                }
                passed.push(Passed { label: candidate.label(), is_relay: candidate.is_relay, why })
            }
        }
    }
    Err(passed)
}

/// There is a state now, and yet somebody should know of the places that should have given it and did not. What is
/// wrong with the relay is told by whoever follows it.
fn warn(core: &Core, passed: &[Passed]) {
    let told = passed.iter().filter(|passed| !passed.is_relay && !passed.is_harmless());
    let told: Vec<_> = told.map(|it| format!("{}: {}", it.label, it.reason())).collect();
    if !told.is_empty() {
        core.error(told.join("\n"));
    }
}

/// What an image is held against before it is taken.
#[derive(Clone, Copy)]
pub(crate) enum Against<'a> {
    /// Nothing yet: there is no state to lose, and it is held against the log when it is followed from.
    Nothing,
    /// The chain of a relay.
    Relay(&'a Client),
    /// A log, which must hold the record of its revision.
    Log(&'a dyn Log),
}

impl<'a> Against<'a> {
    fn relay(self) -> Option<&'a Client> {
        match self {
            Self::Relay(relay) => Some(relay),
            _ => None,
        }
    }
}

/// Takes one image.
async fn take(core: &mut Core, candidate: &Candidate, against: Against<'_>) -> Result<(), Ended> {
    let Candidate { store, manifest, .. } = candidate;
    match against {
        Against::Relay(relay) if !candidate.is_relay => {
            candidates::of_its_chain(relay, manifest, core.settings.namespaces.as_deref()).await?;
        }
        Against::Log(log) => candidates::stands_in(log, manifest).await?,
        _ => {}
    }
    let (mapped, cached) = match store.path(&manifest.name) {
        Some(path) => from_disk(path, manifest.clone(), core.settings.clone()).await?,
        None => download(store, manifest.clone(), &core.settings).await?,
    };
    let view = View::of_image(Arc::new(mapped));
    let taken = core.reset(view, Source::Image).await;
    taken.map_err(|error| Ended::Image(error.to_string()))?;
    core.cached(cached);
    Ok(())
}

/// Assembles an image of a directory: nothing has to be fetched.
async fn from_disk(path: PathBuf, manifest: Manifest, settings: Settings) -> Result<Kept, Ended> {
    let assemble = move || {
        let mapped = WireImage::assemble(&path, manifest, settings.subscription())?;
        Ok(cache::keep(mapped, &settings))
    };
    finished(tokio::task::spawn_blocking(assemble).await)
}

/// Downloads an image, and takes the transfer up again where it breaks. The assembler is this image's alone: what
/// comes from another place begins anew.
pub(crate) async fn download(
    store: &Store,
    manifest: Manifest,
    settings: &Settings,
) -> Result<Kept, Ended> {
    let name = manifest.name.clone();
    let assembler = Assembler::new(manifest, settings.subscription());
    let mut assembler = assembler.map_err(|error| Ended::Image(error.to_string()))?;
    let mut backoff = Backoff::new(rand::random(), PAUSE.0, PAUSE.1);
    let (mut breaks, mut damages) = (0, 0);
    while assembler.needs().is_some() {
        let mut fetched = 0;
        let Err(error) = fetch(store, &name, &mut assembler, &mut fetched).await else { continue };
        if matches!(error, Ended::Image(_)) {
            // Found behind bytes that were fetched on the way: those are no progress, and what is damaged there stays so.
            damages += 1;
        } else {
            if fetched >= PROGRESS_BYTES {
                breaks = 0;
                backoff = Backoff::new(rand::random(), PAUSE.0, PAUSE.1);
            }
            breaks += 1;
        }
        if breaks.max(damages) > MAX_BREAKS || assembler.needs().is_none() {
            return Err(error);
        }
        tracing::warn!(%error, "an image's transfer broke off and is taken up again");
        tokio::time::sleep(backoff.next().unwrap_or(PAUSE.1)).await;
    }
    let settings = settings.clone();
    let finish = move || Ok(cache::keep(assembler.finish()?, &settings));
    finished(tokio::task::spawn_blocking(finish).await)
}

/// A state, and whether it stands in the cache.
type Kept = (Mapped, Cached);

fn finished(kept: Result<Result<Kept, ImageError>, tokio::task::JoinError>) -> Result<Kept, Ended> {
    kept.map_err(ImageError::source).flatten().map_err(|error| Ended::Image(error.to_string()))
}

/// Fetches what is needed next, and counts in `fetched` how much of it came. The client of an SDK has a runtime of its
/// own, so blocks are unpacked as they come.
async fn fetch(
    store: &Store,
    name: &str,
    assembler: &mut Assembler,
    fetched: &mut u64,
) -> Result<(), Ended> {
    let Some(range) = assembler.needs() else { return Ok(()) };
    let mut at = range.start;
    let mut reading = store.read(name, range.start, Some(range.end)).await?;
    while at < range.end {
        let Some(piece) = reading.next().await? else {
            let (url, cause) = (store.url().to_owned(), format!("{name} ended early"));
            return Err(StoreError::Unreachable { url, cause }.into());
        };
        assembler.feed(at, &piece).map_err(|error| Ended::Image(error.to_string()))?;
        at += piece.len() as u64;
        *fetched += piece.len() as u64;
    }
    Ok(())
}
