//! `headwater audit export`.

use std::ops::ControlFlow;

use headwater_api::CommitBody;
use headwater_audit::{AuditError, OcfExport, visit};

use super::args::{Export, Format};
use super::source::{Opened, failed};
use super::write_line;
use crate::exit::Failure;
use crate::file_output::FileOutput;
use crate::output;

pub(super) async fn run(args: Export) -> Result<(), Failure> {
    if args.format == Format::Avro && args.out.is_none() && output::is_terminal() {
        return Err(
            Failure::failed("an Avro file is none for a terminal").hint("name a file: --out")
        );
    }
    let opened = args.source.open().await?;
    of(&args, &opened).await
}

async fn of(args: &Export, opened: &Opened) -> Result<(), Failure> {
    let out = FileOutput::open(args.out.as_deref())?;
    match args.format {
        Format::Ndjson => ndjson(opened, out).await,
        Format::Avro => avro(opened, out).await,
    }
}

async fn ndjson(opened: &Opened, mut out: FileOutput) -> Result<(), Failure> {
    let mut reader = opened.reader().await?;
    let visited = visit(reader.as_mut(), |accepted| {
        // As in the API's list of commits: the genesis is nobody's commit.
        if accepted.commit.revision > 0 {
            write_line(&mut out, &CommitBody::new(&accepted.commit, accepted.hash))?;
        }
        Ok(ControlFlow::Continue(()))
    });
    visited.await.map_err(failed)?;
    out.finish()
}

async fn avro(opened: &Opened, out: FileOutput) -> Result<(), Failure> {
    let mut reader = opened.reader().await?;
    let (mut out, mut ocf) = (Some(out), None);
    let visited = visit(reader.as_mut(), |accepted| {
        // The first one is the genesis, which says whose records these are.
        if let Some(out) = out.take() {
            ocf = Some(OcfExport::new(accepted.commit.stream_id, out)?);
        }
        let pushed = ocf.as_mut().map_or(Ok(()), |ocf| ocf.push(&accepted));
        pushed.map(|()| ControlFlow::Continue(()))
    });
    visited.await.map_err(failed)?;
    let ocf = ocf.ok_or_else(|| failed(AuditError::Beyond { wanted: 0, last: 0 }))?;
    ocf.finish().map_err(failed)?.finish()
}
