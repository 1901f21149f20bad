//! `headwater watch`: every applied change as it arrives, through the SDK.

use headwater::{Applied, Change, Client, ConnectError, Event};
use headwater_api::{CommitBody, Time};

use crate::args::Watch;
use crate::exit::{Exit, Failure};
use crate::output::{self, shown};
use crate::signals::Signals;

pub(super) async fn run(args: Watch) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::failed)?;
    let namespaces = args.namespaces.iter().map(ToString::to_string);
    let client =
        Client::builder().relay(args.remote.server.as_str()).namespaces(namespaces).connect();
    tokio::select! {
        _ = signals.next() => Ok(()),
        watched = async { follow(&args, client.await.map_err(|error| unreachable(&args, &error))?).await } => watched,
    }
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
    while left > 0 {
        match commits.next().await.map_err(|closed| ended(&client, closed))? {
            Event::Commit(applied) => left = left.saturating_sub(show(args, &applied, left)?),
            Event::Skipped { to } => {
                eprintln!("the commits up to revision {to} were skipped: they came as one image")
            }
        }
    }
    Ok(())
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
    let (revision, at, actor) = (commit.revision, Time(commit.at_ms), &commit.actor);
    let what = match change {
        Change::Put { namespace, key, content_type, value, version } => {
            format!("put {namespace}/{key} v{version} {}", shown(content_type, value))
        }
        Change::Delete { namespace, key } => format!("delete {namespace}/{key}"),
    };
    format!("{revision}  {at}  {actor}  {what}")
}
