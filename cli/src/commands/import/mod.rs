//! `headwater import`: a JSON object or a directory into a namespace, in atomic commits.

mod batch;
mod source;

use std::io::IsTerminal;

use headwater_api::{ChangeKind, ChangeRequest, CommitRequest, PutRequest, Value};
use headwater_client::{Client, If, Write};
use headwater_schemas::Namespace;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Import;
use crate::commands::{connect, write};
use crate::exit::Failure;
use crate::output;
use source::Item;

pub(super) async fn run(args: Import) -> Result<(), Failure> {
    let items = source::read(&args.path, args.strip_extension)?;
    if items.is_empty() {
        return Err(Failure::failed(format_args!(
            "{}: there is nothing to import",
            args.path.display()
        )));
    }
    let batches = batch::batches(&args.namespace, &items);
    let client = connect(&args.remote)?;
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
        if self.args.remote.json {
            let report =
                serde_json::json!({ "keys": keys, "commits": batches.len(), "revision": revision });
            return output::json(&report);
        }
        let (namespace, commits) = (&self.args.namespace, batches.len());
        output::line(format_args!(
            "imported {keys} keys into {namespace} in {commits} commits, up to revision {revision}"
        ))
    }

    async fn preview(&self, batches: &[&[Item]]) -> Result<(), Failure> {
        let (mut added, mut changed, mut same) = (0usize, 0usize, 0usize);
        for batch in batches {
            let request = request(&self.args.namespace, batch);
            let shown = self.client.dry_run(&request, &self.how()).await?;
            for change in &shown.changes {
                let unchanged = match (&change.old, &change.new) {
                    (Some(old), Some(new)) => {
                        old.content_type == new.content_type && old.bytes().ok() == new.bytes().ok()
                    }
                    _ => false,
                };
                match change.kind {
                    _ if unchanged => same += 1,
                    ChangeKind::Added => added += 1,
                    ChangeKind::Changed | ChangeKind::Removed => changed += 1,
                }
            }
            self.bar.inc(batch.len() as u64);
        }
        if self.args.remote.json {
            let commits = batches.len();
            let report = serde_json::json!({
                "added": added, "changed": changed, "same": same, "commits": commits, "dry_run": true,
            });
            return output::json(&report);
        }
        let commits = batches.len();
        output::line(format_args!(
            "would add {added} keys, change {changed} and set {same} to what they are, in {commits} commits; nothing was written"
        ))
    }
}

fn request(namespace: &Namespace, batch: &[Item]) -> CommitRequest {
    let change = |item: &Item| ChangeRequest {
        namespace: namespace.to_string(),
        key: item.key.to_string(),
        put: Some(put(item)),
        ..ChangeRequest::default()
    };
    let attributes = [("tool".to_owned(), "headwater import".to_owned())].into();
    CommitRequest {
        changes: batch.iter().map(change).collect(),
        attributes,
        ..CommitRequest::default()
    }
}

/// JSON and text go as they stand, everything else as base64: the bytes arrive exactly.
fn put(item: &Item) -> PutRequest {
    let Value { value, value_base64 } = Value::show(item.content_type, &item.value);
    PutRequest { content_type: Some(item.content_type.to_owned()), value, value_base64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_arrives_byte_by_byte() {
        for (content_type, value) in [
            ("application/json", b"{\"x\":  1.50}".as_slice()),
            ("text/plain", b"a\tb\n"),
            ("text/plain", b"\xff"),
            ("application/octet-stream", b"\0\x01"),
        ] {
            let item = Item { key: "k".parse().unwrap(), content_type, value: value.into() };
            let put = put(&item);
            let sent = Value { value: put.value, value_base64: put.value_base64 };
            assert_eq!(sent.bytes(content_type).unwrap().as_ref(), value);
        }
    }
}
