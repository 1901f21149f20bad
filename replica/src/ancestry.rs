//! The last points of the chain that a replica has been at, and of the chain it left for this one.
//!
//! They answer one question: may a replica go on along a chain that does not continue its own? It may where an operator's
//! commit names a point that stands here. The points are kept beside the cache, so that a restart knows them too.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_schemas::{Hash, Head, Point, StreamId};
use serde::{Deserialize, Serialize};

/// How many points of a chain are kept.
pub(crate) const KEPT: usize = 1_024;
/// A file larger than this is not one of ours: 1,024 points of each of two chains are a third of it.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Points of one chain, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Points {
    stream_id: StreamId,
    points: VecDeque<(u64, Hash)>,
}

impl Points {
    fn holds(&self, point: &Point) -> bool {
        self.stream_id == point.stream_id && self.at(point.revision) == Some(point.hash)
    }

    fn at(&self, revision: u64) -> Option<Hash> {
        let place = self.points.binary_search_by_key(&revision, |(at, _)| *at).ok()?;
        self.points.get(place).map(|(_, hash)| *hash)
    }

    fn push(&mut self, head: &Head) {
        if self.stream_id != head.stream_id {
            *self = Self { stream_id: head.stream_id, points: VecDeque::new() };
        }
        // A point that is not behind the last is of a chain that was left: what it contradicts goes.
        while self.points.back().is_some_and(|(last, _)| *last >= head.revision) {
            self.points.pop_back();
        }
        self.points.push_back((head.revision, head.hash));
        if self.points.len() > KEPT {
            self.points.pop_front();
        }
    }

    fn is_sorted(&self) -> bool {
        self.points.len() <= KEPT && self.points.iter().is_sorted_by(|a, b| a.0 < b.0)
    }
}

/// Where a replica has been.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ancestry {
    /// Of the chain it is on; the last is its head.
    now: Points,
    /// Of the chain it was on before an operator led it to this one.
    left: Points,
}

impl Ancestry {
    /// The replica begins with a state at this head.
    pub(crate) fn begin(&mut self, head: &Head) {
        let point = Point::from(head);
        if self.left.holds(&point) && !self.now.holds(&point) {
            // The state is older than the step to the other chain: that step is still to be taken.
            self.now = std::mem::take(&mut self.left);
        }
        self.push(head);
    }

    /// The replica is at a head: the next one of its chain, or one that an image brought.
    pub(crate) fn push(&mut self, head: &Head) {
        self.now.push(head);
    }

    /// An operator led the replica to another chain, whose last points these are.
    pub(crate) fn succeed(&mut self, heads: impl IntoIterator<Item = Head>) {
        self.left = std::mem::take(&mut self.now);
        heads.into_iter().for_each(|head| self.now.push(&head));
    }

    /// Whether the replica has been at this point.
    pub(crate) fn holds(&self, point: &Point) -> bool {
        self.now.holds(point) || self.left.holds(point)
    }

    /// The hash at a revision of this chain, if that is a point that is kept.
    pub(crate) fn hash_at(&self, revision: u64) -> Option<Hash> {
        self.now.at(revision)
    }

    /// Whether the place is of the chain that was left, and not of this one.
    pub(crate) fn has_left(&self, revision: u64, hash: Hash) -> bool {
        self.left.at(revision) == Some(hash) && self.now.at(revision) != Some(hash)
    }

    /// Reads what an earlier process kept; nothing where that cannot be read.
    pub(crate) fn load(dir: &Path) -> Self {
        Self::read(dir).unwrap_or_default()
    }

    fn read(dir: &Path) -> Option<Self> {
        let path = path(dir);
        let size = fs::metadata(&path).ok()?.len();
        let text = (size <= MAX_FILE_BYTES).then(|| fs::read(&path).ok())??;
        let kept: Self = serde_json::from_slice(&text).ok()?;
        (kept.now.is_sorted() && kept.left.is_sorted()).then_some(kept)
    }

