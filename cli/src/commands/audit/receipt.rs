//! `headwater audit receipt` and `check-receipt`.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use headwater_api::{CommitBody, Value};
use headwater_audit::{Proof, check_receipt, write_receipt};
use serde_json::json;

use super::args::{CheckReceipt, HeadArg, Receipt};
use super::source::{Opened, failed};
use super::write::Output;
use crate::exit::Failure;
use crate::output::{self, one_line, shown};

pub(super) async fn run(args: Receipt) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    let done = of(&args, &opened).await;
    opened.close().await;
    done
}

async fn of(args: &Receipt, opened: &Opened) -> Result<(), Failure> {
    let path =
        args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.receipt", args.revision)));
    let mut out = Output::open(Some(&path))?;
    let mut reader = opened.reader().await?;
    let head = args.head.map(pair);
    let proof = write_receipt(reader.as_mut(), args.revision, head, &mut out).await;
    let proof = proof.map_err(failed)?;
    out.finish()?;
    // What was written is what an auditor will read.
    check(&CheckReceipt {
        file: path.clone(),
        head: Some(HeadArg(proof.head.revision, proof.head.hash)),
        json: args.json,
    })?;
    eprintln!("written to {}", path.display());
    Ok(())
}

fn pair(head: HeadArg) -> (u64, headwater_schemas::Hash) {
    (head.0, head.1)
}

pub(super) fn check(args: &CheckReceipt) -> Result<(), Failure> {
    let about = |error: &dyn std::fmt::Display| {
        Failure::failed(format_args!("{}: {error}", args.file.display()))
    };
    let file = File::open(&args.file).map_err(|error| about(&error))?;
    let proof = check_receipt(BufReader::new(file), args.head.map(pair));
    let proof = proof.map_err(|error| about(&error))?;
    if args.json { as_json(&proof) } else { text(&proof, args.head.is_some()) }
}

fn as_json(proof: &Proof) -> Result<(), Failure> {
    let commit = proof.commit.as_ref().map(|commit| CommitBody::new(commit, proof.point.hash));
    output::json(&json!({
        "stream_id": proof.point.stream_id, "revision": proof.point.revision, "hash": proof.point.hash,
        "head": { "revision": proof.head.revision, "hash": proof.head.hash },
        "commit": commit,
        "record_base64": Value::show("application/octet-stream", &proof.record).value_base64,
    }))
}

fn text(proof: &Proof, published: bool) -> Result<(), Failure> {
    let (point, head) = (&proof.point, &proof.head);
    let what = match &proof.commit {
        None => "written in a schema that this build does not know".to_owned(),
        Some(commit) => {
            let body = CommitBody::new(commit, point.hash);
            let why = body.reason.map(|why| format!(" ({why})")).unwrap_or_default();
            one_line(&format!("by {}, {}{why}", body.actor, output::time(body.at)))
        }
    };
    output::facts([
        ("stream", point.stream_id.to_string()),
        ("commit", format!("revision {} ({})", point.revision, point.hash)),
        ("made", what),
        ("head", format!("revision {} ({})", head.revision, head.hash)),
    ])?;
    for change in proof.commit.iter().flat_map(|commit| &commit.changes) {
        let line = match change {
            headwater_schemas::Change::Put { namespace, key, content_type, value, .. } => {
                format!("put {namespace}/{key}  {}", shown(content_type, value))
            }
            headwater_schemas::Change::Delete { namespace, key } => {
                format!("delete {namespace}/{key}")
            }
        };
        output::line(one_line(&line))?;
    }
    let of = if published {
        "the published head"
    } else {
        "that head; compare it with one you trust (--head)"
    };
    output::line(format_args!("proven: this commit is part of the history of {of}"))
}
