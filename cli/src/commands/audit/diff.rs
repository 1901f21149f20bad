//! `headwater audit diff`.

use headwater_api::{DifferenceBody, EntryBody};
use headwater_audit::{Difference, diff};
use headwater_schemas::Entry;

use super::args::Diff;
use super::point;
use super::source::{Opened, failed};
use crate::commands::preview;
use crate::exit::Failure;
use crate::output;

pub(super) async fn run(args: Diff) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    of(&args, &opened).await
}

async fn of(args: &Diff, opened: &Opened) -> Result<(), Failure> {
    let mut reader = opened.reader().await?;
    let (from, to) = (point(Some(args.from)), point(Some(args.to)));
    let (from, to, changes) = diff(reader.as_mut(), from, to).await.map_err(failed)?;
    eprintln!("revision {from} → {to}");
    let wanted = |it: &&Difference| {
        args.namespace.as_ref().is_none_or(|namespace| *namespace == it.namespace)
            && it.key.as_str().starts_with(&args.prefix)
    };
    changes.iter().filter(wanted).try_for_each(|it| if args.json { as_json(it) } else { text(it) })
}

/// As the API says it, with the namespace: here all of them are compared.
#[derive(serde::Serialize)]
struct Line<'a> {
    namespace: &'a str,
    #[serde(flatten)]
    difference: DifferenceBody,
}

fn as_json(it: &Difference) -> Result<(), Failure> {
    let (old, new) = bodies(it);
    let difference = DifferenceBody::new(it.key.clone(), old, new);
    output::json(&Line { namespace: it.namespace.as_str(), difference })
}

fn text(it: &Difference) -> Result<(), Failure> {
    let (old, new) = bodies(it);
    if preview::is_same(old.as_ref(), new.as_ref()) {
        return Ok(());
    }
    preview::change(old.as_ref(), new.as_ref())
}

fn bodies(it: &Difference) -> (Option<EntryBody>, Option<EntryBody>) {
    let body = |entry: &Option<Entry>| {
        entry.as_ref().map(|entry| EntryBody::new(&it.namespace, &it.key, entry.as_ref()))
    };
    (body(&it.old), body(&it.new))
}
