//! `headwater watch`: every change as it happens, over as many connections as it takes.

use std::num::NonZeroU64;

use clap::{Args, ValueEnum};
use headwater_api::{ChangeBody, CommitBody, EntryBody, HeartbeatBody, Op, Value, Values};
use headwater_client::{ClientError, WatchQuery, Watched};
use headwater_schemas::{Key, Namespace};

use crate::args::Remote;
use crate::commands::connect;
use crate::exit::Failure;
use crate::output::{self, one_line, shown};
use crate::signals::Signals;

#[derive(Debug, Args)]
#[command(after_help = WATCH_NOTES)]
pub(crate) struct Watch {
    /// The namespaces; without any, all
    namespaces: Vec<Namespace>,
    /// Only keys that begin like this; db/ stays inside db
    #[arg(long, conflicts_with = "key")]
    prefix: Option<String>,
    /// Only this key, in each of the namespaces
    #[arg(long)]
    key: Option<Key>,
    /// Begin behind this revision instead of at the head
    #[arg(long, value_name = "REVISION")]
    after: Option<u64>,
    /// What to show of the values: the new one, the one before, too, or neither
    #[arg(long, value_enum, default_value_t = Shown::New)]
    values: Shown,
    /// End after so many changes
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
    #[command(flatten)]
    remote: Remote,
}

const WATCH_NOTES: &str = "\
Every change comes once and in order, also when the connection breaks or the server starts again. With --json each line is \
a commit with the changes asked for; its revision is what --after takes to go on later.

Examples:
  headwater watch payments.prod
  headwater watch payments.prod --prefix db/ --values both
  headwater watch --after 4711 --json | jq .changes";

/// What is shown of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    New,
    Both,
    None,
}

impl From<Shown> for Values {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::New => Self::New,
            Shown::Both => Self::Both,
            Shown::None => Self::None,
        }
    }
}

pub(super) async fn run(args: Watch) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::failed)?;
    tokio::select! {
        _ = signals.next() => Ok(()),
        watched = watch(&args) => watched,
    }
}

async fn watch(args: &Watch) -> Result<(), Failure> {
    let mut watcher = connect(&args.remote)?.watcher(WatchQuery {
        namespaces: args.namespaces.clone(),
        prefix: args.prefix.clone(),
        key: args.key.clone(),
        after: args.after,
        values: args.values.into(),
        stream: None,
    });
    let mut left = args.count.map_or(u64::MAX, NonZeroU64::get);
    let mut link = Link::New;
    while left > 0 {
        match watcher.next().await? {
            Watched::Commit(commit) => left -= show(args, commit, left)?,
            Watched::Heartbeat(head) => link.found(&head, watcher.sent()),
            Watched::Lost(cause) => link.lost(cause)?,
        }
    }
    Ok(())
}

/// Whether the server is there.
enum Link {
    New,
    Up,
    Down,
}

impl Link {
    fn found(&mut self, head: &HeartbeatBody, sent: Option<u64>) {
        let from = sent.unwrap_or(head.revision);
        match std::mem::replace(self, Self::Up) {
            Self::New => output::note(format_args!("watching from revision {from}; Ctrl-C ends")),
            Self::Down => {
                output::note(format_args!(
                    "connected again, at revision {from}; the head is {}",
                    head.revision
                ));
            }
            Self::Up => {}
        }
    }

    /// A server that never was there is told of as by every other command; one that went away is waited for.
    fn lost(&mut self, cause: ClientError) -> Result<(), Failure> {
        match self {
            Self::New => return Err(cause.into()),
            Self::Up => {
                output::note(format_args!("{cause}; trying again until it is back or Ctrl-C"))
            }
            Self::Down => {}
        }
        *self = Self::Down;
        Ok(())
    }
}

