//! `headwater diff`: what two states of a namespace differ in.

use clap::Args;
use headwater_api::At;
use headwater_client::DiffQuery;
use headwater_schemas::Namespace;

use crate::args::Remote;
use crate::commands::{connect, preview};
use crate::exit::Failure;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  headwater diff payments.prod 4711
  headwater diff payments.prod 2026-11-22T08:00:00Z 2026-11-22T09:00:00Z --prefix db/

Not shown are keys that were put again as they were.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    /// Which namespace: payments.prod
    namespace: Namespace,
    /// The old state: a revision, or a time
    #[arg(value_name = "FROM")]
    from: At,
    /// The new state [default: now]
    #[arg(value_name = "TO")]
    to: Option<At>,
    /// Only keys that begin like this; db/ stays inside db
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: Diff) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    let query =
        DiffQuery { to: args.to, prefix: args.prefix.clone(), ..DiffQuery::since(args.from) };
    let (mut cursor, mut count) = (None, 0usize);
    loop {
        let page = client.diff(&args.namespace, &query, cursor.as_deref()).await?;
        for change in &page.changes {
            let (old, new) = (change.old.as_ref(), change.new.as_ref());
            if args.remote.json {
                output::json(change)?;
            } else if !preview::is_same(old, new) {
                count += 1;
                preview::change(old, new)?;
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            if !args.remote.json {
                let differ = if count == 1 {
                    "1 key differs".to_owned()
                } else {
                    format!("{count} keys differ")
                };
                output::note(format_args!("{differ} from revision {} to {}", page.from, page.to));
            }
            return Ok(());
        }
    }
}
