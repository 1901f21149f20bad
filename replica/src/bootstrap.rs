//! The ladder to a first state: own cache → newest image (directory or relay) → the whole log.
//! (The compacted topic and the object store will stand between image and log.)

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use headwater_client::Client;
use headwater_image::{Assembler, ImageError, Manifest, Mapped, WireImage};
use headwater_schemas::Head;

use crate::ancestry::Ancestry;
use crate::core::Core;
use crate::remote::Ended;
use crate::replica::Settings;
use crate::{Source, View, cache};

/// Where a shelf of images announces the newest.
pub(crate) const LATEST: &str = "latest.json";

/// Takes the best state on this machine's disks, if there is one. What was refused on the way is reported.
pub(crate) async fn from_disk(core: &mut Core) {
    let settings = core.settings.clone();
    let found = tokio::task::spawn_blocking(move || {
        let kept = settings.cache_dir.as_deref().map(Ancestry::load);
        (kept.unwrap_or_default(), search(&settings))
    });
    let (kept, (found, refused)) =
        found.await.unwrap_or_else(|error| (Ancestry::default(), (None, vec![error.to_string()])));
    core.remember(kept);
    for reason in refused {
        core.rung(reason);
    }
    if let Some((mapped, source)) = found
        && let Err(error) = core.reset(View::of_image(Arc::new(mapped)), source).await
    {
        core.error(error.to_string());
    }
}

/// The last good state in a server's data directory: its cache, else its newest image. Blocks.
///
/// # Errors
/// Why there is none, a line for each place.
pub fn last_good(data: &Path) -> Result<View, Vec<String>> {
    let (found, refused) = search(&Settings::of_server(data));
    found.map(|(mapped, _)| View::of_image(Arc::new(mapped))).ok_or(refused)
}

fn search(settings: &Settings) -> (Option<(Mapped, Source)>, Vec<String>) {
    let (cached, mut refused) = cache::newest(settings);
    if let Some(dir) = &settings.cache_dir
        && let Err(error) = std::fs::create_dir_all(dir)
    {
        tracing::warn!(dir = %dir.display(), %error, "nothing can be cached: the directory cannot be made");
    }
    if let Some(cached) = cached {
        return (Some((cached, Source::Cache)), refused);
    }
    for dir in &settings.image_dirs {
        if matches!(dir.join(LATEST).try_exists(), Ok(false)) {
            refused.push(format!("images in {}: none there yet", dir.display()));
            continue;
        }
        match from_dir(dir, settings) {
            Ok(mapped) => return (Some((mapped, Source::Image)), refused),
            Err(error) => refused.push(format!("images in {}: {error}", dir.display())),
        }
    }
    (None, refused)
}

fn from_dir(dir: &Path, settings: &Settings) -> Result<Mapped, ImageError> {
    let manifest = Manifest::read(&dir.join(LATEST))?;
    let path = dir.join(&manifest.name);
    Ok(cache::keep(WireImage::assemble(&path, manifest, settings.subscription())?, settings).0)
}

/// Downloads the newest image of a relay, if it is on our stream and at `at_least` that revision, and takes it.
pub(crate) async fn from_relay(
    core: &mut Core,
    relay: &Client,
    at_least: u64,
) -> Result<(), Ended> {
    let manifest: Manifest = relay.image_manifest().await?;
    manifest.check().map_err(|error| Ended::Image(error.to_string()))?;
    if let Some(head) = core.head() {
        suits(&manifest, &head)?;
    }
    if manifest.revision < at_least {
        return Err(Ended::NoNewer { image: manifest.revision, at_least });
    }
    let mapped = download(relay, manifest, &core.settings).await?;
    let view = View::of_image(Arc::new(mapped));
    core.reset(view, Source::Image).await.map_err(|error| Ended::Image(error.to_string()))
}

/// Whether an image may be of the chain that ends in `head`.
fn suits(manifest: &Manifest, head: &Head) -> Result<(), Ended> {
    if manifest.stream_id != head.stream_id {
        return Err(Ended::WrongSource(format!(
            "the relay's image is of stream {}, we follow {}",
            manifest.stream_id, head.stream_id
        )));
    }
    if manifest.revision == head.revision && manifest.hash != head.hash {
        return Err(Ended::WrongSource(format!(
            "the relay's image of revision {} has the chain hash {}, ours is {}",
            head.revision, manifest.hash, head.hash
        )));
    }
    Ok(())
}

/// How often a broken transfer is taken up again before another source is tried.
const MAX_BREAKS: usize = 5;

pub(crate) async fn download(
    relay: &Client,
    manifest: Manifest,
    settings: &Settings,
) -> Result<Mapped, Ended> {
    let name = manifest.name.clone();
    let mut assembler = Assembler::new(manifest, settings.subscription())
        .map_err(|error| Ended::Image(error.to_string()))?;
    let mut breaks = 0;
    while let Some(range) = assembler.needs() {
        if let Err(error) = fetch(relay, &name, range, &mut assembler).await {
            breaks += 1;
            if breaks > MAX_BREAKS || assembler.needs().is_none() {
                return Err(error);
            }
            tracing::warn!(%error, "an image's transfer broke off and is taken up again");
        }
    }
    let settings = settings.clone();
    let finish = move || Ok(cache::keep(assembler.finish()?, &settings).0);
    let finished = tokio::task::spawn_blocking(finish).await;
    finished.map_err(ImageError::source).flatten().map_err(|error| Ended::Image(error.to_string()))
}

/// Fetches one range. The client of an SDK has a runtime of its own, so blocks are unpacked as they come.
async fn fetch(
    relay: &Client,
    name: &str,
    range: Range<u64>,
    assembler: &mut Assembler,
) -> Result<(), Ended> {
    let mut at = range.start;
    let mut chunks = relay.image(name, range.start, Some(range.end)).await?;
    while let Some(chunk) = chunks.next().await? {
        assembler.feed(at, &chunk).map_err(|error| Ended::Image(error.to_string()))?;
        at += chunk.len() as u64;
    }
    Ok(())
}
