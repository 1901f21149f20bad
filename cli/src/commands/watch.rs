//! `headwater watch`: every applied change as it arrives, through the SDK.

use std::time::Duration;

use headwater::{Applied, Change, Client, ConnectError, Event};
use headwater_api::{CommitBody, Time};
use tokio::time::{MissedTickBehavior, interval};

use crate::args::Watch;
use crate::commands::connect;
use crate::exit::{Exit, Failure};
use crate::output::{self, one_line, shown};
use crate::signals::Signals;

/// How often a watch looks whether it is still connected: an SDK client goes on by itself, and a person waits.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(args: Watch) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::failed)?;
    tokio::select! {
        _ = signals.next() => Ok(()),
        watched = watch(&args) => watched,
    }
}

async fn watch(args: &Watch) -> Result<(), Failure> {
    // A server that is not there is told of at once: the SDK would wait for it.
    connect(&args.remote)?.status().await?;
    let namespaces = args.namespaces.iter().map(ToString::to_string);
    let client =
        Client::builder().relay(args.remote.server.as_str()).namespaces(namespaces).connect();
    follow(args, client.await.map_err(|error| unreachable(args, &error))?).await
}

fn unreachable(args: &Watch, error: &ConnectError) -> Failure {
    let exit = if matches!(error, ConnectError::NoState { .. }) {
        Exit::Unreachable
    } else {
        Exit::Failed
    };
    Failure::new(exit, error).while_(format_args!("--server {}", args.remote.server))
}

async fn follow(args: &Watch, client: Client) -> Result<(), Failure> {
    let mut commits = client.commits();
    eprintln!("watching from revision {}; Ctrl-C ends", client.view().revision());
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut link = Link::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while left > 0 {
        let event = tokio::select! {
            event = commits.next() => event.map_err(|closed| ended(&client, closed))?,
            _ = look.tick() => {
                link.look(&client);
                continue;
            }
        };
        match event {
            Event::Commit(applied) => left = left.saturating_sub(show(args, &applied, left)?),
            Event::Skipped { to } => {
                eprintln!("the commits up to revision {to} were skipped: they came as one image")
            }
        }
    }
    Ok(())
}

/// Whether the server is there, as it was told last.
#[derive(Default)]
struct Link {
    lost: bool,
}

impl Link {
    /// Tells a person when the server went away, and when it is back.
    fn look(&mut self, client: &Client) {
        let status = client.status();
        match (self.lost, status.stale) {
            (false, true) => {
                let cause = status.last_error.unwrap_or_else(|| "the stream broke off".to_owned());
                eprintln!("{cause}; trying again until it is back or Ctrl-C");
            }
            (true, false) => eprintln!("connected again, at revision {}", status.revision),
            _ => {}
        }
        self.lost = status.stale;
    }
}

fn ended(client: &Client, closed: headwater::Closed) -> Failure {
    let cause = client.status().last_error;
    Failure::failed(cause.unwrap_or_else(|| closed.to_string()))
}

/// Prints the changes that were asked for, at most so many, and says how many those were.
fn show(args: &Watch, applied: &Applied, most: u64) -> Result<u64, Failure> {
    let wanted = |change: &&Change| {
        let named = args.namespaces.is_empty() || args.namespaces.contains(change.namespace());
        named && change.key().as_str().starts_with(&args.prefix)
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let changes: Vec<Change> =
        applied.commit.changes.iter().filter(wanted).take(most).cloned().collect();
    let count = changes.len() as u64;
    if changes.is_empty() {
        return Ok(0);
    }
    let commit = headwater::Commit { changes, ..applied.commit.clone() };
    if args.remote.json {
        output::json(&CommitBody::new(&commit, applied.head.hash))?;
    } else {
        commit.changes.iter().try_for_each(|change| output::line(told(&commit, change)))?;
    }
    Ok(count)
}

fn told(commit: &headwater::Commit, change: &Change) -> String {
    let (revision, at, actor) = (commit.revision, Time(commit.at_ms), one_line(&commit.actor));
    let what = match change {
        Change::Put { namespace, key, content_type, value, version } => {
            format!("put {namespace}/{key} v{version} {}", shown(content_type, value))
        }
        Change::Delete { namespace, key } => format!("delete {namespace}/{key}"),
    };
    let why = commit.reason.as_deref().map(|why| format!("  ({why})")).unwrap_or_default();
    format!("{revision}  {at}  {actor}  {what}{}", one_line(&why))
}
