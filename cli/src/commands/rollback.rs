//! `headwater rollback`: an older state as a new commit. A person sees what it changes first.

use std::io::IsTerminal;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use headwater_api::{At, RollbackRequest};
use headwater_client::{Client, If, Write};
use headwater_schemas::{Key, Namespace};

use crate::args::{Provenance, Remote};
use crate::commands::{connect, preview, write};
use crate::exit::Failure;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  headwater rollback payments.prod --to 4711 -m 'pool was too large'
  headwater rollback payments.prod --prefix db/ --to 2026-11-22T08:15:00Z -m 'back to before the sale' --dry-run
  headwater rollback payments.prod --key db/pool --to 4711 -m 'just this one' --yes

Values, media types and deletions come back; what does not differ is not touched. It is a commit like any other, and is \
rolled back like one. On a terminal the changes are shown and asked about first, and refused when somebody changes the \
same keys meanwhile.";

/// What to do about keys that were changed meanwhile.
const CHANGED: &str = "look again with --dry-run and without --base-revision, and decide again";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rollback {
    /// What goes back: payments.prod
    namespace: Namespace,
    /// The revision to go back to, or a time: the last commit at or before it
    #[arg(long, value_name = "REVISION|TIME")]
    to: At,
    /// Only this key
    #[arg(long, conflicts_with = "prefix")]
    key: Option<Key>,
    /// Only keys that begin like this; db/ stays inside db
    #[arg(long)]
    prefix: Option<String>,
    /// Only if none of the keys was changed after this revision
    #[arg(long, value_name = "REVISION")]
    base_revision: Option<u64>,
    /// Say what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
    /// Makes a retry land once: the same key gets the same answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Why; kept with the change
    #[arg(long, short = 'm', value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// Who makes the change; kept with it
    #[arg(long, env = "HEADWATER_ACTOR", value_name = "NAME")]
    actor: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: Rollback) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    let mut request = RollbackRequest {
        namespace: args.namespace.to_string(),
        key: args.key.as_ref().map(Key::to_string),
        prefix: args.prefix.clone(),
        to_revision: preview::revision_at(&client, &args.namespace, args.to).await?,
        reason: Some(args.reason.clone()),
        actor: args.actor.clone(),
        base_revision: args.base_revision,
    };
    let how = write::write(Provenance::default(), If::Anything, args.idempotency_key.clone());
    if args.dry_run {
        let shown = client.rollback_dry_run(&request, &how).await?;
        return preview::told(&shown, args.remote.json)
            .map_err(|failure| failure.at_precondition(CHANGED));
    }
    if !args.yes && std::io::stdin().is_terminal() && !ask(&client, &mut request, &how).await? {
        return write::nothing(request.base_revision, "nothing was changed", args.remote.json);
    }
    commit(&args, &client, &request, &how).await
}

/// Shows what would change. What is agreed to is what was seen: a change after that is a conflict.
async fn ask(client: &Client, request: &mut RollbackRequest, how: &Write) -> Result<bool, Failure> {
    let shown = client.rollback_dry_run(request, how).await?;
    preview::judged(&shown).map_err(|failure| failure.at_precondition(CHANGED))?;
    if shown.changes.is_empty() {
        return Ok(true);
    }
    // Where the question is: standard output is what programs read.
    output::beside(&preview::diffs(&shown, output::colours_beside()))?;
    request.base_revision.get_or_insert(shown.revision);
    let (keys, to) = (output::count(shown.changes.len(), "key"), request.to_revision);
    output::confirmed(&format!("Take {keys} back to revision {to}?")).await
}

async fn commit(
    args: &Rollback,
    client: &Client,
    request: &RollbackRequest,
    how: &Write,
) -> Result<(), Failure> {
    let done = client
        .rollback(request, how)
        .await
        .map_err(|error| write::failed(how, error).at_precondition(CHANGED))?;
    let to = request.to_revision;
    if args.remote.json {
        return output::json(&done.receipt);
    }
    if done.receipt.commit_id.is_none() {
        return output::line(format_args!(
            "nothing differs from revision {to}; nothing was written"
        ));
    }
    let (count, revision) = (done.receipt.changes.len(), done.receipt.revision);
    let keys = if count == 1 { "1 key is".to_owned() } else { format!("{count} keys are") };
    let replayed = if done.replayed { " (done before)" } else { "" };
    output::line(format_args!("{keys} as at revision {to}, by revision {revision}{replayed}"))
}
