//! `headwater commit`: a change set from a file, all or nothing.

mod file;

use std::path::PathBuf;

use clap::Args;
use headwater_client::If;

use crate::args::{Provenance, Remote};
use crate::commands::{connect, preview, write};
use crate::exit::Failure;
use crate::output;

const EXAMPLES: &str = "\
The file is the body of POST /v1/commits, as JSON or YAML:
  reason: more traffic
  base_revision: 4711               # refused if any of the keys was changed after it
  changes:
    - namespace: payments.prod
      key: db/pool
      put: {value: {max_connections: 40}}
    - namespace: payments.prod
      key: motd
      put: {content_type: text/plain, value: Hello}
      expect: {absent: true}
    - {namespace: payments.prod, key: old, delete: true}

Examples:
  headwater commit -f sale.yaml --dry-run
  headwater commit -f sale.yaml -m 'sale on Friday'
  generate | headwater commit -f -";

const CONFLICT: &str = "read them again (`headwater get NAMESPACE KEY --json` says mod_revision), mend expect, expects or \
base_revision in the file, and run it again";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Commit {
    /// The change set, as JSON or YAML; - reads standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    file: PathBuf,
    /// Say what would change, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Makes a retry land once: the same key and file get the same answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    provenance: Provenance,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: Commit) -> Result<(), Failure> {
    let mut request = file::read(&args.file)?;
    // What is typed is meant, whatever the file says.
    request.actor = args.provenance.actor.or(request.actor);
    request.reason = args.provenance.reason.or(request.reason);
    let client = connect(&args.remote)?;
    let how = write::write(Provenance::default(), If::Anything, args.idempotency_key);
    if args.dry_run {
        let shown = client.dry_run(&request, &how).await?;
        let told = preview::told(&shown, args.remote.json);
        return told.map_err(|failure| failure.at_precondition(CONFLICT));
    }
    let done = client.commit(&request, &how).await;
    let done = done.map_err(|error| write::failed(&how, error).at_precondition(CONFLICT))?;
    if args.remote.json {
        return output::json(&done.receipt);
    }
    let changes = output::count(done.receipt.changes.len(), "change");
    let revision = done.receipt.revision;
    let replayed = if done.replayed { " (done before)" } else { "" };
    output::line(format_args!("{changes} at revision {revision}{replayed}"))
}
