//! `headwater audit log`.

use headwater_api::{ChangeBody, CommitBody, Op};
use headwater_audit::{AuditError, Listing, Order, list};
use headwater_client::{Client, CommitsQuery};

use super::args::{Log, OrderArg};
use super::source::{Opened, failed};
use crate::exit::Failure;
use crate::output::{self, Rows, one_line};

/// The most commits of one page that a server gives, and that a log is asked for the newest first: it is read from its
/// genesis on, and what is not yet printed is held.
const PAGE: usize = 1_000;
/// The most changes of one commit that a table names.
const NAMED: usize = 3;

pub(super) async fn run(args: Log) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    let mut printer = Printer::new(args.json);
    let done = match &opened {
        Opened::Server(client) => of_server(&args, client, &mut printer).await,
        _ => of_log(&args, &opened, &mut printer).await,
    };
    done?;
    printer.end()
}

/// A server has indexes: it is asked, and not read from its genesis on.
async fn of_server(args: &Log, client: &Client, printer: &mut Printer) -> Result<(), Failure> {
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut query = CommitsQuery {
        after: args.after,
        before: args.before,
        namespace: args.namespace.clone(),
        prefix: args.prefix.clone(),
        actor: args.actor.clone(),
        since: args.since,
        until: args.until,
        descending: args.order == OrderArg::Desc,
        stream: None,
        limit: None,
    };
    let mut cursor: Option<String> = None;
    query.limit = Some(left.clamp(1, PAGE));
    while left > 0 {
        let page = client.commits(&query, cursor.as_deref()).await?;
        for commit in page.commits.into_iter().take(left) {
            left -= 1;
            printer.show(commit)?;
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

async fn of_log(args: &Log, opened: &Opened, printer: &mut Printer) -> Result<(), Failure> {
    let listing = Listing {
        after: args.after,
        before: args.before,
        namespace: args.namespace.as_ref().map(ToString::to_string),
        prefix: args.prefix.clone(),
        actor: args.actor.clone(),
        since_ms: args.since.map(|time| time.0),
        until_ms: args.until.map(|time| time.0),
        order: match args.order {
            OrderArg::Asc => Order::Ascending,
            OrderArg::Desc => Order::Descending,
        },
        limit: args.limit.or((args.order == OrderArg::Desc).then_some(PAGE)),
    };
    let mut reader = opened.reader().await?;
    let (mut told, mut count) = (None, 0);
    let listed = list(reader.as_mut(), &listing, |listed| {
        count += 1;
        let shown = printer.show(CommitBody::new(&listed.commit, listed.hash));
        shown.map_err(|failure| {
            told = Some(failure);
            AuditError::Output(String::new())
        })
    })
    .await;
    if args.limit.is_none() && listing.limit == Some(count) {
        eprintln!("the newest {count}; --limit gives more, and holds them in memory");
    }
    match told {
        Some(failure) => Err(failure),
        None => listed.map_err(failed),
    }
}

/// A table for people, lines of JSON for programs.
struct Printer(Option<Rows>);

impl Printer {
    fn new(json: bool) -> Self {
        let header = ["REVISION", "WHEN", "WHO", "WHAT", "WHY"];
        Self((!json).then(|| Rows::new(header)))
    }

    fn show(&mut self, commit: CommitBody) -> Result<(), Failure> {
        let Some(rows) = &mut self.0 else { return output::json(&commit) };
        rows.add([
            commit.revision.to_string(),
            output::time(commit.at),
            one_line(&commit.actor),
            what(&commit.changes),
            one_line(commit.reason.as_deref().unwrap_or_default()),
        ])
    }

    fn end(self) -> Result<(), Failure> {
        self.0.map_or(Ok(()), Rows::print)
    }
}

fn what(changes: &[ChangeBody]) -> String {
    if changes.is_empty() {
        return "(barrier)".to_owned();
    }
    let named = changes.iter().take(NAMED).map(|change| {
        let op = match change.op {
            Op::Put => "put",
            Op::Delete => "delete",
        };
        one_line(&format!("{op} {}/{}", change.namespace, change.key))
    });
    let more = changes.len().saturating_sub(NAMED);
    let mut text = named.collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
