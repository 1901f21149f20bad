//! What is wrong with single commits: as many as a report lists, and never none where there were some.

use crate::report::LISTED;
use crate::{Break, Kind, Place};

/// A break, and the last place that is proven before it.
#[derive(Debug)]
struct Fault {
    found: Break,
    before: Option<Place>,
}

/// The faults of a history. Each list is bounded by itself: what an operator may accept must not crowd out what nobody
/// can, or a history would be called sound once the rest was accepted.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// A commit that does not fit its state. The last element is the newest of all, however many there were: it outlives
    /// a word that accepts only the older ones.
    acceptable: Vec<Fault>,
    /// Everything else; the first ones.
    others: Vec<Fault>,
}

impl Faults {
    /// Adds one; they come in order of revisions.
    pub(crate) fn add(&mut self, found: Break, before: Option<Place>) {
        let acceptable = matches!(found.kind, Kind::Digest | Kind::Expectation);
        let list = if acceptable { &mut self.acceptable } else { &mut self.others };
        if list.len() < LISTED {
            list.push(Fault { found, before });
        } else if let Some(last) = list.last_mut().filter(|_| acceptable) {
            // It stands for those it replaces, too: no more is proven than before the first of them.
            last.found = found;
        }
    }

    /// Takes off what an operator accepted, up to a revision; `place` is the one there, if it is known.
    pub(crate) fn accept(&mut self, upto: u64, place: Option<Place>) {
        self.acceptable.retain(|fault| fault.found.revision > upto);
        for fault in &mut self.acceptable {
            let earlier = fault.before.is_none_or(|before| before.revision < upto);
            fault.before = place.filter(|_| earlier).or(fault.before);
        }
    }

    /// Adds a break of the chain itself: a changed record need not fit its state, that is the same break.
    pub(crate) fn tear(&mut self, found: Break, before: Option<Place>) {
        let other =
            |it: &Fault| it.found.revision != found.revision || it.found.kind == Kind::Published;
        self.acceptable.retain(other);
        self.others.retain(other);
        self.others.push(Fault { found, before });
    }

    /// Up to where all is proven, which means something only where there are breaks; and they, in order.
    pub(crate) fn ended(self) -> (Option<Place>, Vec<Break>) {
        let mut all = self.acceptable;
        all.extend(self.others);
        let proven = all.iter().map(|fault| fault.before);
        let proven = proven.min_by_key(|place| place.map(|place| place.revision)).flatten();
        all.sort_by_key(|fault| fault.found.revision);
        all.truncate(LISTED);
        (proven, all.into_iter().map(|fault| fault.found).collect())
    }
}
