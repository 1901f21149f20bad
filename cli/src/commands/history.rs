//! `headwater history`: every version of a key, newest first.

use std::num::NonZeroUsize;

use clap::Args;
use headwater_api::{HistoryBody, Op, VersionBody};
use headwater_schemas::{Key, Namespace};

use crate::args::Remote;
use crate::commands::connect;
use crate::exit::Failure;
use crate::output::{self, Rows, one_line, shown};

/// Versions asked for at once.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Where the key stands: payments.prod
    namespace: Namespace,
    /// Which key: db/pool
    key: Key,
    /// The newest so many [default: all]
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<NonZeroUsize>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: History) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    let mut rows = Rows::new(["REVISION", "WHEN", "BY", "WHAT", "VALUE", "WHY"]);
    let mut left = args.limit.map_or(usize::MAX, NonZeroUsize::get);
    let mut cursor = None;
    while left > 0 {
        let limit = Some(left.min(PAGE));
        let page = client.history(&args.namespace, &args.key, limit, cursor.as_deref()).await?;
        let HistoryBody { versions, next } = page;
        for version in versions.iter().take(left) {
            if args.remote.json { output::json(version)? } else { rows.add(row(version))? }
        }
        left = left.saturating_sub(versions.len());
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    if args.remote.json { Ok(()) } else { rows.print() }
}

fn row(version: &VersionBody) -> [String; 6] {
    let what = match (version.op, version.version) {
        (Op::Put, Some(number)) => format!("put v{number}"),
        (Op::Put, None) => "put".to_owned(),
        (Op::Delete, _) => "delete".to_owned(),
    };
    let value = version.bytes().ok().flatten();
    let content_type = version.content_type.as_deref().unwrap_or_default();
    [
        version.revision.to_string(),
        output::time(version.at),
        one_line(&version.actor),
        what,
        value.map(|value| shown(content_type, &value)).unwrap_or_default(),
        one_line(version.reason.as_deref().unwrap_or_default()),
    ]
}
