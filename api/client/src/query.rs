//! Query parameters of reads.

use std::time::Duration;

use headwater_api::{At, Time, format_duration, paths};
use headwater_schemas::{Namespace, StreamId};

/// Builds a query string; what is absent is left out.
#[derive(Debug, Default)]
pub(crate) struct Parameters(String);

impl Parameters {
    pub(crate) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&paths::encode_text(&value.to_string()));
        }
        self
    }

    pub(crate) fn on(self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

/// How a single value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read {
    /// As it was then.
    pub at: Option<At>,
    /// Wait until the server has applied this revision …
    pub min_revision: Option<u64>,
    /// … but no longer than this; at most 60 s.
    pub timeout: Option<Duration>,
    /// Reflect every write acknowledged before.
    pub linearizable: bool,
    /// Only of this stream.
    pub stream: Option<StreamId>,
}

impl Read {
    pub(crate) fn parameters(&self) -> Parameters {
        Parameters::default()
            .with("at", self.at.map(at))
            .with("min_revision", self.min_revision)
            .with("timeout", self.timeout.map(format_duration))
            .with("consistency", self.linearizable.then_some("linearizable"))
            .with("stream", self.stream)
    }
}

/// Which entries of a namespace are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only keys that begin with this.
    pub prefix: Option<String>,
    /// Without values.
    pub keys_only: bool,
    /// As it was then.
    pub at: Option<At>,
    /// Entries a page; 1 to 1,000.
    pub limit: Option<usize>,
    /// Only of this stream.
    pub stream: Option<StreamId>,
}

/// Which differences of a namespace are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffQuery {
    /// The old state.
    pub from: At,
    /// The new state; the head unless told. It may be the earlier one.
    pub to: Option<At>,
    /// Only keys that begin with this.
    pub prefix: Option<String>,
    /// Differences a page; 1 to 1,000.
    pub limit: Option<usize>,
    /// Only of this stream.
    pub stream: Option<StreamId>,
}

impl DiffQuery {
    /// Everything that differs between a state and the head.
    pub fn since(from: At) -> Self {
        Self { from, to: None, prefix: None, limit: None, stream: None }
    }

    pub(crate) fn parameters(&self) -> Parameters {
        Parameters::default()
            .with("from", Some(at(self.from)))
            .with("to", self.to.map(at))
            .with("prefix", self.prefix.as_ref())
            .with("limit", self.limit)
            .with("stream", self.stream)
    }
}

fn at(at: At) -> String {
    match at {
        At::Revision(revision) => revision.to_string(),
        At::Time(time) => time.to_string(),
    }
}

/// Which commits are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitsQuery {
    /// Behind this revision.
    pub after: Option<u64>,
    /// Before this revision.
    pub before: Option<u64>,
    /// That touch this namespace.
    pub namespace: Option<Namespace>,
    /// That touch keys that begin with this.
    pub prefix: Option<String>,
    /// Made by this actor.
    pub actor: Option<String>,
    /// Made at this time or later.
    pub since: Option<Time>,
    /// Made at this time or earlier.
    pub until: Option<Time>,
    /// Newest first.
    pub descending: bool,
    /// Commits a page; 1 to 1,000.
    pub limit: Option<usize>,
    /// Only of this stream.
    pub stream: Option<StreamId>,
}

impl CommitsQuery {
    pub(crate) fn parameters(&self) -> Parameters {
        Parameters::default()
            .with("after", self.after)
            .with("before", self.before)
            .with("namespace", self.namespace.as_ref())
            .with("prefix", self.prefix.as_ref())
            .with("actor", self.actor.as_ref())
            .with("since", self.since)
            .with("until", self.until)
            .with("order", self.descending.then_some("desc"))
            .with("limit", self.limit)
            .with("stream", self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_stands_in_the_query() {
        assert_eq!(Read::default().parameters().on("/x"), "/x");
        let read = Read {
            at: Some(At::Time(Time(0))),
            min_revision: Some(7),
            timeout: Some(Duration::from_secs(5)),
            linearizable: true,
            stream: None,
        };
        assert_eq!(
            read.parameters().on("/x"),
            "/x?at=1970-01-01T00%3A00%3A00.000Z&min_revision=7&timeout=5000ms&consistency=linearizable"
        );
        let commits = CommitsQuery { prefix: Some("a&b=/é".into()), ..CommitsQuery::default() };
        assert_eq!(commits.parameters().on("/c"), "/c?prefix=a%26b%3D%2F%C3%A9");
    }
}
