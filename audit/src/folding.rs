//! The fold of a verification: what each commit leads to, beside what it says.

use std::collections::VecDeque;

use headwater_schemas::{Commit, Divergence, Point, State, Word};

use crate::faults::Faults;
use crate::links::Links;
use crate::visit::Accepted;
use crate::{Break, Confirmed, Kind, Place, Published, Report, Said};

/// How many of the last places are kept: as many as the chain keeps to diagnose with.
const KEPT: usize = 4_096;

/// The state so far, and what did not fit.
#[derive(Debug)]
pub(crate) struct Folding {
    published: Published,
    state: Option<State>,
    recent: VecDeque<Place>,
    faults: Faults,
    confirmed: Vec<Confirmed>,
    words: Vec<Said>,
    commits: u64,
    barriers: u64,
    /// Whether the commit before was skipped by an operator's word.
    skipped: bool,
}

impl Folding {
    pub(crate) fn new(published: Published) -> Self {
        Self {
            published,
            state: None,
            recent: VecDeque::new(),
            faults: Faults::default(),
            confirmed: Vec::new(),
            words: Vec::new(),
            commits: 0,
            barriers: 0,
            skipped: false,
        }
    }

    /// Folds one commit in.
    pub(crate) fn take(&mut self, accepted: Accepted) {
        let Accepted { record, hash, mut commit, skipped } = accepted;
        let before = self.recent.back().copied();
        let revision = commit.revision;
        for wanted in self.published.of(revision) {
            if wanted == hash {
                self.confirmed.push(Confirmed { revision, hash });
            } else {
                let detail = format!(
                    "its hash is {hash}, and {wanted} was published: it, or something before it, was rewritten"
                );
                self.faults.add(Break::new(revision, Kind::Published, detail), before);
            }
        }
        match &mut self.state {
            None => self.state = Some(State::found(&commit, hash)),
            Some(state) => {
                if skipped {
                    commit.at_ms = state.head().at_ms;
                    commit.digest = state.totals().digest();
                }
                let earlier_ms = state.head().at_ms;
                let folded = state.apply(&commit, hash);
                self.commits += 1;
                self.barriers += u64::from(commit.is_barrier());
                if commit.at_ms < earlier_ms {
                    let detail = "it is older than the commit before it";
                    self.faults
                        .add(Break::new(revision, Kind::Time, detail).at(record.position), before);
                }
                if let Some(divergence) = folded.divergence {
                    self.faults.add(diverged(&divergence).at(record.position), before);
                }
            }
        }
        if let Some(word) = Word::of(&commit) {
            self.heed(&commit, word, before);
        }
        self.skipped = skipped;
        self.keep();
    }

    fn keep(&mut self) {
        let Some(state) = &self.state else { return };
        let (totals, head) = (state.totals(), state.head());
        self.recent.push_back(Place::new(head, totals.digest(), totals.entries()));
        if self.recent.len() > KEPT {
            self.recent.pop_front();
        }
    }

    /// Takes in what an operator decided.
    fn heed(&mut self, commit: &Commit, word: Word, before: Option<Place>) {
        let point = word.point();
        let follows = Point {
            stream_id: commit.stream_id,
            revision: commit.revision.saturating_sub(1),
            hash: commit.parent,
        };
        let sound = match word {
            Word::Supersedes(..) => commit.revision == 0,
            Word::Adopts(_) => point == follows,
            Word::Skips(_) => point == follows && self.skipped,
            Word::Accepts(_) => self.accepts(commit, point),
        };
        if !sound {
            let detail = format!(
                "an operator's word `{}` names revision {} ({}), which it does not follow, which is not in this chain, or which can be read",
                word.key(),
                point.revision,
                point.hash
            );
            self.faults.add(Break::new(commit.revision, Kind::Word, detail), before);
        }
        self.words.push(Said::new(commit, word));
    }

    /// Accepts what does not fit up to a point; false where no such point is before the commit.
    fn accepts(&mut self, commit: &Commit, point: Point) -> bool {
        let place = self.place(point.revision);
        // A place too far back to be kept is taken at its word.
        let sound = point.stream_id == commit.stream_id
            && point.revision < commit.revision
            && place.is_none_or(|place| place.hash == point.hash);
        if sound {
            self.faults.accept(point.revision, place);
        }
        sound
    }

    fn place(&self, revision: u64) -> Option<Place> {
        let first = self.recent.front()?.revision;
        let index = usize::try_from(revision.checked_sub(first)?).ok()?;
        self.recent.get(index).copied()
    }

    /// The state so far; none before the genesis.
    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The state, and what did not fit on the way.
    pub(crate) fn ended(self) -> (Option<State>, Vec<Break>) {
        (self.state, self.faults.ended().1)
    }

    /// What was found, with the breaks of the chain itself.
    pub(crate) fn report(mut self, source: String, links: Links, torn: Vec<Break>) -> Report {
        let mut faults = std::mem::take(&mut self.faults);
        let last = links.tip().map_or(0, |tip| tip.revision);
        if torn.is_empty()
            && let Some((published, hash)) = self.published.iter().find(|(at, _)| *at > last)
        {
            let missing = format!(
                "the log ends at revision {last}, and revision {published} ({hash}) was published"
            );
            faults.tear(Break::new(last + 1, Kind::Cut, missing), self.place(last));
        }
        for found in torn {
            let before = found.revision.checked_sub(1).and_then(|at| self.place(at));
            faults.tear(found, before);
        }
        let head = self.recent.back().copied();
        let (proven, breaks) = faults.ended();
        Report {
            source,
            sound: breaks.is_empty(),
            stream_id: links.stream_id(),
            records: links.records,
            bytes: links.bytes,
            commits: self.commits,
            barriers: self.barriers,
            ignored: links.ignored,
            head,
            proven: if breaks.is_empty() { head } else { proven },
            breaks,
            confirmed: self.confirmed,
            words: self.words,
        }
    }
}

fn diverged(divergence: &Divergence) -> Break {
    let kind = match divergence {
        Divergence::Digest { .. } => Kind::Digest,
        Divergence::Expect { .. } => Kind::Expectation,
    };
    let told = divergence.to_string();
    let prefix = format!("revision {}: ", divergence.revision());
    Break::new(divergence.revision(), kind, told.strip_prefix(&prefix).unwrap_or(&told))
}
