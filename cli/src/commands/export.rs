//! `headwater export`: a namespace as files that `headwater import` reads back, byte by byte.

mod file;
mod tree;

use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use headwater_api::{At, EntryBody, ListBody};
use headwater_client::{Client, ListQuery, Read};
use headwater_schemas::{Hash, Namespace};

use crate::args::Remote;
use crate::commands::connect;
use crate::exit::Failure;
use crate::output;

const NOTES: &str = "\
Formats:
  json    one JSON object of keys and values; only for namespaces whose values are all application/json
  ndjson  an entry a line as `headwater list --json` prints it, every type
  tree    a directory with a file for each key, and .headwater.json, which says what key and type each file has

`headwater import` reads all three, and every byte of the last two (json leaves out white space around a value). All of \
an export is of one revision. With --json its report (entries, revision, hash) is JSON, on standard error where the export itself goes to \
standard output.

Examples:
  headwater export payments.prod > payments.json
  headwater export payments.prod --format tree -o payments/ --at 2026-11-22T08:15:00Z
  headwater export payments.prod --format ndjson | gzip > payments.ndjson.gz";

/// Entries asked for at once.
const PAGE: usize = 1_000;

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Json,
    Ndjson,
    Tree,
}

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Export {
    /// What is exported: payments.prod
    namespace: Namespace,
    /// Only keys that begin like this; db/ stays inside db
    #[arg(long)]
    prefix: Option<String>,
    /// As it was after this revision, or at this time [default: now]
    #[arg(long, value_name = "REVISION|TIME")]
    at: Option<At>,
    /// In which form
    #[arg(long = "format", value_enum, default_value = "json")]
    form: Form,
    /// Where to: a file, or an empty or new directory for a tree [default: standard output]
    #[arg(long, short = 'o', value_name = "PATH", required_if_eq("form", "tree"))]
    output: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// What was exported.
#[derive(Debug, Default, serde::Serialize)]
struct Report {
    entries: usize,
    revision: u64,
    hash: Hash,
}

/// An entry with its exact bytes.
struct Exported {
    entry: EntryBody,
    value: Bytes,
}

/// Where entries go.
trait Sink {
    /// Takes the next one, in byte order of keys.
    fn take(&mut self, entry: Exported) -> Result<(), Failure>;

    /// Makes it whole.
    fn finish(self: Box<Self>, about: &Report) -> Result<(), Failure>;
}

pub(super) use tree::{Branch, CONTENTS, Contents};

pub(super) async fn run(args: Export) -> Result<(), Failure> {
    let client = connect(&args.remote)?;
    let mut sink: Box<dyn Sink> = match (args.form, &args.output) {
        (Form::Tree, Some(dir)) => Box::new(tree::Tree::begin(&args.namespace, dir)?),
        (form, path) => Box::new(file::File::begin(form, path.as_deref())?),
    };
    let (prefix, limit) = (args.prefix.clone(), Some(PAGE));
    let query = ListQuery { prefix, at: args.at, limit, ..ListQuery::default() };
    let mut pages = client.pages(&args.namespace, &query);
    let mut report = Report::default();
    while let Some(page) = pages.next().await? {
        let ListBody { revision, hash, entries, .. } = page;
        if args.form == Form::Json {
            entries.iter().try_for_each(file::has_place)?;
        }
        report = Report { entries: report.entries + entries.len(), revision, hash };
        for entry in entries {
            sink.take(exact(&client, entry, revision).await?)?;
        }
    }
    sink.finish(&report)?;
    told(&args, &report)
}

fn told(args: &Export, report: &Report) -> Result<(), Failure> {
    let (keys, revision) = (output::count(report.entries, "key"), report.revision);
    match &args.output {
        Some(_) if args.remote.json => output::json(report),
        Some(path) => {
            let path = path.display();
            output::line(format_args!("{path}: {keys} at revision {revision}"))
        }
        None if args.remote.json => {
            output::note(output::one_line_of_json(report).map_err(Failure::failed)?);
            Ok(())
        }
        None => {
            output::note(format_args!("{keys} at revision {revision}"));
            Ok(())
        }
    }
}

/// White space around JSON is not in an entry's JSON: such a value is asked for once more, as it is stored.
async fn exact(client: &Client, entry: EntryBody, revision: u64) -> Result<Exported, Failure> {
    let value = entry.bytes().map_err(Failure::failed)?;
    if value.len() as u64 == entry.size {
        return Ok(Exported { entry, value });
    }
    let read = Read { at: Some(At::Revision(revision)), ..Read::default() };
    let raw = client.get_raw(&entry.namespace, &entry.key, &read).await?;
    let gone = || Failure::failed(format_args!("{} is not what the list says", entry.key));
    let value = raw.ok_or_else(gone)?.value;
    Ok(Exported { entry, value })
}
