//! How a reader stands to the log's end, and what it would ask the leader.
//!
//! Kafka's own word that a reader is at the end comes only after a fetch that waited in vain. Whoever starts, or
//! has lost the brokers, would not wait for that: so the leader is asked as well.

use headwater_schemas::Position;

/// How a reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    at_end: bool,
    /// Whether somebody has been told that it is at the end.
    told: bool,
    doubt: Option<Doubt>,
}

/// What the leader is to be asked, once there is nothing left to read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Doubt {
    /// Is this the end?
    CatchingUp {
        /// The end it gave last; on this side of it there is nothing to ask.
        goal: Option<Position>,
    },
    /// Are you there?
    Down(String),
}

impl Standing {
    /// After a seek: nothing is known.
    pub(crate) fn unknown() -> Self {
        let doubt = Some(Doubt::CatchingUp { goal: None });
        Self { at_end: false, told: false, doubt }
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at_end
    }

    /// Whether it is at the end, and nobody knows yet.
    pub(crate) fn is_news(&self) -> bool {
        self.at_end && !self.told
    }

    /// Somebody was told.
    pub(crate) fn told(&mut self) {
        self.told = self.at_end;
    }

    /// Why the brokers are not there, if they are not.
    pub(crate) fn down(&self) -> Option<&str> {
        match &self.doubt {
            Some(Doubt::Down(detail)) => Some(detail),
            _ => None,
        }
    }

    /// A record came: there may be more, and the brokers are there.
    pub(crate) fn record(&mut self) {
        (self.at_end, self.told) = (false, false);
        if self.down().is_some() {
            self.doubt = None;
        }
    }

    /// Kafka says that this is the end.
    pub(crate) fn end(&mut self) {
        (self.at_end, self.doubt) = (true, None);
    }

    /// The brokers are not there.
    pub(crate) fn lost(&mut self, detail: String) {
        (self.at_end, self.told) = (false, false);
        self.doubt = Some(Doubt::Down(detail));
    }

    /// Whether a reader at `next` with nothing to read would ask the leader.
    pub(crate) fn asks(&self, next: Position) -> bool {
        match &self.doubt {
            None => false,
            Some(Doubt::Down(_)) => true,
            Some(Doubt::CatchingUp { goal }) => goal.is_none_or(|goal| next >= goal),
        }
    }

    /// The leader gave its end; the reader stood at `asked` when it asked and stands at `next` now.
    pub(crate) fn answered(&mut self, asked: Position, next: Position, end: Position) {
        if end == next {
            self.end();
        } else if end > next {
            self.doubt = Some(Doubt::CatchingUp { goal: Some(end) });
        } else if asked == next {
            // An end before our place: a log cut short, or a new leader that knows less as yet. The fetch finds
            // out which; to ask again at once would only ask for ever.
            self.doubt = None;
        } else {
            // The log has grown since the question.
            self.doubt = Some(Doubt::CatchingUp { goal: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Position {
        Position(position)
    }

    #[test]
    fn a_new_reader_asks_at_once_and_is_at_the_end_when_the_leader_says_so() {
        let mut standing = Standing::unknown();
        assert!(standing.asks(at(5)) && !standing.at_end());
        standing.answered(at(5), at(5), at(5));
        assert!(standing.is_news() && !standing.asks(at(5)));
        standing.told();
        assert!(standing.at_end() && !standing.is_news(), "told once");
    }

    #[test]
    fn on_the_way_to_the_leaders_end_it_asks_nothing_and_there_it_asks_again() {
        let mut standing = Standing::unknown();
        standing.answered(at(0), at(0), at(10));
        standing.record();
        assert!(!standing.asks(at(9)));
        assert!(standing.asks(at(10)) && !standing.at_end(), "the log may have grown meanwhile");
    }

    #[test]
    fn an_old_answer_never_makes_it_stand_at_the_end() {
        let mut standing = Standing::unknown();
        standing.answered(at(3), at(8), at(5));
        assert!(!standing.at_end() && standing.asks(at(8)));
    }

    #[test]
    fn an_end_before_its_place_is_asked_for_once_only() {
        let mut standing = Standing::unknown();
        standing.answered(at(8), at(8), at(5));
        assert!(!standing.at_end() && !standing.asks(at(8)));
    }

    #[test]
    fn a_record_after_the_end_is_news_again_at_the_next_end() {
        let mut standing = Standing::unknown();
        standing.end();
        standing.told();
        standing.record();
        assert!(!standing.at_end());
        standing.end();
        assert!(standing.is_news());
    }

    #[test]
    fn lost_brokers_are_no_end_and_are_back_with_an_answer_or_a_record() {
        let mut standing = Standing::unknown();
        standing.end();
        standing.lost("gone".into());
        assert!(!standing.at_end() && standing.asks(at(1)));
        assert_eq!(standing.down(), Some("gone"));
        let mut by_record = standing.clone();
        by_record.record();
        assert_eq!(by_record.down(), None);
        standing.answered(at(1), at(1), at(1));
        assert_eq!((standing.down(), standing.at_end()), (None, true));
    }
}
