//! `headwater audit receipt` and `check-receipt`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use headwater_api::{CommitBody, Value};
use headwater_audit::{Proof, check_receipt, write_receipt};
use headwater_schemas::{Hash, StreamId};

use super::args::{CheckReceipt, HeadArg, Receipt};
use super::source::{Opened, failed};
use crate::exit::Failure;
use crate::file_output::NewFile;
use crate::output::{self, one_line, shown};

pub(super) async fn run(args: Receipt) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    of(&args, &opened).await
}

async fn of(args: &Receipt, opened: &Opened) -> Result<(), Failure> {
    let path =
        args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.receipt", args.revision)));
    let mut out = NewFile::create(&path)?;
    let mut reader = opened.reader().await?;
    let head = args.head.map(pair);
    let proof = write_receipt(reader.as_mut(), args.revision, head, &mut out).await;
    let proof = proof.map_err(failed)?;
    // What was written is what an auditor will read: that is checked, and only then gets its name.
    let sealed = out.seal()?;
    let proof = checked(sealed.temporary(), Some((proof.head.revision, proof.head.hash)))?;
    sealed.name()?;
    told(&proof, args.head.is_some(), args.json)?;
    eprintln!("written to {}", path.display());
    Ok(())
}

fn pair(head: HeadArg) -> (u64, Hash) {
    (head.0, head.1)
}

pub(super) fn check(args: &CheckReceipt) -> Result<(), Failure> {
    told(&checked(&args.file, args.head.map(pair))?, args.head.is_some(), args.json)
}

fn checked(path: &Path, head: Option<(u64, Hash)>) -> Result<Proof, Failure> {
    let about = |error: &dyn std::fmt::Display| {
        Failure::failed(format_args!("{}: {error}", path.display()))
    };
    let file = File::open(path).map_err(|error| about(&error))?;
    check_receipt(BufReader::new(file), head).map_err(|error| about(&error))
}

fn told(proof: &Proof, published: bool, json: bool) -> Result<(), Failure> {
    if json { as_json(proof) } else { text(proof, published) }
}

/// What a receipt proves, for programs; values stand in it as they were put.
#[derive(serde::Serialize)]
struct Proven {
    stream_id: StreamId,
    revision: u64,
    hash: Hash,
    head: HeadBody,
    commit: Option<CommitBody>,
    record_base64: Option<String>,
}

#[derive(serde::Serialize)]
struct HeadBody {
    revision: u64,
    hash: Hash,
}

fn as_json(proof: &Proof) -> Result<(), Failure> {
    let (point, head) = (&proof.point, &proof.head);
    output::json(&Proven {
        stream_id: point.stream_id,
        revision: point.revision,
        hash: point.hash,
        head: HeadBody { revision: head.revision, hash: head.hash },
        commit: proof.commit.as_ref().map(|commit| CommitBody::new(commit, point.hash)),
        record_base64: Value::show("application/octet-stream", &proof.record).value_base64,
    })
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
