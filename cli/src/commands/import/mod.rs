//! `headwater import`: a JSON object or a directory into a namespace, in atomic commits.

mod batch;
mod prune;
mod same;
mod source;
mod tree;

use std::collections::HashMap;
use std::io::IsTerminal;

use headwater_api::{ChangeKind, ChangeRequest, CommitRequest, ExpectRequest, PutRequest, Value};
use headwater_client::{Client, If, Write};
use headwater_schemas::{Key, Namespace};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Import;
use crate::commands::{connect, preview, write};
use crate::exit::Failure;
use crate::output;
use source::{Change, Item};

pub(crate) use source::Form;

pub(super) async fn run(args: Import) -> Result<(), Failure> {
    let mut items = source::read(&args.path, args.format, args.strip_extension)?;
    let client = connect(&args.remote)?;
    if args.prune {
        items.extend(prune::missing(&client, &args.namespace, &items).await?);
    }
    let import = Running { client, args: &args };
    let compared = import.compare(items).await?;
    if args.dry_run { import.previewed(&compared) } else { import.commit(&compared).await }
}

/// A bar for a person who watches, nothing for a file.
fn bar(doing: &'static str, items: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} keys {eta}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(items as u64).with_style(style).with_message(doing)
}

struct Running<'a> {
    client: Client,
    args: &'a Import,
}

impl Running<'_> {
    fn how(&self) -> Write {
        write::write(self.args.provenance.clone(), If::Anything, None)
    }

    /// What differs from what the server has: a key that is as in the import already makes no commit.
    async fn compare(&self, items: Vec<Item>) -> Result<Compared, Failure> {
        let mut compared = Compared::default();
        let bar = bar("comparing", items.len());
        let batches = batch::batches(&self.args.namespace, &items);
        for (index, batch) in batches.iter().enumerate() {
            let request = request(&self.args.namespace, batch);
            let shown = self.client.dry_run(&request, &self.how()).await;
            let shown = shown.map_err(|error| {
                part(error.into(), index, batches.len()).hint("nothing was written")
            })?;
            preview::judged(&shown).map_err(|failure| failure.at_precondition(MEANWHILE))?;
            compared.revision = shown.revision;
            let previews: HashMap<_, _> =
                shown.changes.iter().map(|change| (&change.key, change)).collect();
            for item in *batch {
                match previews.get(&item.key) {
                    Some(change) if same::is(&self.client, item, change).await? => {
                        compared.unchanged += 1;
                    }
                    change => compared.differing(item, change.map(|change| change.kind)),
                }
            }
            bar.inc(batch.len() as u64);
        }
        bar.finish_and_clear();
        Ok(compared)
    }

    async fn commit(&self, compared: &Compared) -> Result<(), Failure> {
        let items = &compared.items;
        let bar = bar("writing", items.len());
        let batches = batch::batches(&self.args.namespace, items);
        let (mut done, mut revision) = (0, compared.revision);
        for (index, batch) in batches.iter().enumerate() {
            let request = request(&self.args.namespace, batch);
            let written = self.client.commit(&request, &self.how()).await.map_err(|error| {
                let failure = part(write::outcome(error), index, batches.len());
                failure.hint(format!(
                    "{} were written before it; mend the cause and run the import again",
                    output::count(done, "key")
                ))
            })?;
            revision = written.receipt.revision;
            done += batch.len();
            bar.set_position(done as u64);
        }
        bar.finish_and_clear();
        self.told(compared, batches.len(), revision)
    }

    fn told(&self, compared: &Compared, commits: usize, revision: u64) -> Result<(), Failure> {
        let Compared { unchanged, removed, .. } = compared;
        let (keys, deleted) = (compared.items.len() - removed.len(), removed.len());
        if self.args.remote.json {
            let report = serde_json::json!({
                "keys": keys, "deleted": deleted, "unchanged": unchanged, "commits": commits, "revision": revision,
            });
            return output::json(&report);
        }
        let namespace = &self.args.namespace;
        if commits == 0 {
            let unchanged = output::count(*unchanged, "key");
            return output::line(format_args!(
                "nothing differs: {unchanged} unchanged in {namespace}; nothing was written"
            ));
        }
        let pruned = if deleted == 0 { String::new() } else { format!(", deleted {deleted}") };
        let (keys, commits) = (output::count(keys, "key"), output::count(commits, "commit"));
        output::line(format_args!(
            "imported {keys} into {namespace}{pruned} in {commits}, up to revision {revision}; {unchanged} unchanged"
        ))
    }

    fn previewed(&self, compared: &Compared) -> Result<(), Failure> {
        let Compared { added, changed, unchanged, removed, .. } = compared;
        let commits = batch::batches(&self.args.namespace, &compared.items).len();
        if self.args.remote.json {
            let report = serde_json::json!({
                "added": added, "changed": changed, "unchanged": unchanged, "removed": removed, "commits": commits,
                "dry_run": true,
            });
            return output::json(&report);
        }
        removed.iter().try_for_each(|key| output::line(format_args!("would delete {key}")))?;
        let pruned = match removed.len() {
            0 => String::new(),
            count => format!(", delete {count}"),
        };
        let (added, commits) = (output::count(*added, "key"), output::count(commits, "commit"));
        output::line(format_args!(
            "would add {added}, change {changed}{pruned} and leave {unchanged} unchanged, in {commits}; nothing was written"
        ))
    }
}