    /// Keeps it: temporary name, sync, rename. Without it a replica needs a hand where it could have gone on by itself.
    ///
    /// # Errors
    /// The disk's; what was kept before stays.
    pub(crate) fn keep(&self, dir: &Path) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let temporary = dir.join(format!(".ancestry.{process}.{number}.hw-tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, path(dir))?;
        File::open(dir)?.sync_all()
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("ancestry.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(stream: u8, revision: u64, chain: u8) -> Head {
        let mut hash = [chain; 32];
        hash[..8].copy_from_slice(&revision.to_le_bytes());
        Head { stream_id: StreamId([stream; 16]), revision, hash: Hash(hash), at_ms: 0 }
    }

    fn point(stream: u8, revision: u64, chain: u8) -> Point {
        Point::from(&head(stream, revision, chain))
    }

    fn started(dir: &Path, head: &Head) -> Ancestry {
        let mut ancestry = Ancestry::load(dir);
        ancestry.begin(head);
        ancestry
    }

    fn walked(upto: u64) -> Ancestry {
        let mut ancestry = Ancestry::default();
        (0..=upto).for_each(|revision| ancestry.push(&head(1, revision, 1)));
        ancestry
    }

    #[test]
    fn the_last_points_are_known_and_older_ones_are_not() {
        let ancestry = walked(2_000);
        assert!(ancestry.holds(&point(1, 2_000, 1)));
        assert!(ancestry.holds(&point(1, 2_001 - KEPT as u64, 1)));
        assert!(!ancestry.holds(&point(1, 2_000 - KEPT as u64, 1)));
        assert!(!ancestry.holds(&point(1, 2_000, 2)), "another hash is another chain");
        assert!(!ancestry.holds(&point(2, 2_000, 1)), "and another stream, too");
    }

    #[test]
    fn a_chain_that_was_left_is_still_known() {
        let mut ancestry = walked(100);
        ancestry.succeed([head(1, 90, 1), head(1, 91, 2)]);
        let left = |at: Point| ancestry.has_left(at.revision, at.hash);
        assert!(ancestry.holds(&point(1, 91, 2)) && left(point(1, 100, 1)));
        assert!(!left(point(1, 90, 1)), "the point where they part is of both");
        ancestry.push(&head(1, 92, 2));
        assert!(ancestry.holds(&point(1, 92, 2)) && ancestry.holds(&point(1, 92, 1)));
    }

    #[test]
    fn what_is_kept_is_read_and_fits_the_state_of_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut ancestry = walked(100);
        ancestry.keep(dir.path()).unwrap();
        assert_eq!(started(dir.path(), &head(1, 100, 1)), ancestry);
        let older = started(dir.path(), &head(1, 60, 1));
        assert!(older.holds(&point(1, 60, 1)) && !older.holds(&point(1, 61, 1)));
        // A crash between the step to another chain and the cache of its state.
        ancestry.succeed([head(1, 90, 1), head(1, 91, 2)]);
        ancestry.keep(dir.path()).unwrap();
        let back = started(dir.path(), &head(1, 100, 1));
        assert!(back.holds(&point(1, 99, 1)) && !back.has_left(99, point(1, 99, 1).hash));
        let other = started(dir.path(), &head(2, 5, 1));
        assert!(other.holds(&point(2, 5, 1)) && !other.holds(&point(2, 90, 1)));
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), b"{\"now\": 7}").unwrap();
        let fresh = started(dir.path(), &head(1, 5, 1));
        assert!(fresh.holds(&point(1, 5, 1)) && !fresh.holds(&point(1, 4, 1)));
        let unsorted = r#"{"now":{"stream_id":"S","points":[[2,"H"],[1,"H"]]},"left":{"stream_id":"S","points":[]}}"#;
        let unsorted = unsorted.replace('S', &"01".repeat(16)).replace('H', &"02".repeat(32));
        fs::write(path(dir.path()), unsorted).unwrap();
        assert_eq!(Ancestry::read(dir.path()), None);
    }
}
