//! `headwater audit replay`.

use std::path::Path;

use headwater_api::EntryBody;
use headwater_audit::{Break, Place, replay};
use headwater_client::Client;
use headwater_schemas::State;
use serde_json::json;

use super::args::Replay;
use super::source::{Opened, failed};
use super::{point, told, write_line};
use crate::commands::export::Branch;
use crate::exit::Failure;
use crate::file_output::{FileOutput, NewFolder};
use crate::output::{self, one_line};

pub(super) async fn run(args: Replay) -> Result<(), Failure> {
    let opened = args.source.open().await?;
    of(&args, &opened).await
}

async fn of(args: &Replay, opened: &Opened) -> Result<(), Failure> {
    let mut reader = opened.reader().await?;
    let replayed = replay(reader.as_mut(), point(args.at)).await.map_err(failed)?;
    let state = &replayed.state;
    let place = place(state);
    let compared = match args.source.witness(opened)? {
        Some(server) => Some(same(&server, &place).await?),
        None => None,
    };
    put(args, state)?;
    tell(args, &place, compared, &replayed.faults)?;
    if compared == Some(false) {
        return Err(Failure::failed(format_args!(
            "the server has another history, or another state, at revision {}",
            place.revision
        ))
        .hint("`headwater audit verify` with the same source and --server says where they part"));
    }
    match replayed.faults.first() {
        Some(fault) => {
            Err(Failure::failed(format_args!("on the way: {}", one_line(&fault.to_string()))))
        }
        None => Ok(()),
    }
}

fn place(state: &State) -> Place {
    let (head, totals) = (state.head(), state.totals());
    Place {
        revision: head.revision,
        hash: head.hash,
        digest: totals.digest(),
        entries: totals.entries(),
        at_ms: head.at_ms,
    }
}

/// Whether the server's history has the same record, which carries the digest, and, at its head, the same state.
async fn same(server: &Client, place: &Place) -> Result<bool, Failure> {
    let status = server.status().await?;
    if status.revision == place.revision {
        return Ok((status.hash, status.digest) == (place.hash, place.digest));
    }
    Ok(server.commit_at(place.revision).await?.hash == place.hash)
}

fn put(args: &Replay, state: &State) -> Result<(), Failure> {
    if let Some(dir) = &args.dir {
        return tree(dir, state);
    }
    let mut out = FileOutput::open(args.out.as_deref())?;
    for (namespace, key, entry) in state.iter() {
        let body = EntryBody::new(namespace, key, entry.as_ref());
        write_line(&mut out, &body).map_err(failed)?;
    }
    out.finish()
}

/// A folder a namespace, each as `headwater export --format tree` writes it.
fn tree(dir: &Path, state: &State) -> Result<(), Failure> {
    let mut folder = NewFolder::create(dir)?;
    let head = state.head();
    let entries: Vec<_> = state.iter().collect();
    for of_one in entries.chunk_by(|a, b| a.0 == b.0) {
        let Some((namespace, ..)) = of_one.first() else { continue };
        let mut branch = Branch::new((*namespace).clone(), format!("{namespace}/"));
        for (_, key, entry) in of_one {
            let content_type = entry.content_type.to_string();
            branch.put(&mut folder, (*key).clone(), content_type, &entry.value)?;
        }
        branch.end(&mut folder, head.revision, head.hash)?;
    }
    folder.name()
}

/// On standard output, unless the entries went there.
fn tell(
    args: &Replay,
    place: &Place,
    compared: Option<bool>,
    faults: &[Break],
) -> Result<(), Failure> {
    let server = match compared {
        None => "",
        Some(true) => "; the server has the same",
        Some(false) => "; the server has ANOTHER",
    };
    let text = if args.json {
        let mut told = serde_json::to_value(place).map_err(Failure::failed)?;
        told["faults"] = json!(faults);
        told["server_agrees"] = json!(compared);
        told.to_string()
    } else {
        format!(
            "rebuilt {}: {} entries, digest {}{server}",
            told(place),
            place.entries,
            place.digest
        )
    };
    if args.out.is_some() || args.dir.is_some() {
        return output::line(text);
    }
    eprintln!("{text}");
    Ok(())
}