/// What to do about keys that were changed between the look at them and the write.
const MEANWHILE: &str = "somebody changed the namespace meanwhile: run the import again";

/// Which commit of several failed.
fn part(failure: Failure, index: usize, of: usize) -> Failure {
    failure.while_(format_args!("commit {} of {of}", index + 1)).at_precondition(MEANWHILE)
}

/// An import beside what the server has.
#[derive(Debug, Default)]
struct Compared {
    /// What is to be written.
    items: Vec<Item>,
    added: usize,
    changed: usize,
    unchanged: usize,
    removed: Vec<Key>,
    /// The state it was compared with.
    revision: u64,
}

impl Compared {
    fn differing(&mut self, item: &Item, kind: Option<ChangeKind>) {
        match (&item.change, kind) {
            (Change::Delete { .. }, _) => self.removed.push(item.key.clone()),
            (_, Some(ChangeKind::Added)) => self.added += 1,
            _ => self.changed += 1,
        }
        self.items.push(item.clone());
    }
}

fn request(namespace: &Namespace, batch: &[Item]) -> CommitRequest {
    let attributes = [("tool".to_owned(), "headwater import".to_owned())].into();
    CommitRequest {
        changes: batch.iter().map(|item| change(namespace, item)).collect(),
        attributes,
        ..CommitRequest::default()
    }
}

fn change(namespace: &Namespace, item: &Item) -> ChangeRequest {
    let named = ChangeRequest {
        namespace: namespace.to_string(),
        key: item.key.to_string(),
        ..ChangeRequest::default()
    };
    match &item.change {
        Change::Put { content_type, value } => {
            ChangeRequest { put: Some(put(content_type, value)), ..named }
        }
        Change::Delete { mod_revision } => {
            let expect =
                ExpectRequest { revision: Some(*mod_revision), ..ExpectRequest::default() };
            ChangeRequest { delete: Some(true), expect: Some(expect), ..named }
        }
    }
}

/// JSON and text go as they stand, everything else as base64: the bytes arrive exactly.
fn put(content_type: &str, value: &[u8]) -> PutRequest {
    let shown = Value::show(content_type, value);
    let is_exact = shown.bytes(content_type).is_ok_and(|bytes| bytes == value);
    // White space around JSON is not in its JSON form.
    let opaque = || Value::show(OPAQUE, value);
    let Value { value, value_base64 } = if is_exact { shown } else { opaque() };
    PutRequest { content_type: Some(content_type.to_owned()), value, value_base64 }
}

/// A type whose values go as base64.
const OPAQUE: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_arrives_byte_by_byte() {
        for (content_type, value) in [
            ("application/json", b"{\"x\":  1.50}".as_slice()),
            ("application/json", b" {}\n"),
            ("text/plain", b"a\tb\n"),
            ("text/plain", b"\xff"),
            ("application/octet-stream", b"\0\x01"),
        ] {
            let put = put(content_type, value);
            let sent = Value { value: put.value, value_base64: put.value_base64 };
            assert_eq!(sent.bytes(content_type).unwrap().as_ref(), value);
        }
    }
}
