//! The ladder to a first state: own cache → newest image (directory or relay) → the whole log.
//! (The compacted topic and the object store will stand between image and log.)

use std::path::Path;
use std::sync::Arc;

use headwater_image::{ImageError, Manifest, Mapped, WireImage};

use crate::core::Core;
use crate::replica::Settings;
use crate::{Source, View, cache};

/// Where a shelf of images announces the newest.
pub(crate) const LATEST: &str = "latest.json";

/// Takes the best state on this machine's disks, if there is one. What was refused on the way is reported.
pub(crate) async fn from_disk(core: &mut Core) {
    let settings = core.settings.clone();
    let found = tokio::task::spawn_blocking(move || search(&settings)).await;
    let (found, refused) = found.unwrap_or_else(|error| (None, vec![error.to_string()]));
    for reason in refused {
        core.error(reason);
    }
    if let Some((mapped, source)) = found
        && let Err(error) = core.reset(View::of_image(Arc::new(mapped)), source).await
    {
        core.error(error.to_string());
    }
}

fn search(settings: &Settings) -> (Option<(Mapped, Source)>, Vec<String>) {
    let (cached, mut refused) = cache::newest(settings);
    if let Some(cached) = cached {
        return (Some((cached, Source::Cache)), refused);
    }
    for dir in &settings.image_dirs {
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
    keep(WireImage::assemble(&path, manifest, settings.subscription())?, settings)
}

/// Leaves a state in the cache, where it is the last known good one of the next start.
fn keep(mapped: Mapped, settings: &Settings) -> Result<Mapped, ImageError> {
    match &settings.cache_dir {
        Some(dir) => mapped.persist(dir, settings.keep()),
        None => Ok(mapped),
    }
}