/// Prints the changes of a commit, at most so many, and says how many those were.
fn show(args: &Watch, mut commit: CommitBody, most: u64) -> Result<u64, Failure> {
    commit.changes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    if args.remote.json {
        output::json(&commit)?;
    } else {
        commit.changes.iter().try_for_each(|change| output::line(told(&commit, change)))?;
    }
    Ok(commit.changes.len() as u64)
}

fn told(commit: &CommitBody, change: &ChangeBody) -> String {
    let (revision, at, actor) = (commit.revision, output::time(commit.at), one_line(&commit.actor));
    let name = format!("{}/{}", change.namespace, change.key);
    let old = change.old.as_ref().and_then(|old| old.as_deref()).map(entry);
    let what = match change.op {
        Op::Put => {
            let version = change.version.unwrap_or_default();
            let values = [old, value(change)].into_iter().flatten().collect::<Vec<_>>().join(" → ");
            format!("put {name} v{version} {values}")
        }
        Op::Delete => format!("delete {name} {}", old.unwrap_or_default()),
    };
    let why = commit.reason.as_deref().map(|why| format!("  ({why})")).unwrap_or_default();
    format!("{revision}  {at}  {actor}  {}{}", what.trim_end(), one_line(&why))
}

fn entry(entry: &EntryBody) -> String {
    match entry.bytes() {
        Ok(bytes) => shown(&entry.content_type, &bytes),
        Err(error) => format!("({error})"),
    }
}

/// The value that was put; none where it was not asked for.
fn value(change: &ChangeBody) -> Option<String> {
    let kind = change.content_type.as_deref().unwrap_or_default();
    let given = Value { value: change.value.clone(), value_base64: change.value_base64.clone() };
    let is_given = given.value.is_some() || given.value_base64.is_some();
    is_given.then(|| match given.bytes(kind) {
        Ok(bytes) => shown(kind, &bytes),
        Err(error) => format!("({error})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(commit: &str) -> Vec<String> {
        let commit: CommitBody = serde_json::from_str(commit).unwrap();
        commit.changes.iter().map(|change| told(&commit, change)).collect()
    }

    #[test]
    fn a_change_is_one_line_whatever_its_values_are() {
        let hash = "0".repeat(64);
        let old = "\"old\":{\"namespace\":\"n\",\"key\":\"k\",\"content_type\":\"text/plain\",\"value\":\"a\\nb\",\"size\":3,\
                   \"version\":1,\"create_revision\":1,\"mod_revision\":1,\"updated_at\":\"2026-11-22T08:15:30.123Z\",\
                   \"actor\":\"ann\"}";
        let put = "\"op\":\"put\",\"namespace\":\"n\",\"key\":\"k\",\"content_type\":\"application/json\",\"version\":2";
        let delete = "\"op\":\"delete\",\"namespace\":\"n\",\"key\":\"k\"";
        let commit = format!(
            "{{\"revision\":7,\"hash\":\"{hash}\",\"parent\":\"{hash}\",\
             \"commit_id\":\"00000000-0000-0000-0000-000000000001\",\"at\":\"2026-11-22T08:15:30.123Z\",\
             \"actor\":\"eve\\u001b[2J\",\"reason\":\"why\\nnot\",\"attributes\":{{}},\"changes\":[\
             {{{put},\"value\":[1,\n2]}},{{{put},\"value\":1,{old}}},{{{put},\"value\":1,\"old\":null}},{{{put}}},\
             {{{delete}}},{{{delete},{old}}}]}}"
        );
        let what = [
            "put n/k v2 [1, 2]",
            "put n/k v2 a b → 1",
            "put n/k v2 1",
            "put n/k v2",
            "delete n/k",
            "delete n/k a b",
        ];
        let expected = what.map(|what| format!("  eve [2J  {what}  (why not)"));
        for (line, end) in lines(&commit).iter().zip(&expected) {
            assert!(line.starts_with("7  2026-11-22") && line.ends_with(end), "{line}: {end}");
        }
        assert_eq!(lines(&commit).len(), expected.len());
    }
}
