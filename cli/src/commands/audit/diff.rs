//! `headwater audit diff`.

use headwater_api::EntryBody;
use headwater_audit::{Difference, diff};
use headwater_schemas::Entry;

use super::args::Diff;
use super::point;
use super::source::{Opened, failed};
use crate::exit::Failure;
use crate::output::{self, one_line, shown};

pub(super) async fn run(args: Diff) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    let done = of(&args, &opened).await;
    opened.close().await;
    done
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

/// A difference, for programs; values stand in it as they were put.
#[derive(serde::Serialize)]
struct Line<'a> {
    namespace: &'a str,
    key: &'a str,
    kind: &'static str,
    old: Option<EntryBody>,
    new: Option<EntryBody>,
}

fn as_json(it: &Difference) -> Result<(), Failure> {
    let kind = match (&it.old, &it.new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let body = |entry: &Option<Entry>| {
        entry.as_ref().map(|entry| EntryBody::new(&it.namespace, &it.key, entry.as_ref()))
    };
    let (namespace, key) = (it.namespace.as_str(), it.key.as_str());
    output::json(&Line { namespace, key, kind, old: body(&it.old), new: body(&it.new) })
}

fn text(it: &Difference) -> Result<(), Failure> {
    let line = |sign: char, entry: &Entry| {
        let value = shown(&entry.content_type, &entry.value);
        let name = one_line(&format!("{}/{}", it.namespace, it.key));
        output::line(format_args!("{sign} {name}  {value}"))
    };
    it.old.iter().try_for_each(|entry| line('-', entry))?;
    it.new.iter().try_for_each(|entry| line('+', entry))
}
