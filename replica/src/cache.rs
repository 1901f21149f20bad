//! The last known good state on disk: mapped images, named by content and namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use headwater_image::{Mapped, Trust, mapped_name, sweep};
use headwater_schemas::{Hash, Head, StreamId};

use crate::View;
use crate::ancestry::Ancestry;
use crate::rebase::fold;
use crate::replica::Settings;

/// How many files stay: the last one written, and the newest beside it for when that turns out bad.
const KEPT: usize = 2;
/// A half-written file so old belongs to nobody: the process that wrote it was killed.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Whether a state stands in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cached {
    Yes,
    /// There is no cache.
    NoCache,
    /// Why it does not.
    Failed(String),
}

/// Leaves a state in the cache, where it is the last known good one of the next start, and says whether it is there.
/// A disk that takes nothing costs the cache, not the state: it stays in memory. Blocks: it writes, and removes older ones.
pub(crate) fn keep(mapped: Mapped, settings: &Settings) -> (Mapped, Cached) {
    let Some(dir) = &settings.cache_dir else { return (mapped, Cached::NoCache) };
    // First: they may be what fills the disk.
    sweep_abandoned(dir);
    match mapped.persist(dir, settings.keep()) {
        Ok(kept) => {
            prune(dir, kept.path(), settings);
            (kept, Cached::Yes)
        }
        Err(error) => {
            let dir = dir.display();
            let reason =
                format!("the state cannot be left in the cache {dir} and stays in memory: {error}");
            tracing::warn!("{reason}");
            (mapped, Cached::Failed(reason))
        }
    }
}

/// The newest good file, and why better ones were not taken.
pub(crate) fn newest(settings: &Settings) -> (Option<Mapped>, Vec<String>) {
    let mut refused = Vec::new();
    let Some(dir) = &settings.cache_dir else { return (None, refused) };
    for path in files(dir, settings) {
        match Mapped::open(&path, Trust::Verify, settings.keep()) {
            Ok(mapped) if mapped.subscription() == settings.subscription().as_ref() => {
                return (Some(mapped), refused);
            }
            Ok(_) => {}
            Err(error) => refused.push(format!("{}: {error}", path.display())),
        }
    }
    (None, refused)
}

/// Leaves the state of another chain in the cache, instead of all that stands there: its revision may be lower. A crash
/// in between leaves the old one, from which the same step is taken again.
pub(crate) async fn replace(view: View, settings: &Settings, ancestry: Ancestry) -> View {
    let (settings, kept) = (settings.clone(), view.clone());
    let replaced = tokio::task::spawn_blocking(move || {
        let Some(dir) = &settings.cache_dir else { return None };
        let (base, cached) = fold(&kept, &settings).ok()?;
        if cached == Cached::Yes && ancestry.keep(dir).is_ok() {
            let new = mapped_name(base.head(), settings.subscription().as_ref());
            let old = files(dir, &settings).into_iter().filter(|path| !path.ends_with(&new));
            old.for_each(|path| drop(fs::remove_file(path)));
        }
        Some(base)
    });
    match replaced.await {
        Ok(Some(base)) => View::of_image(Arc::new(base)).in_era(view.era()),
        _ => view,
    }
}

/// Removes what killed processes left half written.
fn sweep_abandoned(dir: &Path) {
    if let Some(before) = SystemTime::now().checked_sub(ABANDONED)
        && let Err(error) = sweep(dir, before)
    {
        tracing::debug!(dir = %dir.display(), %error, "half-written files may stay");
    }
}

/// Removes all files of this subscription but `kept` and the newest beside it.
fn prune(dir: &Path, kept: Option<&Path>, settings: &Settings) {
    let others = files(dir, settings).into_iter().filter(|path| Some(path.as_path()) != kept);
    for path in others.skip(KEPT - 1) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "an old cache file stays");
        }
    }
}

/// The cache files of this subscription, the newest first.
fn files(dir: &Path, settings: &Settings) -> Vec<PathBuf> {
    let subscription = settings.subscription();
    let Ok(listing) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<(u64, PathBuf)> = listing
        .filter_map(|file| {
            let file = file.ok()?;
            let name = file.file_name();
            let (revision, rest) = name.to_str()?.split_once('-')?;
            let hash = Hash::from_hex(rest.get(..64)?)?;
            let revision = revision.parse().ok()?;
            let head = Head { stream_id: StreamId::default(), revision, hash, at_ms: 0 };
            let ours = mapped_name(&head, subscription.as_ref());
            (name.to_str() == Some(&ours)).then(|| (revision, file.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

impl Settings {
    /// Whether this machine's disk holds a state, readable or not, that this replica would start from: then a
    /// stream was followed here before, and its log is not a new one that somebody may found.
    pub fn holds_state(&self) -> bool {
        let cached = self.cache_dir.iter().any(|dir| !files(dir, self).is_empty());
        cached || self.image_dirs.iter().any(|dir| dir.join(crate::bootstrap::LATEST).exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn what_killed_processes_left_half_written_goes_and_what_is_being_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) =
            (dir.path().join(".1-a.hwm.7.0.hw-tmp"), dir.path().join(".2-b.hwm.8.0.hw-tmp"));
        File::create(&new).unwrap();
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        File::create(&old).unwrap().set_modified(long_ago).unwrap();
        sweep_abandoned(dir.path());
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn what_was_just_written_stays_and_the_newest_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [7, 8, 9].map(|revision| {
            let (stream_id, hash) =
                (StreamId::default(), Hash([u8::try_from(revision).unwrap(); 32]));
            let head = Head { stream_id, revision, hash, at_ms: 0 };
            let path = dir.path().join(mapped_name(&head, None));
            File::create(&path).unwrap();
            path
        });
        prune(dir.path(), Some(&paths[0]), &Settings::default());
        assert_eq!(paths.map(|path| path.exists()), [true, false, true]);
    }
}
