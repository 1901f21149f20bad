//! `headwater import`: a JSON object or a directory into a namespace, in atomic commits.

mod batch;
mod prune;
mod source;
mod tree;

use std::io::IsTerminal;

use headwater_api::{
    ChangeKind, ChangeRequest, CommitRequest, ExpectRequest, PreviewBody, PutRequest, Value,
};
use headwater_client::{Client, If, Write};
use headwater_schemas::{Key, Namespace};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Import;
use crate::commands::{connect, preview, write};
use crate::exit::Failure;
use crate::output;
use source::{Change, Item};

pub(super) async fn run(args: Import) -> Result<(), Failure> {
    let mut items = source::read(&args.path, args.strip_extension)?;
    if items.is_empty() {
        return Err(Failure::failed(format_args!(
            "{}: there is nothing to import",
            args.path.display()
        )));
    }
    let client = connect(&args.remote)?;
    if args.prune {
        items.extend(prune::missing(&client, &args.namespace, &items).await?);
    }
    let batches = batch::batches(&args.namespace, &items);
    let import = Running { client, args: &args, bar: bar(items.len() as u64) };
    let done =
        if args.dry_run { import.preview(&batches).await } else { import.commit(&batches).await };
    import.bar.finish_and_clear();
    done
}

/// A bar for a person who watches, nothing for a file.
fn bar(items: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} keys {eta}");
    ProgressBar::new(items).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

struct Running<'a> {
    client: Client,
    args: &'a Import,
    bar: ProgressBar,
}

impl Running<'_> {
    fn how(&self) -> Write {
        write::write(self.args.provenance.clone(), If::Anything, None)
    }

    async fn commit(&self, batches: &[&[Item]]) -> Result<(), Failure> {
        let (mut keys, mut revision) = (0, 0);
        for (done, batch) in batches.iter().enumerate() {
            let how = self.how();
            let request = request(&self.args.namespace, batch);
            let written = self.client.commit(&request, &how).await.map_err(|error| {
                let failure = Failure::from(error).while_(format_args!(
                    "commit {} of {}",
                    done + 1,
                    batches.len()
                ));
                failure.hint(format!(
                    "{keys} keys were imported before it; mend the cause and run the import again"
                ))
            })?;
            revision = written.receipt.revision;
            keys += batch.len();
            self.bar.set_position(keys as u64);
        }
        let is_gone = |item: &&Item| matches!(item.change, Change::Delete { .. });
        let deleted = batches.iter().flat_map(|batch| batch.iter()).filter(is_gone).count();
        let (keys, commits) = (keys - deleted, batches.len());
        if self.args.remote.json {
            let report = serde_json::json!({
                "keys": keys, "deleted": deleted, "commits": commits, "revision": revision,
            });
            return output::json(&report);
        }
        let namespace = &self.args.namespace;
        let pruned = if deleted == 0 { String::new() } else { format!(", deleted {deleted}") };
        output::line(format_args!(
            "imported {keys} keys into {namespace}{pruned} in {commits} commits, up to revision {revision}"
        ))
    }

    async fn preview(&self, batches: &[&[Item]]) -> Result<(), Failure> {
        let mut found = Found::default();
        for batch in batches {
            let request = request(&self.args.namespace, batch);
            let shown = self.client.dry_run(&request, &self.how()).await?;
            preview::judged(&shown)?;
            shown.changes.iter().for_each(|change| found.count(change));
            self.bar.inc(batch.len() as u64);
        }
        if self.args.remote.json {
            let (Found { added, changed, same, removed }, commits) = (found, batches.len());
            let report = serde_json::json!({
                "added": added, "changed": changed, "same": same, "removed": removed, "commits": commits,
                "dry_run": true,
            });
            return output::json(&report);
        }
        let Found { added, changed, same, removed } = &found;
        removed.iter().try_for_each(|key| output::line(format_args!("would delete {key}")))?;
        let pruned = match removed.len() {
            0 => String::new(),
            count => format!(", delete {count}"),
        };
        let commits = batches.len();
        output::line(format_args!(
            "would add {added} keys, change {changed}{pruned} and set {same} to what they are, in {commits} commits; \
             nothing was written"
        ))
    }
}

/// What a dry run found.
#[derive(Debug, Default)]
struct Found {
    added: usize,
    changed: usize,
    same: usize,
    removed: Vec<Key>,
}

impl Found {
    fn count(&mut self, change: &PreviewBody) {
        match (change.kind, &change.old, &change.new) {
            (ChangeKind::Removed, ..) => self.removed.push(change.key.clone()),
            (ChangeKind::Added, ..) => self.added += 1,
            (_, old, new) if preview::is_same(old.as_ref(), new.as_ref()) => self.same += 1,
            _ => self.changed += 1,
        }
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
