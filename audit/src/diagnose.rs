//! What records that do not continue the chain say of it.
//!
//! A writer that lost a race leaves records behind, and so does a pipeline behind one: they are no fault as long as the
//! chain went on. Where it did not, although the log did, the place and kind of the break follow from what is left:
//!
//! ```text
//! … N-1 │ N' │ N+1 N+2 …    N+1 names another hash than N' has, and N+2 names N+1   → N was changed
//! … N-1 │    │ N+1 N+2 …    nothing claims N                                        → N is missing
//! … N-1 │ N+1 │ N  │ N+2 …  N+1 names N and stands before it                        → N, N+1 are swapped
//! … N │ N+1' │ N+1 N+2 …    N+2 names the second of two that follow N               → fork at N+1
//! ```

use std::collections::{HashMap, VecDeque};

use headwater_schemas::{Frozen, Hash, Head};

use crate::links::Stood;
use crate::stray::Stray;
use crate::{Break, Kind, Published};

/// What is left over at a log's end.
pub(crate) struct Left<'a> {
    /// The last record of the chain.
    pub(crate) tip: &'a Head,
    /// The last points of the chain.
    pub(crate) chain: &'a VecDeque<Stood>,
    /// Strays before the tip's record.
    pub(crate) before: &'a VecDeque<Stray>,
    /// Strays behind the tip's record.
    pub(crate) since: &'a [Stray],
}

/// A record that the chain never reached, with the first of its line that is left.
struct Root<'a> {
    stray: &'a Stray,
    frozen: &'a Frozen,
    /// The revision of the chain from which its line parts, if it does.
    parts_behind: Option<Stood>,
}

impl<'a> Left<'a> {
    pub(crate) fn diagnose(&self, published: &Published) -> Option<Break> {
        self.swapped(published)
            .or_else(|| self.stalled(published))
            .or_else(|| self.contradicted(published))
            .or_else(|| self.misplaced())
    }

