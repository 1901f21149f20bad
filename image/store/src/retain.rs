//! Retention: what goes, and what never does.

use std::cmp::Reverse;
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_image::parse_wire_name;

use crate::place::Listed;
use crate::{Store, StoreError};

/// An image younger than this, in milliseconds, never goes: somebody may be in the middle of fetching it.
const MIN_AGE_MS: i64 = 60 * 60 * 1_000;

impl Store {
    /// Deletes images that are older than an hour at `now`, older than the announced one, and none of the newest
    /// `keep`. Nothing goes while nothing is announced, and no file whose name is not exactly an image's. Says how many
    /// went.
    ///
    /// # Errors
    /// [`StoreError`]; what was to go and did not goes the next time.
    pub async fn retain(&self, keep: usize, now: SystemTime) -> Result<usize, StoreError> {
        let listed = self.place.list().await?;
        // Asked after the list: an announcement only grows, so whatever is announced later stays as well.
        let Some(latest) = self.latest().await? else { return Ok(0) };
        let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let goes = goes(&listed, latest.manifest.revision, keep, now_ms);
        for name in &goes {
            self.place.remove(name).await?;
        }
        Ok(goes.len())
    }
}

/// The names that go.
fn goes(listed: &[Listed], announced: u64, keep: usize, now_ms: i64) -> Vec<String> {
    let ours = |file: &Listed| Some((parse_wire_name(&file.name)?.0, file.clone()));
    let mut images: Vec<(u64, Listed)> = listed.iter().filter_map(ours).collect();
    images.sort_by_key(|(revision, _)| Reverse(*revision));
    let old = |file: &Listed| now_ms.saturating_sub(file.at_ms) >= MIN_AGE_MS;
    let behind = images.into_iter().skip(keep);
    behind
        .filter(|(revision, file)| *revision < announced && old(file))
        .map(|(_, file)| file.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use headwater_schemas::Hash;
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_000 * MIN_AGE_MS;

    fn name(revision: u64) -> String {
        format!("{revision}-{}.hwi", Hash([7; 32]))
    }

    proptest! {
        #[test]
        fn the_announced_the_newer_the_young_and_the_foreign_always_stay(
            files in proptest::collection::vec((0u64..20, -5i64..5), 0..20),
            announced in 0u64..20,
            keep in 0usize..5,
        ) {
            let listed: Vec<Listed> = files.iter().map(|(revision, hours)| Listed {
                name: name(*revision),
                at_ms: NOW_MS - hours * MIN_AGE_MS,
            }).collect();
            let foreign = ["latest.json", ".headwater.lock", "1-ab.hwi", "notes.txt"];
            let foreign = foreign.map(|name| Listed { name: name.into(), at_ms: 0 });
            let all = [listed.clone(), foreign.to_vec()].concat();
            let goes = goes(&all, announced, keep, NOW_MS);
            for gone in &goes {
                let revision = parse_wire_name(gone).unwrap().0;
                prop_assert!(revision < announced);
                prop_assert!(listed.iter().any(|file| &file.name == gone && file.at_ms <= NOW_MS - MIN_AGE_MS));
            }
            prop_assert!(listed.len() - goes.len() >= keep.min(listed.len()));
        }
    }

    #[test]
    fn an_old_image_behind_the_announced_one_goes() {
        let listed = [1, 2, 3].map(|revision| Listed { name: name(revision), at_ms: 0 });
        assert_eq!(goes(&listed, 3, 2, NOW_MS), [name(1)]);
        assert_eq!(goes(&listed, 3, 0, NOW_MS), [name(2), name(1)]);
    }
}