    fn all(&self) -> impl Iterator<Item = &'a Stray> {
        self.before.iter().chain(self.since)
    }

    /// Strays that claim to be of this stream.
    fn ours(
        &self,
        strays: impl Iterator<Item = &'a Stray>,
    ) -> impl Iterator<Item = (&'a Stray, &'a Frozen)> {
        let stream = self.tip.stream_id;
        strays.filter_map(move |stray| Some((stray, stray.of(stream)?)))
    }

    /// A record stands before the one it names: nobody writes so. It is a break where the chain stands still for it.
    fn swapped(&self, published: &Published) -> Option<Break> {
        let on_chain = self.on_chain();
        let before_parent = |(stray, frozen): (&'a Stray, &Frozen)| {
            let parent = on_chain.get(&frozen.parent)?;
            let swapped = stray.position < parent.position
                && parent.revision.checked_add(1) == Some(frozen.revision);
            swapped.then_some((parent.revision, stray))
        };
        let first = self.ours(self.all()).filter_map(before_parent);
        let (revision, stray) = first.min_by_key(|(revision, _)| *revision)?;
        let stalled = revision == self.tip.revision
            || self.above().next().is_some()
            || !self.published(published).is_empty();
        let detail =
            format!("the record of revision {revision} stands behind that of {}", revision + 1);
        stalled.then(|| Break::new(revision, Kind::Swapped, detail).at(stray.position))
    }

    fn on_chain(&self) -> HashMap<Hash, Stood> {
        self.chain.iter().map(|stood| (stood.hash, *stood)).collect()
    }

    /// Strays behind the tip that claim later revisions.
    fn above(&self) -> impl Iterator<Item = (&'a Stray, &'a Frozen)> {
        let tip = self.tip.revision;
        self.ours(self.since.iter()).filter(move |(_, frozen)| frozen.revision > tip)
    }

    /// The log goes on behind the tip with revisions that the chain never reaches.
    fn stalled(&self, published: &Published) -> Option<Break> {
        let roots = self.roots(self.above());
        // A line that parts from the chain may have lost a race; one that does not cannot.
        let torn = roots.iter().find(|root| root.parts_behind.is_none());
        torn.map(|root| self.torn(root, published))
            .or_else(|| roots.iter().find_map(|root| self.fork(root, &roots, published)))
    }

    /// A published head is left over: the line that leads to it was the real one.
    fn contradicted(&self, published: &Published) -> Option<Break> {
        let root = self.roots(self.published(published).into_iter()).into_iter().next()?;
        let Some(parent) = root.parts_behind else { return Some(self.torn(&root, published)) };
        let (parent, at) = (parent.revision, root.frozen.revision);
        let detail = format!(
            "two records follow revision {parent}: a published head was built on the one that does not count"
        );
        Some(Break::new(at, Kind::Fork, detail).at(root.stray.position))
    }

    /// Strays that were published as heads.
    fn published(&self, published: &Published) -> Vec<(&'a Stray, &'a Frozen)> {
        let on_chain = self.on_chain();
        let real = |(stray, frozen): &(&Stray, &Frozen)| {
            published.contains(frozen.revision, stray.hash) && !on_chain.contains_key(&stray.hash)
        };
        self.ours(self.all()).filter(real).collect()
    }

    /// The first of each stray's line that is left.
    fn roots(&self, strays: impl Iterator<Item = (&'a Stray, &'a Frozen)>) -> Vec<Root<'a>> {
        let on_chain = self.on_chain();
        // A copy of what counts leads nowhere else.
        let by_hash: HashMap<Hash, (&Stray, &Frozen)> = self
            .ours(self.all())
            .filter(|(stray, _)| !on_chain.contains_key(&stray.hash))
            .map(|(stray, frozen)| (stray.hash, (stray, frozen)))
            .collect();
        strays.map(|(stray, frozen)| root(stray, frozen, &by_hash, &on_chain)).collect()
    }

    /// The line begins with a record whose parent is nowhere.
    fn torn(&self, root: &Root<'_>, published: &Published) -> Break {
        let (tip, first) = (self.tip.revision, root.frozen.revision);
        let at = root.stray.position;
        if first <= tip {
            let before = first.saturating_sub(1);
            let detail = format!(
                "the record of revision {before} was changed or replaced: the log goes on with a revision {first} that \
                 names {} as its hash",
                root.frozen.parent
            );
            return Break::new(before, Kind::Changed, detail).at(at);
        }
        if first > tip + 1 {
            return self.gap(root);
        }
        let named = self.ours(self.all()).any(|(_, frozen)| frozen.parent == root.stray.hash)
            || published.contains(first, root.stray.hash);
        let passed_over = self
            .ours(self.since.iter())
            .any(|(_, frozen)| frozen.revision == first + 1 && frozen.parent != root.stray.hash);
        let unlike_published = published.of(first).any(|hash| hash != root.stray.hash);
        let tip_is_published = published.contains(tip, self.tip.hash);
        if passed_over && !named || unlike_published || tip_is_published {
            let detail = format!(
                "the record of revision {first} was changed: it does not name the hash of revision {tip}{}",
                if passed_over { ", nor does what follows it name its own" } else { "" }
            );
            return Break::new(first, Kind::Changed, detail).at(at);
        }
        let detail = format!(
            "the record of revision {tip} was changed: revision {first} names {} as its hash, and it is {}",
            root.frozen.parent, self.tip.hash
        );
        Break::new(tip, Kind::Changed, detail).at(at)
    }

    /// Nothing that counts stands where the next revision should.
    fn gap(&self, root: &Root<'_>) -> Break {
        let (next, first) = (self.tip.revision + 1, root.frozen.revision);
        let stands = self.since.iter().take_while(|stray| stray.position < root.stray.position);
        if let Some(stray) = stands.into_iter().find(|stray| self.stands_in(stray)) {
            return self.no_longer(stray);
        }
        let missing = match first - 1 {
            last if last == next => format!("the record of revision {next} is missing"),
            last => format!("the records of revisions {next} to {last} are missing"),
        };
        let detail = format!("{missing}: the log goes on with revision {first}");
        Break::new(next, Kind::Missing, detail).at(root.stray.position)
    }

    /// Whether a stray can only be the next record, damaged.
    fn stands_in(&self, stray: &Stray) -> bool {
        stray.frozen.is_none_or(|frozen| frozen.parent == self.tip.hash)
    }

    /// A record that names the tip as its parent and does not continue it: its header was changed.
    fn misplaced(&self) -> Option<Break> {
        let names_tip =
            |stray: &&Stray| stray.frozen.is_some_and(|frozen| frozen.parent == self.tip.hash);
        if let Some(stray) = self.since.iter().find(names_tip) {
            return Some(self.no_longer(stray));
        }
        // Behind a genesis that gives the stream another identity everything is foreign.
        let foreign = |stray: &&Stray| stray.frozen.is_some_and(|frozen| frozen.revision > 0);
        let stray = self.since.iter().find(foreign).filter(|_| self.tip.revision == 0)?;
        let (ours, theirs) = (self.tip.stream_id, stray.frozen?.stream_id);
        if ours == theirs {
            return None;
        }
        let detail = format!("the genesis founds stream {ours}, and what follows is of {theirs}");
        Some(Break::new(0, Kind::Changed, detail).at(stray.position))
    }

    fn no_longer(&self, stray: &Stray) -> Break {
        let next = self.tip.revision + 1;
        let is = match stray.frozen {
            None => "what stands in its place is no commit".to_owned(),
            Some(frozen) if frozen.stream_id != self.tip.stream_id => {
                format!("it claims to be of stream {}", frozen.stream_id)
            }
            Some(frozen) => format!("it claims to be revision {}", frozen.revision),
        };
        let detail = format!("the record of revision {next} was changed: {is}");
        Break::new(next, Kind::Changed, detail).at(stray.position)
    }

    /// Two records follow the same one, and the log ends with the line of the one that does not count.
    fn fork(&self, root: &Root<'_>, roots: &[Root<'_>], published: &Published) -> Option<Break> {
        let parent = root.parts_behind?;
        let parts_behind = parent.revision;
        let at = parts_behind + 1;
        // A head that was published on this chain says which of the two was real.
        let confirmed = |it: &Stood| it.revision >= at && published.contains(it.revision, it.hash);
        if self.chain.iter().any(confirmed) {
            return None;
        }
        let same = |it: &&Root<'_>| it.parts_behind.is_some_and(|it| it.revision == parts_behind);
        let others = roots.iter().filter(same).count();
        let detail = format!(
            "two records follow revision {parts_behind}: the first counts, and the log ends with {others} revisions that \
             build on the other one. If any of those was ever acknowledged, the record that counts was added; a \
             published head (--head) decides"
        );
        Some(Break::new(at, Kind::Fork, detail).at(root.stray.position))
    }
}

/// Goes back from a stray to the first of its line that is left.
fn root<'a>(
    stray: &'a Stray,
    frozen: &'a Frozen,
    by_hash: &HashMap<Hash, (&'a Stray, &'a Frozen)>,
    on_chain: &HashMap<Hash, Stood>,
) -> Root<'a> {
    let (mut stray, mut frozen) = (stray, frozen);
    // Each step goes down by one revision, so it ends.
    while let Some((parent, header)) = by_hash.get(&frozen.parent)
        && header.revision.checked_add(1) == Some(frozen.revision)
    {
        (stray, frozen) = (parent, header);
    }
    let parts_behind =
        on_chain.get(&frozen.parent).copied().filter(|it| it.revision + 1 == frozen.revision);
    Root { stray, frozen, parts_behind }
}
